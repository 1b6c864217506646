"""Many trials as columns: what lists, tables and charts of a whole study are made of.

Ten thousand trials are a hundred thousand objects when each is one of its own, and making these is most of what it costs to
read them, to send them and to take them in. As columns they are a dozen lists of numbers and texts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from katib.domain.times import to_micros, to_micros_or_none
from katib.domain.trial import Trial, TrialState
from katib.domain.views import StudySummary


@dataclass(frozen=True, slots=True)
class TrialColumns:
    """The same place in each column is the same trial. Times are microseconds since 1970; a reason stands with its message; of
    `parameters`, by name, a trial that has none of that name has None."""

    ids: Sequence[str]
    numbers: Sequence[int]
    states: Sequence[TrialState]
    attempts: Sequence[int]
    objectives: Sequence[float | None]
    reasons: Sequence[tuple[str, str]]
    created: Sequence[int]
    started: Sequence[int | None]
    ended: Sequence[int | None]
    parameters: Mapping[str, Sequence[str | None]]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class TrialChanges:
    """How a study stands, and trials of it that are new or changed, by revision. `revision`: to go on from; less than the
    study's while there are more."""

    study: StudySummary
    trials: TrialColumns
    revision: int

    @property
    def more(self) -> bool:
        return self.revision < self.study.revision


def columns_of(trials: Sequence[Trial]) -> TrialColumns:
    return TrialColumns(
        ids=[trial.id for trial in trials],
        numbers=[trial.number for trial in trials],
        states=[trial.state for trial in trials],
        attempts=[trial.attempt for trial in trials],
        objectives=[trial.objective for trial in trials],
        reasons=[(trial.reason, trial.message) for trial in trials],
        created=[to_micros(trial.created_at) for trial in trials],
        started=[to_micros_or_none(trial.started_at) for trial in trials],
        ended=[to_micros_or_none(trial.ended_at) for trial in trials],
        parameters=by_name([[(p.name, p.type, p.value) for p in trial.parameters] for trial in trials]),
    )


def by_name(rows: Sequence[Sequence[tuple[str, object, str]]]) -> dict[str, list[str | None]]:
    """Parameters (name, type and value) trial by trial as a column of values for each name."""
    columns: dict[str, list[str | None]] = {}
    for place, row in enumerate(rows):
        for name, _type, value in row:
            column = columns.get(name)
            if column is None:
                column = columns[name] = [None] * len(rows)
            column[place] = value
    return columns
