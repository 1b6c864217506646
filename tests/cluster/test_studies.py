"""Whole studies in a real cluster: a real manager, a real suggestion service, Pods; and what may happen to each of them."""

import json
import re
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from katib.domain.names import run_name
from katib.domain.pod import PodSettings
from katib.domain.study import StudyReason, StudyState
from katib.domain.trial import Trial, TrialReason, TrialState
from tests.cluster.api import Api
from tests.cluster.cluster import Cluster
from tests.e2e.harness import Process, World, finished, study, trials, until, world

# Many Pods of a machine with other work.
STUDY_S = 240.0
STEPS = "for i in 1 2 3 4 5 6; do echo step=$i acc=0.$i; sleep 0.3; done; echo acc=$x"


class Katib:
    """A manager outside of the cluster whose trials are Pods of `namespace`."""

    def __init__(self, it: World, cluster: Api, namespace: str) -> None:
        self.world, self.cluster, self.namespace = it, cluster, namespace
        self.kubeconfig = cluster.kubeconfig
        self.manager: Process | None = None

    def start(self, *options: str) -> None:
        given = (f"kubeconfig={self.kubeconfig}", f"namespace={self.namespace}", *options)
        words = [word for option in given for word in ("--worker-option", option)]
        self.manager = self.world.manager("--worker", "kubernetes", "--lease", "2", *words)

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

    def end(self, study_id: str) -> tuple[StudyState, list[Trial]]:
        with self.world.client() as client:
            summary = finished(client, study_id, STUDY_S)
            return summary.state, trials(client, study_id)

    def trial(self, study_id: str) -> Trial:
        with self.world.client() as client:
            found = until(lambda: trials(client, study_id), STUDY_S)
        return found[0]

    def reason(self, study_id: str, *reasons: str) -> Trial:
        """The first trial once it shows one of the reasons."""

        def shown() -> Trial | None:
            trial = self.trial(study_id)
            return trial if trial.reason in reasons else None

        return until(shown, STUDY_S, poll=0.2)

    def pods(self) -> list[str]:
        return [pod["metadata"]["name"] for pod in self.cluster.get("pods", namespace=self.namespace)["items"]]


@pytest.fixture
def katib(tmp_path: Path, cluster: Api, namespace: str) -> Iterator[Katib]:
    with world(tmp_path) as it:
        yield Katib(it, cluster, namespace)


def values(found: list[Trial]) -> list[float | None]:
    return [trial.objective for trial in found]


def assigned(found: list[Trial]) -> list[float]:
    return [float(trial.parameters[0].value) for trial in found]


def test_a_study_becomes_its_trials_each_with_its_metric_from_its_pod(katib: Katib) -> None:
    state, found = katib.run(script=STEPS, limits={"max_trials": 8, "max_parallel": 4})
    assert state is StudyState.COMPLETED
    assert [trial.state for trial in found] == [TrialState.COMPLETED] * 8
    assert values(found) == pytest.approx(assigned(found))
    assert all(trial.attempt == 1 for trial in found)


def test_metrics_are_there_while_a_trial_runs(katib: Katib) -> None:
    study_id = katib.create(script="echo acc=0.25; sleep 600", limits={"max_trials": 1})
    until(lambda: katib.trial(study_id).objective == 0.25, STUDY_S)
    with katib.world.client() as client:
        client.stop_study(study_id)
    state, found = katib.end(study_id)
    assert (state, found[0].state, found[0].reason) == (
        StudyState.STOPPED,
        TrialState.KILLED,
        TrialReason.STOPPED_BY_USER,
    )


def test_a_manager_that_is_killed_in_the_middle_costs_nothing(katib: Katib) -> None:
    study_id = katib.create(script=STEPS, limits={"max_trials": 8, "max_parallel": 4})
    for completed in (1, 3):
        with katib.world.client() as client:
            until(lambda n=completed, c=client: c.get_study(study_id).summary.completed >= n, STUDY_S)  # type: ignore[misc]
        assert katib.manager is not None
        katib.manager.kill()
        katib.start()
    state, found = katib.end(study_id)
    assert state is StudyState.COMPLETED
    assert [trial.state for trial in found] == [TrialState.COMPLETED] * 8
    assert all(trial.attempt == 1 for trial in found)
    assert values(found) == pytest.approx(assigned(found))
    with katib.world.client() as client:
        for trial in found:
            seen = client.get_trial(trial.id).observations
            assert [o.value for o in seen] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, trial.objective])


def test_an_api_server_that_is_restarted_in_the_middle_costs_nothing(katib: Katib, own_cluster: Cluster) -> None:
    study_id = katib.create(script=STEPS, limits={"max_trials": 8, "max_parallel": 4})
    with katib.world.client() as client:
        until(lambda: client.get_study(study_id).summary.completed >= 2, STUDY_S)
    own_cluster.kill_apiserver()
    own_cluster.start_apiserver()
    state, found = katib.end(study_id)
    assert state is StudyState.COMPLETED
    assert [trial.state for trial in found] == [TrialState.COMPLETED] * 8
    assert all(trial.attempt == 1 for trial in found)
    assert values(found) == pytest.approx(assigned(found))


def test_an_api_server_that_is_away_is_the_study_s_reason(katib: Katib, own_cluster: Cluster) -> None:
    study_id = katib.create(script="sleep 5; echo acc=1", limits={"max_trials": 2, "max_parallel": 1})
    katib.reason(study_id, "")
    own_cluster.kill_apiserver()
    try:
        with katib.world.client() as client:

            def said() -> bool:
                summary = client.get_study(study_id).summary
                return summary.reason == StudyReason.WORKER_UNAVAILABLE and "refused" in summary.message

            until(said, STUDY_S)
    finally:
        own_cluster.start_apiserver()
    state, found = katib.end(study_id)
    assert (state, values(found)) == (StudyState.COMPLETED, [1.0, 1.0])


def test_a_finished_study_leaves_no_pods(katib: Katib) -> None:
    katib.run("keep=none", limits={"max_trials": 3, "max_parallel": 3})
    until(lambda: not katib.pods(), STUDY_S, poll=0.5)


# What can be wrong with a Pod


def one(**fields: object) -> dict[str, object]:
    return {"limits": {"max_trials": 1, "max_failed_trials": 1}, **fields}


def test_an_image_that_cannot_be_pulled_is_said_and_given_up(katib: Katib) -> None:
    study_id = katib.create("wait_image=20s", **one(image="nowhere.invalid/none:1"))
    waiting = katib.reason(study_id, "ErrImagePull", "ImagePullBackOff")
    assert "nowhere.invalid" in waiting.message
    _, found = katib.end(study_id)
    assert (found[0].state, found[0].reason in ("ErrImagePull", "ImagePullBackOff")) == (TrialState.ERROR, True)


def test_a_pod_that_fits_on_no_node_is_said_and_given_up(katib: Katib) -> None:
    pod = PodSettings(requests={"cpu": "10000"}, start_timeout=timedelta(seconds=10))
    study_id = katib.create(**one(pod=pod))
    assert "Insufficient cpu" in katib.reason(study_id, "Unschedulable").message
    _, found = katib.end(study_id)
    assert (found[0].state, found[0].reason) == (TrialState.ERROR, "Unschedulable")
    assert "start_timeout" in found[0].message


def test_a_trial_beyond_its_memory_is_said_to_be_so(katib: Katib) -> None:
    pod = PodSettings(limits={"memory": "24Mi"})
    _, found = katib.run(**one(pod=pod, script="echo begun; tail /dev/zero"))
    assert (found[0].state, found[0].reason) == (TrialState.ERROR, "OOMKilled")
    assert "24Mi" in found[0].message


def test_a_command_that_is_not_in_the_image_is_named(katib: Katib) -> None:
    _, found = katib.run(**one(command=("no-such-program",)))
    assert (found[0].state, found[0].reason) == (TrialState.ERROR, TrialReason.START_FAILED)
    assert "no-such-program" in found[0].message


def test_a_secret_that_is_not_there_is_named_and_may_still_come(katib: Katib) -> None:
    template = {
        "spec": {
            "containers": [
                {
                    "name": "trial",
                    "env": [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "late", "key": "key"}}}],
                }
            ]
        }
    }
    study_id = katib.create(
        "secrets=late", **one(script="echo acc=$KEY", pod=PodSettings(template=json.dumps(template)))
    )
    assert "late" in katib.reason(study_id, "CreateContainerConfigError").message
    katib.cluster.kubectl("create", "secret", "generic", "late", "-n", katib.namespace, "--from-literal=key=0.75")
    state, found = katib.end(study_id)
    assert (state, values(found)) == (StudyState.COMPLETED, [0.75])


def test_a_pod_that_somebody_deletes_is_tried_again(katib: Katib) -> None:
    script = '[ "$KATIB_ATTEMPT" = 2 ] || { echo begun; exec sleep 600; }; echo acc=1'
    study_id = katib.create(script=script, limits={"max_trials": 1, "retry_limit": 1})
    name = until(katib.pods, STUDY_S)[0]
    katib.cluster.wait_for_phase(name, katib.namespace, "Running")
    katib.cluster.kubectl("delete", "pod", name, "-n", katib.namespace, "--wait=false", "--grace-period=1")
    state, found = katib.end(study_id)
    assert (state, found[0].attempt, values(found)) == (StudyState.COMPLETED, 2, [1.0])
    # Nobody can start the first attempt again: its name is held.
    assert run_name(found[0].id, 1) in until(lambda: [p for p in katib.pods() if p == name], STUDY_S)


def test_a_quota_that_is_used_up_is_waited_for(katib: Katib) -> None:
    hard = ["create", "quota", "few", "-n", katib.namespace, "--hard=pods=0"]
    katib.cluster.kubectl(*hard)
    study_id = katib.create(limits={"max_trials": 1})
    with katib.world.client() as client:
        until(lambda: "quota" in client.get_study(study_id).summary.message, STUDY_S)
    katib.cluster.kubectl("delete", "quota", "few", "-n", katib.namespace)
    state, found = katib.end(study_id)
    assert (state, values(found)) == (StudyState.COMPLETED, [0.5])


def test_what_pod_security_refuses_fails_with_its_words(katib: Katib) -> None:
    label = "pod-security.kubernetes.io/enforce=restricted"
    katib.cluster.kubectl("label", "namespace", katib.namespace, label)
    _, found = katib.run(**one())
    assert (found[0].state, found[0].reason) == (TrialState.ERROR, "PodRefused")
    assert "restricted" in found[0].message


def test_a_manager_without_rights_says_what_to_grant_and_goes_on_when_it_has_them(katib: Katib) -> None:
    """With exactly the verbs that the driver names, and no more."""
    from katib.worker.kubernetes.podapi import VERBS

    kubectl, namespace = katib.cluster.kubectl, katib.namespace
    kubectl("create", "serviceaccount", "manager", "-n", namespace)
    token = kubectl("create", "token", "manager", "-n", namespace).strip()
    config = json.loads(kubectl("config", "view", "--raw", "--minify", "-o", "json"))
    config["users"][0]["user"] = {"token": token}
    katib.kubeconfig = katib.world.folder / "kubeconfig"
    katib.kubeconfig.write_text(json.dumps(config))
    study_id = katib.create(limits={"max_trials": 1}, script="echo acc=0.5; sleep 1")
    with katib.world.client() as client:
        said = until(
            lambda: re.search("grant the verb list on pods", client.get_study(study_id).summary.message), STUDY_S
        )
    assert said
    for i, (resource, verbs) in enumerate(VERBS.items()):
        names = [f"--verb={verb}" for verb in verbs]
        kubectl("create", "role", f"katib-{i}", "-n", namespace, f"--resource={resource}", *names)
        account = f"--serviceaccount={namespace}:manager"
        kubectl("create", "rolebinding", f"katib-{i}", "-n", namespace, f"--role=katib-{i}", account)
    state, found = katib.end(study_id)
    assert (state, values(found)) == (StudyState.COMPLETED, [0.5])
    stopped = katib.create(limits={"max_trials": 1}, script="echo acc=0.5; sleep 600")
    until(lambda: katib.trial(stopped).objective == 0.5, STUDY_S)
    with katib.world.client() as client:
        client.stop_study(stopped)
    state, found = katib.end(stopped)
    assert (state, found[0].state) == (StudyState.STOPPED, TrialState.KILLED)


# What can happen to the cluster


def test_an_api_server_that_disappears_without_a_word_is_noticed_and_found_again(
    katib: Katib, own_cluster: Cluster
) -> None:
    study_id = katib.create(script="echo acc=0.5; sleep 20", limits={"max_trials": 2, "max_parallel": 1})
    until(lambda: katib.trial(study_id).objective == 0.5, STUDY_S)
    with katib.world.client() as client, own_cluster.cut_off(silently=True):
        begin = time.monotonic()
        until(lambda: client.get_study(study_id).summary.reason == StudyReason.WORKER_UNAVAILABLE, STUDY_S)
        # Some 25 s by keep-alive, then the time for which what is known is believed.
        assert time.monotonic() - begin < 90
    state, found = katib.end(study_id)
    assert (state, values(found)) == (StudyState.COMPLETED, [0.5, 0.5])


def test_a_kubelet_that_is_restarted_while_a_trial_prints_costs_no_line(katib: Katib, own_cluster: Cluster) -> None:
    script = "i=1; while [ $i -le 60 ]; do echo acc=$i; i=$((i+1)); sleep 0.25; done"
    study_id = katib.create(script=script, limits={"max_trials": 3, "max_parallel": 3})
    until(lambda: (katib.trial(study_id).objective or 0) >= 5, STUDY_S)
    kubelet = own_cluster.nodes[0].kubelet
    kubelet.kill()
    kubelet.start()
    state, found = katib.end(study_id)
    assert (state, values(found)) == (StudyState.COMPLETED, [60.0] * 3)
    with katib.world.client() as client:
        for trial in found:
            assert [o.value for o in client.get_trial(trial.id).observations] == [float(i) for i in range(1, 61)]


def test_a_trial_whose_node_does_not_answer_is_given_up_in_the_end(katib: Katib, own_cluster: Cluster) -> None:
    study_id = katib.create("wait_gone=5s", script="echo acc=0.5; sleep 600", limits={"max_trials": 1})
    until(lambda: katib.trial(study_id).objective == 0.5, STUDY_S)
    with katib.world.client() as client, own_cluster.nodes[0].kubelet.paused():
        client.stop_study(study_id)
        until(lambda: katib.trial(study_id).reason in (TrialReason.STOPPING, TrialReason.STOPPED_BY_USER), STUDY_S)
        state, found = katib.end(study_id)
    assert (state, found[0].state, found[0].reason) == (
        StudyState.STOPPED,
        TrialState.KILLED,
        TrialReason.STOPPED_BY_USER,
    )
