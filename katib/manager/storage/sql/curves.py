"""What many trials have reported, a piece at a time: a study may have millions of values, and each is an object here."""

from collections.abc import Iterator, Mapping, Sequence

from katib.domain.metrics import Observation
from katib.domain.trial import Trial
from katib.manager.storage.sql import observations
from katib.manager.storage.sql.database import Database


def values_taken(database: Database, trials: Sequence[Trial]) -> Mapping[str, int]:
    ids = [trial.id for trial in trials]
    found: dict[str, int] = {}
    for begin in range(0, len(ids), observations.COUNTED_AT_ONCE):
        some = ids[begin : begin + observations.COUNTED_AT_ONCE]
        found.update(database.read(lambda session, some=some: observations.taken(session, some)))  # type: ignore[misc]
    return found


def curves(
    database: Database, trials: Sequence[Trial], metrics: Sequence[str]
) -> Iterator[tuple[str, Sequence[Observation]]]:
    """Each piece is read by itself, so that nothing is held between two of them."""
    if not metrics:
        return
    attempts = {trial.id: trial.attempt for trial in trials}

    def taken(ids: Sequence[str]) -> Sequence[tuple[str, int]]:
        return database.read(lambda session: observations.taken(session, ids))

    for some in observations.portions(taken, list(attempts)):
        if len(some) == 1:
            yield from _of_one(database, some[0], attempts[some[0]], metrics)
        else:
            of = {trial_id: attempts[trial_id] for trial_id in some}
            found = database.read(lambda session, of=of: observations.curves(session, of, metrics))  # type: ignore[misc]
            yield from found.items()


def _of_one(
    database: Database, trial_id: str, attempt: int, metrics: Sequence[str]
) -> Iterator[tuple[str, Sequence[Observation]]]:
    """It may have more than fit at once."""
    most = observations.VALUES_AT_ONCE
    after = 0
    while True:
        found, after = database.read(
            lambda session, after=after: observations.observations_after(  # type: ignore[misc]
                session, trial_id, attempt, metrics, after, most
            )
        )
        if found:
            yield trial_id, found
        if len(found) < most:
            return
