"""The manager's API, the manager's HTTP port and the dashboard, each in front of a real manager with its services."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, Final

from google.protobuf.message import Message

from katib.api import api_pb2 as pb
from katib.api.client import ManagerClient
from katib.domain.errors import KatibError
from katib.domain.study import StudySpec
from tests.e2e.harness import World, study, world
from tests.fuzz.calls import Caller, config, trial
from tests.fuzz.inputs import FLOATS, INTS, TEXTS, Hints
from tests.fuzz.surface import BrokenError, memory_of

# More studies than these are deleted, so that what is measured is not what the inputs stored.
_KEPT: Final = 15
_TIDY_EVERY: Final = 250


class ManagerUnderFire:
    """A manager with a few studies that clients drive, a random search and a rule."""

    def __init__(self, it: World, http: str = "") -> None:
        self._world = it
        it.suggestion("random")
        it.earlystopping("medianstopping")
        self.process = it.manager("--log-format", "json", "--lease", "60", http=http)
        self._client = ManagerClient(it.address, 30)
        self._inputs = 0
        self.studies: list[str] = []
        self.trials: list[str] = []
        self.tokens: list[str] = [""]
        self._fill()

    def close(self) -> None:
        self._client.close()

    def hints(self) -> Hints:
        # Nothing but `true` is ever run, and no service is waited for that nobody has started.
        return {
            "study_id": self.studies,
            "trial_id": self.trials,
            "page_token": self.tokens,
            "suggest_algorithm": ("random", "", "random", "x" * 41, "../x", "ran dom"),
            "early_stopping_algorithm": ("medianstopping", "", "none", "Median", "a/b"),
            "command": ("true", "true", "{{STUDY_ID}}", "\0"),
            "image": ("", "x"),
            "working_dir": ("", "/nowhere", "../x"),
            "name": ("loss", "accuracy", *TEXTS),
            "request_id": ("", "a", "b", *TEXTS[:20]),
            "max_trials": (1, 2, -1, 0),
            "max_parallel": (1, 2, -1, 0),
            "count": (0, 1, 2, -1, 1001, 2**31 - 1),
            "after_revision": (0, 1, 5, *INTS),
        }

    def tidy(self) -> None:
        """Every so often: what was made is deleted, and there is again something to be called."""
        self._inputs += 1
        if self._inputs % _TIDY_EVERY:
            return
        self._raise_if_ended()
        token = ""
        there: list[str] = []
        while True:
            page = self._client.list_studies(page_size=1000, page_token=token)
            there += [s.id for s in page.items]
            token = page.next_token
            if not token:
                break
        for study_id in there[_KEPT:]:
            try:
                self._client.delete_study(study_id)
            except KatibError as error:
                raise BrokenError(f"study {study_id} cannot be deleted: {error}") from error
        self._fill()

    def _fill(self) -> None:
        client = self._client
        driven = client.create_study(_driven("fuzz driven"))
        found, _ = client.suggest_trials(driven, 3, "client")
        self.studies = [*self.studies[-6:], driven]
        self.trials = [*self.trials[-12:], *(t.id for t in found)]
        # A page of each list, to go on from.
        self.tokens = [
            "",
            client.list_studies(page_size=1).next_token,
            client.list_trials(page_size=1).next_token,
            client.list_trials(driven, page_size=1).next_token,
        ]

    def honest(self) -> Mapping[str, Any]:
        """Messages that would be accepted."""

        def of(make: Any) -> Any:
            return lambda rnd: [make(rnd)]

        def a_study(rnd: Random) -> str:
            return rnd.choice(self.studies)

        def a_trial(rnd: Random) -> str:
            return rnd.choice(self.trials)

        return {
            "CreateStudy": lambda rnd: _created(rnd),
            "SuggestTrials": of(lambda rnd: pb.SuggestTrialsRequest(study_id=a_study(rnd), count=1, client_id="c")),
            "UpdateStudy": of(lambda rnd: pb.UpdateStudyRequest(study_id=a_study(rnd), max_trials=5, paused=False)),
            "CompleteTrial": of(
                lambda rnd: pb.CompleteTrialRequest(
                    study_id=self.studies[-1],
                    trial_id=a_trial(rnd),
                    is_complete=True,
                    objective_value="1",
                    metrics=[pb.Metrics(name="accuracy", value="1")],
                    reporter="r",
                    observations=[pb.Observation(name="loss", value=rnd.choice(FLOATS), sequence=rnd.randrange(1, 9))],
                    next=pb.SuggestTrialsRequest(count=1, client_id="c", lease={"seconds": 60}),
                )
            ),
            "ReportMetrics": of(
                lambda rnd: pb.ReportMetricsRequest(
                    trial_id=a_trial(rnd),
                    reporter="r",
                    observations=[
                        pb.Observation(name="loss", value=rnd.choice(FLOATS), sequence=rnd.randrange(1, 9), step=3)
                        for _ in range(3)
                    ],
                )
            ),
            "ListStudies": of(lambda rnd: pb.ListStudiesRequest(page_size=1, page_token=rnd.choice(self.tokens))),
            "ListTrials": of(lambda rnd: pb.ListTrialsRequest(page_size=1, page_token=rnd.choice(self.tokens))),
            "ListObservations": of(lambda rnd: pb.ListObservationsRequest(trial_id=a_trial(rnd), names=["loss"])),
            "GetTrialLog": of(lambda rnd: pb.GetTrialLogRequest(trial_id=a_trial(rnd))),
            "EarlyStopping": of(
                lambda rnd: pb.EarlyStoppingRequest(study_id=a_study(rnd), early_stopping_algorithm="medianstopping")
            ),
            "SaveModel": of(
                lambda rnd: pb.SaveModelRequest(
                    model=pb.ModelInfo(
                        study_name="m",
                        trial_id=a_trial(rnd),
                        model_path="pvc:/m",
                        parameters=trial(rnd, 1).parameter_set,
                        metrics=[pb.Metrics(name="loss", value="1")],
                    )
                )
            ),
            "InitializeSuggestService": of(
                lambda rnd: pb.InitializeSuggestServiceRequest(suggest_algorithm="random", configs=config(rnd))
            ),
        }

    def memory(self) -> float:
        return memory_of(self.process.popen.pid)

    def check(self) -> None:
        self._raise_if_ended()
        if written := [str(path) for path in self._world.folder.rglob("pwned*")]:
            raise BrokenError(f"a shell has taken a text for a command: {written}")
        for process in self._world.processes:
            if "Traceback" in process.output:
                at = process.output.index("Traceback")
                raise BrokenError(f"{process.log.name} has a traceback: {process.output[max(at - 500, 0) : at + 3000]}")

    def _raise_if_ended(self) -> None:
        if self.process.popen.poll() is not None:
            raise BrokenError(f"the manager has ended: {self.process.output[-2000:]}")


def _driven(name: str) -> StudySpec:
    return study(
        name, algorithm="", command=(), objective_name="loss", limits={"max_trials": 1000, "max_parallel": 100}
    )


def _created(rnd: Random) -> Sequence[Message]:
    made = config(rnd, rnd.choice(("", "", "random")), rnd.choice(("", "medianstopping")))
    if not made.suggest_algorithm:
        del made.command[:]
    return [pb.CreateStudyRequest(study_config=made)]


class _Api:
    may_grow = 48.0

    def __init__(self, under_fire: ManagerUnderFire, address: str) -> None:
        self._under_fire = under_fire
        self.memory, self.check = under_fire.memory, under_fire.check
        # A list of every study, or a rule asked about all trials, costs much; nothing is learnt by it so often.
        scale = {"CreateStudy": 12, "ReportMetrics": 8, "SuggestTrials": 6, "WatchStudy": 1, "ListAlgorithms": 1}
        self._caller = Caller("Manager", address, under_fire.hints, under_fire.honest(), scale)

    def put(self, rnd: Random) -> str:
        self._under_fire.tidy()
        return self._caller.put(rnd)


@contextmanager
def under_fire(folder: Path, http: str = "") -> Iterator[tuple[World, ManagerUnderFire]]:
    with world(folder) as it:
        found = ManagerUnderFire(it, http)
        try:
            yield it, found
        finally:
            found.close()


@contextmanager
def api(folder: Path) -> Iterator[_Api]:
    with under_fire(folder) as (it, manager):
        yield _Api(manager, it.address)
