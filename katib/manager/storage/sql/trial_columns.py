"""Trials of a study as columns, from the rows themselves: a tenth of what the trials as objects cost."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import bindparam, select

from katib.domain.study_json import parameter_columns_from_json
from katib.domain.trial import TrialState
from katib.domain.trial_columns import TrialColumns
from katib.manager.storage.sql.rows import float_from_columns
from katib.manager.storage.sql.session import Row, Session
from katib.manager.storage.sql.studies import require_study
from katib.manager.storage.sql.tables import trials
from katib.manager.storage.sql.trials import changed_statements

_STATES: Final = {state.value: state for state in TrialState}
_COLUMNS: Final = (
    trials.c.id,
    trials.c.number,
    trials.c.state,
    trials.c.attempt,
    trials.c.objective_value,
    trials.c.objective_kind,
    trials.c.reason,
    trials.c.message,
    trials.c.created_at,
    trials.c.started_at,
    trials.c.ended_at,
    trials.c.parameters,
    trials.c.revision,
)
_CHANGED, _OF_REVISION = changed_statements(select(*_COLUMNS).where(trials.c.study_id == bindparam("study")))


def changed_columns(session: Session, study_id: str, after_revision: int, limit: int) -> tuple[TrialColumns, int]:
    """See Storage.changed_columns."""
    require_study(session, study_id)
    rows: Sequence[Row] = session.rows(_CHANGED, study=study_id, revision=after_revision, size=limit)
    if not rows:
        return _columns_of([]), after_revision
    revision = rows[-1][12]
    if len(rows) == limit:
        # One of them that changes between the two queries has a greater revision then, and comes with the next call.
        whole = session.rows(_OF_REVISION, study=study_id, revision=revision)
        rows = list({row[0]: row for row in (*rows, *whole)}.values())
    return _columns_of(sorted(rows, key=_by_revision)), revision


def _by_revision(row: Row) -> tuple[int, int]:
    return row[12], row[1]


def _columns_of(rows: Sequence[Row]) -> TrialColumns:
    return TrialColumns(
        ids=[row[0] for row in rows],
        numbers=[row[1] for row in rows],
        states=[_STATES[row[2]] for row in rows],
        attempts=[row[3] for row in rows],
        objectives=[float_from_columns(row[4], row[5]) for row in rows],
        reasons=[(row[6], row[7]) for row in rows],
        created=[row[8] for row in rows],
        started=[row[9] for row in rows],
        ended=[row[10] for row in rows],
        parameters=parameter_columns_from_json([row[11] for row in rows]),
    )
