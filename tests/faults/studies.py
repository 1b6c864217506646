"""The studies of a campaign: each kind has a character of its own, and each study remembers what was asked of it."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from katib.domain.search_space import FeasibleSpace, ParameterConfig, ParameterType
from katib.domain.study import Limits, Objective, Setting, StudySpec
from tests.faults import forgetful, scripted

RULE: Final = "medianstopping"
# Every service that the studies below name, in the order of their starts.
SERVICES: Final = ("random", "grid", forgetful.ALGORITHM, RULE)
# Whom a blow may hit: the one that forgets more often than the others, which have nothing to lose.
VICTIMS: Final = (*SERVICES, forgetful.ALGORITHM, forgetful.ALGORITHM)
# What a user does to a study that is not to end by itself.
STOP: Final = "stop"
DELETE: Final = "delete"


@dataclass
class Asked:
    """A study as its user asked for it, and what the user has done to it since. Written by its user's thread alone."""

    kind: str
    spec: StudySpec
    request_id: str
    # How many trials it must come to; None where a user ends it before.
    trials: int | None
    fate: str = ""
    study_id: str = ""
    # Trials that a user has asked to end.
    stopped: set[str] = field(default_factory=set)
    # Client-driven: the values that its client has reported for each trial.
    reported: dict[str, list[float]] = field(default_factory=dict)

    @property
    def may_grow(self) -> bool:
        return self.trials is not None and self.kind != "grid"


def _spec(name: str, algorithm: str, most: int | None, parallel: int, **changes: object) -> StudySpec:
    fields: dict[str, object] = {
        "name": name,
        "objective_name": "acc",
        "metrics": ("mark",),
        "optimization": Objective.MAXIMIZE,
        "parameters": (
            ParameterConfig("x", ParameterType.DOUBLE, FeasibleSpace("0", "1")),
            ParameterConfig("y", ParameterType.CATEGORICAL, FeasibleSpace(list=("a", "b c", "d"))),
        ),
        "algorithm": algorithm,
        "limits": Limits(max_trials=most, max_parallel=parallel),
        "command": scripted.command(2, 0.02),
        **changes,
    }
    return StudySpec(**fields)  # type: ignore[arg-type]


def ahead(name: str, most: int, rng: random.Random) -> StudySpec:
    """Its service is asked for more than there is room for: many trials wait PENDING."""
    return _spec(name, "random", most, 4, settings=(Setting("Seed", str(rng.randrange(1000))),))


def grid(name: str, most: int, rng: random.Random) -> StudySpec:
    """Ends because it has tried all: `most` points in rows of three. Its trials are over before one can look."""
    parameters = (
        ParameterConfig("x", ParameterType.INT, FeasibleSpace(min="1", max=str(most // 3))),
        ParameterConfig("y", ParameterType.CATEGORICAL, FeasibleSpace(list=("a", "b c", "d"))),
    )
    return _spec(name, "grid", None, 3, parameters=parameters, command=scripted.command(1, 0))


def long(name: str, most: int, rng: random.Random) -> StudySpec:
    """Trials outlive a manager or two, and print their lines in pieces."""
    return _spec(name, "random", most, 4, command=scripted.command(5, 0.25, scripted.SPLIT))


def flaky(name: str, most: int, rng: random.Random) -> StudySpec:
    limits = Limits(max_trials=most, max_parallel=5, retry_limit=2)
    return _spec(
        name, "random", most, 5, limits=limits, command=scripted.command(2, 0.02, scripted.FLAKY), keep_models="best:3"
    )


def hopeless(name: str, most: int, rng: random.Random) -> StudySpec:
    """Trials worse than the median are stopped early."""
    rule = {"early_stopping": RULE, "early_stopping_settings": (Setting("LeastStep", "2"),)}
    return _spec(name, "random", most, 4, command=scripted.command(8, 0.08), **rule)


def old(name: str, most: int, rng: random.Random, pause: float = 0.02) -> StudySpec:
    """As 0.1 knew it: its service keeps state and forgets it, and its limits stand among the settings."""
    return _spec(
        name,
        forgetful.ALGORITHM,
        None,
        0,
        parameters=(ParameterConfig("x", ParameterType.INT, FeasibleSpace(min="1", max="100000")),),
        settings=(Setting("SuggestionNum", str(most)), Setting("MaxParallel", "3")),
        limits=Limits(),
        command=scripted.command(2, pause),
    )


def rare(name: str, most: int, rng: random.Random) -> StudySpec:
    """Like `old`, and asks so rarely that its service can have been killed and be back without anybody knowing."""
    return old(name, most, rng, pause=1.0)


def driven(name: str, most: int, rng: random.Random) -> StudySpec:
    """Its client asks for trials, reports and completes them."""
    return _spec(name, "", most, 3, metrics=(), command=())


def doomed(name: str, most: int, rng: random.Random) -> StudySpec:
    """A user stops or deletes it in the middle."""
    return _spec(name, "random", 3 * most, 4, command=scripted.command(3, 0.1))


Make = Callable[[str, int, random.Random], StudySpec]
# With how many trials one has, about, in a long campaign.
KINDS: Final[dict[Make, int]] = {
    ahead: 40,
    grid: 30,
    long: 10,
    flaky: 16,
    hopeless: 20,
    old: 24,
    driven: 20,
    doomed: 20,
}


def invent(kind: Make, number: int, share: float, seed: int, rng: random.Random) -> Asked:
    """The next study of its kind, `share` of its usual size."""
    name = f"{kind.__name__}-{number}"
    most = max(2, round(KINDS[kind] * share * rng.uniform(0.7, 1.3)))
    if kind is grid:
        most = 3 * max(1, most // 3)
    spec = kind(name, most, rng)
    if kind is doomed:
        return Asked(kind.__name__, spec, f"{seed}-{name}", None, rng.choice((STOP, DELETE)))
    return Asked(kind.__name__, spec, f"{seed}-{name}", most)
