"""Who is compared: each is asked for trials and told what came of them, through its own interface."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path

import katib.suggestion
from benchmarks.quality.peers.base import Contestant
from benchmarks.quality.peers.table import PEERS
from benchmarks.quality.problems import Problem, Values
from katib.api import plugins
from katib.domain.study import Limits, Objective, Setting, StudySpec
from katib.domain.trial import Trial, TrialState
from katib.suggestion.room import MAX_PARALLEL, SUGGESTION_NUM
from katib.suggestion.server import GROUP
from katib.suggestion.service import Call, generate


class Ours:
    """A service of ours, by the request and the reply that it gets from a manager. `trials`: how many the study has in all."""

    def __init__(
        self, problem: Problem, seed: int, algorithm: str, settings: dict[str, str], trials: int = 100
    ) -> None:
        self._problem = problem
        self._algorithm = plugins.find(GROUP, "algorithm", algorithm)
        self._settings = (Setting("Seed", str(seed)), *(Setting(k, v) for k, v in settings.items()))
        self._limit = Setting(SUGGESTION_NUM.name, str(trials))
        self._limits = Limits(max_trials=trials)
        self.trials: list[Trial] = []

    def ask(self, count: int) -> list[tuple[int, Values]]:
        finished = [t for t in self.trials if t.state.finished]
        running = [t for t in self.trials if not t.state.finished]
        room = Setting(MAX_PARALLEL.name, str(len(running) + count))
        spec = StudySpec(
            name=self._problem.name,
            objective_name="loss",
            optimization=Objective.MINIMIZE,
            parameters=self._problem.parameters,
            algorithm=self._algorithm.name,
            settings=(*self._settings, room, self._limit),
            limits=self._limits,
        )
        begin = len(self.trials)
        call = Call("a" * 16, spec, len(finished), len(running), begin + 1, finished, running)
        for suggestion in generate(self._algorithm, call).suggestions:
            number = len(self.trials) + 1
            self.trials.append(
                Trial(
                    id=f"b{number:015x}",
                    study_id="a" * 16,
                    number=number,
                    attempt=1,
                    state=TrialState.RUNNING,
                    parameters=suggestion.parameters,
                    created_at=datetime(2026, 1, 1, tzinfo=UTC),
                    revision=0,
                    tags=suggestion.tags,
                )
            )
        return [(i, self._problem.read(self.trials[i].parameters)) for i in range(begin, len(self.trials))]

    def tell(self, handle: int, value: float) -> None:
        self.trials[handle] = replace(self.trials[handle], state=TrialState.COMPLETED, objective=value)


def version(name: str) -> str:
    """Of the library that a peer is; "" for ours, which is what the working tree has, and where it is not installed."""
    if name not in PEERS:
        return ""
    try:
        return metadata.version(PEERS[name].library)
    except metadata.PackageNotFoundError:
        return ""


@cache
def code(name: str) -> str:
    """Of one of ours: which code searches, whatever the comments say. "" for peers."""
    if name in PEERS:
        return ""
    folder = Path(katib.suggestion.__path__[0])
    lines = (line.strip() for path in sorted(folder.rglob("*.py")) for line in path.read_text().splitlines())
    counting = "\n".join(line for line in lines if line and not line.startswith("#"))
    return hashlib.sha256(counting.encode()).hexdigest()[:12]


def contestant(name: str, problem: Problem, seed: int, trials: int) -> Contestant:
    """A peer, or one of our algorithms: `ALGORITHM[:SETTING=VALUE,...][@label]`."""
    if name in PEERS:
        return PEERS[name].make(problem, seed)
    algorithm, _, settings = name.partition("@")[0].partition(":")
    return Ours(problem, seed, algorithm, dict(s.split("=", 1) for s in settings.split(",") if s), trials)
