"""The trials of a study as columns: what the study page asks for first, and then only what has changed.

Ten thousand trials in a few hundred kilobytes: parameters have six digits, objectives ten, words stand in dictionaries, times
count seconds from the study's creation, ids are shortened to what finds them again beside a trial's number. Exact values are on
the trial's own page and in the downloads.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Generic, TypeAlias, TypeVar

from katib.dashboard.text import rounded
from katib.domain.parameters import ParameterConfig, ParameterType, Scale
from katib.domain.study import StudySpec
from katib.domain.times import to_micros
from katib.domain.trial import TrialState
from katib.domain.trial_columns import TrialColumns

Json: TypeAlias = dict[str, object]
T = TypeVar("T")

# A letter and 7 digits: with the trial's number, enough to find one among the trials of its study.
SHORT_ID: Final = 8
# Digits of an objective: near the optimum trials differ late.
_OBJECTIVE: Final = 10
# Of a list of numbers as many are written along an axis.
_MARKS: Final = 12
_STATES: Final = {
    TrialState.PENDING: "P",
    TrialState.RUNNING: "R",
    TrialState.COMPLETED: "C",
    TrialState.KILLED: "K",
    TrialState.ERROR: "E",
}


class _Words(Generic[T]):
    """Each different value once, and for each row its place."""

    def __init__(self) -> None:
        self._places: dict[T, int] = {}

    def add(self, value: T) -> int:
        return self._places.setdefault(value, len(self._places))

    @property
    def list(self) -> Sequence[T]:
        return list(self._places)


def trial_columns(spec: StudySpec, trials: TrialColumns, epoch: datetime) -> Json:
    """By number. `n`: each number's distance from the one before; `id`; `s`: a letter for each state; `o`: objectives;
    `a`: attempts; `t`: created, started and ended in tenths of a second after `epoch`, each as its distance from the row
    before; `r`: reason and message; `p`: values of the parameters in the order of the search space."""
    rows = sorted(range(len(trials)), key=trials.numbers.__getitem__)
    numbers = _ordered(trials.numbers, rows)
    reasons: _Words[tuple[str, str]] = _Words()
    return {
        "n": [number - before for number, before in zip(numbers, [0, *numbers], strict=False)],
        "id": [id_[:SHORT_ID] for id_ in _ordered(trials.ids, rows)],
        "s": "".join([_STATES[state] for state in _ordered(trials.states, rows)]),
        "o": [rounded(value, _OBJECTIVE) for value in _ordered(trials.objectives, rows)],
        "a": _ordered(trials.attempts, rows),
        "t": [
            _tenths(to_micros(epoch), _ordered(times, rows)) for times in (trials.created, trials.started, trials.ended)
        ],
        "r": [reasons.add(reason) for reason in _ordered(trials.reasons, rows)],
        "reasons": reasons.list,
        "p": [
            _parameter_column(config, _ordered(trials.parameters.get(config.name, [None] * len(rows)), rows))
            for config in spec.parameters
        ],
    }


def parameter_axes(spec: StudySpec) -> list[Json]:
    """The search space as axes: name, kind (number or word), scale, bounds or values."""
    axes: list[Json] = []
    for config in spec.parameters:
        feasible = config.feasible
        axis: Json = {
            "name": config.name,
            "words": config.type is ParameterType.CATEGORICAL,
            "log": feasible.scale is Scale.LOG,
        }
        if config.type is ParameterType.CATEGORICAL:
            axis["list"] = list(feasible.list)
        elif config.type is ParameterType.DISCRETE:
            numbers = [float(text) for text in feasible.list]
            axis["min"], axis["max"] = min(numbers), max(numbers)
            if len(numbers) <= _MARKS:
                axis["values"] = sorted(numbers)
        else:
            axis["min"], axis["max"] = float(feasible.min), float(feasible.max)
            axis["int"] = config.type is ParameterType.INT
        axes.append(axis)
    return axes


def _ordered(column: Sequence[T], rows: Sequence[int]) -> list[T]:
    return [column[row] for row in rows]


def _parameter_column(config: ParameterConfig, values: Sequence[str | None]) -> Json:
    if config.type is ParameterType.CATEGORICAL:
        words: _Words[str] = _Words()
        column = [None if value is None else words.add(value) for value in values]
        return {"w": words.list, "v": column}
    read = _whole if config.type is ParameterType.INT else _number
    return {"v": [None if value is None else read(value) for value in values]}


def _whole(text: str) -> object:
    try:
        return int(text)
    except ValueError:
        return _number(text)


def _number(text: str) -> object:
    """A client that drives its study itself may have stored any text."""
    try:
        return rounded(float(text))
    except ValueError:
        return None


def _tenths(epoch: int, times: Sequence[int | None]) -> list[int | None]:
    """Each as its distance from the one before, in tenths of a second: small numbers, which compress well. None stays None."""
    out: list[int | None] = []
    before = 0
    for time in times:
        if time is None:
            out.append(None)
            continue
        tenths = round((time - epoch) / 100_000)
        out.append(tenths - before)
        before = tenths
    return out
