"""What hypothesis draws from: studies, limits, events, trouble."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from hypothesis import strategies as st

from katib.domain.metrics import MetricStrategy
from katib.domain.search_space import FeasibleSpace, ParameterConfig, ParameterType
from katib.domain.study import Limits, Objective, StudySpec
from katib.domain.trial import TrialReason
from tests.lifecycle.services import ALGORITHMS, ANSWERS, RULE

VALUES: Final = (0.1, 0.5, 0.5, 0.9)
# Exit code, reason and message, as drivers give them.
EXITS: Final = (
    (0, "", ""),
    (1, TrialReason.EXIT_CODE, "exited with code 1"),
    (137, TrialReason.SIGNAL, "killed by SIGKILL (9)"),
    (137, "OOMKilled", "the container went over its memory limit"),
    (None, TrialReason.NODE_LOST, "the node it ran on is gone"),
    (None, TrialReason.PROCESS_VANISHED, "its process is gone and left no exit code"),
)


def _maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


def _seconds(*values: float) -> st.SearchStrategy[timedelta]:
    return st.sampled_from([timedelta(seconds=v) for v in values])


def _limits(max_trials: st.SearchStrategy[Any], max_duration: st.SearchStrategy[Any]) -> st.SearchStrategy[Limits]:
    return st.builds(
        Limits,
        max_trials=max_trials,
        max_parallel=_maybe(st.integers(1, 3)),
        max_failed_trials=_maybe(st.integers(1, 3)),
        retry_limit=st.sampled_from((1, 2, 0, None)),
        trial_timeout=st.sampled_from((None, None, timedelta(seconds=5), timedelta(seconds=60))),
        max_duration=max_duration,
    )


limits = _limits(
    _maybe(st.integers(1, 6)), st.sampled_from((None, None, timedelta(seconds=30), timedelta(seconds=600)))
)
specs = st.builds(
    StudySpec,
    name=st.just("lifecycle"),
    objective_name=st.just("acc"),
    optimization=st.just(Objective.MAXIMIZE),
    parameters=st.just((ParameterConfig("x", ParameterType.DOUBLE, FeasibleSpace("0", "1")),)),
    goal=st.sampled_from((None, None, 0.9, 0.5)),
    algorithm=st.sampled_from((*ALGORITHMS, *ALGORITHMS, "", "")),
    early_stopping=st.sampled_from(("", RULE)),
    metrics=st.just(("loss",)),
    command=st.just(("train",)),
    limits=_limits(
        st.sampled_from((3, 4, 6, 1, None)),
        st.sampled_from((None,) * 4 + (timedelta(seconds=30), timedelta(seconds=600))),
    ),
    objective_strategy=st.sampled_from(MetricStrategy),
)
# Mostly the first one, so that things meet.
which = st.sampled_from((0, 0, 0, 1, 1, 2, 3))
which_manager = st.integers(0, 1)
values = st.sampled_from(VALUES)
sequences = st.integers(1, 3)
clients = st.sampled_from(("me", "you", ""))
# What is prepared for the first is given in the transaction that ends a trial.
asked = st.sampled_from(("random", "random", "model"))
# Most go well, or nothing would come far.
answers = st.sampled_from(("ok",) * len(ANSWERS) + ANSWERS)
clock_steps = _seconds(0.05, 0.3, 1, 1, 4, 4, 20, 700)
request_ids = st.sampled_from(("", "one", "two"))
happenings = st.sampled_from(("begin", "print", "print", "end", "end", "end", "finish", "vanish", "wait", "never"))
exits = st.sampled_from(EXITS)


@dataclass(frozen=True)
class Deed:
    """One thing that may happen; `what` is the name of a method of the machine, the rest its arguments."""

    what: str
    arguments: tuple[Any, ...] = ()


def _deed(what: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Deed]:
    return st.builds(Deed, st.just(what), st.tuples(*arguments))


happening = _deed("happen", which, happenings, values, exits)
# What may come while a manager stands still in the middle of something.
deeds = st.one_of(
    happening,
    _deed("take_over", st.integers(0, 3)),
    _deed("take_back"),
    _deed("others_pass", st.integers(1, 3)),
    _deed("wait", clock_steps),
    _deed("answer", which, answers),
    _deed("stop"),
    _deed("delete"),
    _deed("pause"),
    _deed("resume"),
    _deed("stop_trial", which),
    _deed("change", limits, _maybe(st.sampled_from((0.5, 0.9)))),
    _deed("report", which, values, sequences),
    _deed("complete", which, _maybe(values)),
    _deed("suggest", st.integers(1, 2), clients, st.just("ok")),
    _deed("go_on", which, values, sequences, clients, asked, st.just("ok")),
)


@dataclass(frozen=True)
class Script:
    """Trouble to come; see `world.Trouble`."""

    kind: str
    at: str
    after: bool = False
    meanwhile: tuple[Deed, ...] = ()


# The calls that managers make. Between what was read and what is written most can go
# wrong.
_at = st.sampled_from(
    ("apply",) * 8
    + (
        "add_trials",
        "add_trials",
        "create",
        "create",
        "unfinished_trials",
        "list",
        "stop",
        "delete",
        "output",
        "log",
        "get_study",
    )
    + ("set_parameters", "generate", "should_stop", "curves", "finished_trials", "delete_study")
    + ("update_study", "update_study", "report", "get_trial", "create_study", "find_request", "has_trials_for")
    + ("give_trials", "apply_to")
)
crashes = st.builds(Script, st.just("crash"), _at, st.booleans())
absences = st.builds(Script, st.just("away"), _at, st.booleans())
freezes = st.builds(
    Script,
    st.sampled_from(("frozen", "frozen", "late")),
    _at,
    meanwhile=st.lists(deeds, min_size=1, max_size=4).map(tuple),
)
goals = _maybe(st.sampled_from((0.5, 0.9)))
counts = st.integers(1, 3)
mostly = st.sampled_from((True, True, True, False))
then = st.sampled_from(("answers", "answers", "answers", "passes", "passes", ""))
several_happenings = st.lists(happening, min_size=1, max_size=4)
controls = st.one_of(
    _deed("stop"),
    _deed("delete"),
    _deed("pause"),
    _deed("resume"),
    _deed("resume"),
    _deed("stop_trial", which),
    _deed("stop_trial", which),
    _deed("change", limits, goals),
    _deed("change", limits, goals),
    _deed("change", limits, goals),
)
client_deeds = st.one_of(
    _deed("report", which, values, sequences),
    _deed("complete", which, _maybe(values)),
    _deed("suggest", st.integers(1, 3), clients, answers),
    _deed("go_on", which, values, sequences, clients, asked, answers),
)

# The calls between which a use case reads and writes.
_CALLS: Final = {
    "suggest": ("has_trials_for", "hand_out", "set_parameters", "generate", "add_trials", "give_trials"),
    "report": ("get_trial", "report"),
    "complete": ("apply_to",),
    "go_on": ("apply_to", "apply_to", "has_trials_for", "set_parameters", "generate", "add_trials", "give_trials"),
    "stop_trial": ("get_trial", "apply"),
}


def _race(deed: Deed) -> st.SearchStrategy[tuple[Deed, Script]]:
    meanwhile = st.lists(deeds, min_size=1, max_size=3) | st.lists(st.just(deed), min_size=1, max_size=1)
    at = st.sampled_from(_CALLS.get(deed.what, ("update_study",)))
    return st.tuples(st.just(deed), st.builds(Script, st.just("frozen"), at, meanwhile=meanwhile.map(tuple)))


some_values = st.lists(values, min_size=1, max_size=3)
perhaps_frozen = st.none() | st.builds(
    Script,
    st.sampled_from(("frozen", "late")),
    st.just("apply_to"),
    meanwhile=st.lists(deeds, min_size=1, max_size=2).map(tuple),
)

# A user's call, and what comes in the middle of it: often another one's of the same kind.
races = st.one_of(client_deeds, client_deeds, controls).flatmap(_race)
