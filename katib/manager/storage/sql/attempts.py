"""The attempts that were followed by another."""

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import bindparam, insert, select

from katib.domain.errors import NotFoundError
from katib.domain.times import from_micros_or_none, to_micros_or_none
from katib.domain.trial import TrialAttempt
from katib.manager.storage.sql.rows import float_from_columns, float_to_columns
from katib.manager.storage.sql.session import Session
from katib.manager.storage.sql.statement import Statement
from katib.manager.storage.sql.studies import THERE
from katib.manager.storage.sql.tables import attempts, studies, trials

_INSERT: Final = Statement(insert(attempts))
_TRIAL: Final = Statement(
    select(trials.c.attempt)
    .join(studies, studies.c.id == trials.c.study_id)
    .where(trials.c.id == bindparam("trial"), THERE)
)
_BY_TRIAL: Final = Statement(
    select(
        attempts.c.number,
        attempts.c.run,
        attempts.c.reason,
        attempts.c.message,
        attempts.c.objective_value,
        attempts.c.objective_kind,
        attempts.c.started_at,
        attempts.c.ended_at,
    )
    .where(attempts.c.trial_id == bindparam("trial"))
    .order_by(attempts.c.number)
)


def earlier_attempts(session: Session, trial_id: str) -> Sequence[TrialAttempt]:
    row = session.row(_TRIAL, trial=trial_id)
    if row is None:
        raise NotFoundError(f"there is no trial {trial_id}")
    if row[0] == 1:
        return []
    return [
        TrialAttempt(
            number=row[0],
            run=row[1],
            reason=row[2],
            message=row[3],
            objective=float_from_columns(row[4], row[5]),
            started_at=from_micros_or_none(row[6]),
            ended_at=from_micros_or_none(row[7]),
        )
        for row in session.rows(_BY_TRIAL, trial=trial_id)
    ]


def store_attempts(session: Session, failed: Mapping[str, TrialAttempt]) -> None:
    rows = []
    for trial_id, attempt in failed.items():
        value, kind = float_to_columns(attempt.objective)
        rows.append(
            {
                "trial_id": trial_id,
                "number": attempt.number,
                "run": attempt.run,
                "reason": attempt.reason,
                "message": attempt.message,
                "objective_value": value,
                "objective_kind": kind,
                "started_at": to_micros_or_none(attempt.started_at),
                "ended_at": to_micros_or_none(attempt.ended_at),
            }
        )
    session.write_all(_INSERT, rows)
