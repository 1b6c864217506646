"""Katib outside of the cluster, whose trials are Pods in it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from katib.domain.study import StudyState
from katib.domain.trial import Trial
from katib.worker.kubernetes.pods import LABEL_STUDY
from tests.cluster import account
from tests.cluster.api import Api, Object
from tests.e2e.harness import Process, World, finished, study, trials, until

# Many Pods of a machine with other work.
STUDY_S = 240.0
STEPS = "for i in 1 2 3 4 5 6; do echo step=$i acc=0.$i; sleep 0.3; done; echo acc=$x"
# A shell that is its container's first process is deaf to SIGTERM unless it listens.
SLEEP = "trap 'exit 9' TERM; sleep 600 & wait"


class Katib:
    """A manager that may do in `namespace` what `deploy/` grants, and nothing else anywhere."""

    def __init__(self, it: World, cluster: Api, namespace: str) -> None:
        self.world, self.cluster, self.namespace = it, cluster, namespace
        self.kubeconfig = it.folder / "kubeconfig"
        self.manager: Process | None = None
        account.make_account(cluster, namespace, self.kubeconfig)

    def grant(self) -> None:
        account.grant(self.cluster, self.namespace)

    @contextmanager
    def granted(self) -> Iterator[None]:
        """With the rights that `deploy/` gives; at the end it is seen that nothing else was asked for."""
        self.grant()
        yield
        account.assert_nothing_else_was_asked(self.cluster, self.namespace)

    @property
    def user(self) -> str:
        return account.user(self.namespace)

    def start(self, *options: str, lease: float = 2) -> None:
        given = (f"kubeconfig={self.kubeconfig}", f"namespace={self.namespace}", *options)
        words = [word for option in given for word in ("--worker-option", option)]
        self.manager = self.world.manager("--worker", "kubernetes", "--lease", f"{lease:g}", *words)

    def run(self, *options: str, **fields: object) -> tuple[StudyState, list[Trial]]:
        """One study from its beginning to its end."""
        study_id = self.create(*options, **fields)
        return self.end(study_id)

    def create(self, *options: str, **fields: object) -> str:
        if self.manager is None:
            self.world.suggestion("random")
            self.start(*options)
        image = fields.pop("image", self.cluster.busybox)
        with self.world.client() as client:
            return client.create_study(study(image=image, **fields))  # type: ignore[arg-type]

    def stop(self, study_id: str) -> None:
        with self.world.client() as client:
            client.stop_study(study_id)

    def end(self, study_id: str) -> tuple[StudyState, list[Trial]]:
        with self.world.client() as client:
            summary = finished(client, study_id, STUDY_S)
            return summary.state, trials(client, study_id)

    def completed(self, study_id: str, count: int) -> None:
        """Waits for so many trials."""
        with self.world.client() as client:
            until(lambda: client.get_study(study_id).summary.completed >= count, STUDY_S)

    def trial(self, study_id: str) -> Trial:
        with self.world.client() as client:
            found = until(lambda: trials(client, study_id), STUDY_S)
        return found[0]

    def reason(self, study_id: str, *reasons: str) -> Trial:
        """The first trial once it shows one of the reasons."""

        def shown() -> Trial | None:
            trial = self.trial(study_id)
            assert trial.reason in reasons or not trial.state.finished, f"it has ended: {trial.reason}, {trial.message}"
            return trial if trial.reason in reasons else None

        return until(shown, STUDY_S, poll=0.2)

    def reports(self, study_id: str) -> Trial:
        """The first trial once it has its first metric."""
        until(lambda: self.trial(study_id).objective is not None, STUDY_S)
        return self.trial(study_id)

    def trials(self, study_id: str) -> list[Trial]:
        with self.world.client() as client:
            return trials(client, study_id)

    def pods(self, study_id: str = "", namespace: str = "") -> list[Object]:
        """Of a study, or all; in the usual namespace, or in another."""
        of = ["-l", f"{LABEL_STUDY}={study_id}"] if study_id else []
        return list(self.cluster.get("pods", "", namespace or self.namespace, *of)["items"])

    def pod(self, study_id: str, *phases: str) -> str:
        """The name of a study's first, once it is in one of the phases."""
        name = str(until(lambda: self.pods(study_id), STUDY_S)[0]["metadata"]["name"])
        self.cluster.wait_for_phase(name, self.namespace, *phases)
        return name

    def kubectl(self, *arguments: str, data: str | None = None) -> str:
        return self.cluster.kubectl("-n", self.namespace, *arguments, data=data)


def values(found: Sequence[Trial]) -> list[float | None]:
    return [trial.objective for trial in found]


def assigned(found: Sequence[Trial]) -> list[float]:
    return [float(trial.parameters[0].value) for trial in found]
