"""Observations as they are read, and which of new ones are there already."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Final

from sqlalchemy import bindparam, func, select

from katib.domain.errors import NotFoundError
from katib.domain.metrics import Observation
from katib.domain.trial import Trial
from katib.domain.views import Page
from katib.manager.storage.sql.rows import OBSERVATION_COLUMNS, observation_from_row, value_from_columns
from katib.manager.storage.sql.session import Session
from katib.manager.storage.sql.statement import Statement, by_index, filled, parameters
from katib.manager.storage.sql.studies import THERE
from katib.manager.storage.sql.tables import observations, trials
from katib.manager.storage.sql.trials import OF_LIVING
from katib.manager.storage.tokens import OBSERVATION_KEY, make_token, observation_list, read_token
from katib.manager.storage.work import Key

# Trials to a statement, and values that it goes through, but for a single trial that has more: what is grouped is in memory,
# with SQLite in the manager's, and a statement has its time to answer in.
_AT_ONCE: Final = 256
VALUES_AT_ONCE: Final = 50_000
COUNTED_AT_ONCE: Final = 1024
_ATTEMPT: Final = Statement(
    select(trials.c.attempt).select_from(OF_LIVING).where(trials.c.id == bindparam("trial"), THERE)
)
_of_attempt: Final = (
    observations.c.trial_id == bindparam("trial"),
    observations.c.attempt == bindparam("attempt"),
)
_LATEST: Final = Statement(
    select(*OBSERVATION_COLUMNS).where(*_of_attempt).order_by(observations.c.seq.desc()).limit(bindparam("size"))
)
_SEEN: Final = Statement(
    by_index(
        observations,
        "uq_observations_key",
        select(observations.c.source, observations.c.position, observations.c.ordinal).where(
            *_of_attempt,
            observations.c.source == bindparam("source"),
            observations.c.position.between(bindparam("first"), bindparam("last")),
        ),
    )
)


def list_observations(
    session: Session, trial_id: str, attempt: int, names: Sequence[str], page_size: int, page_token: str
) -> Page[Observation]:
    list_ = observation_list(trial_id, attempt, names)
    current = _current_attempt(session, trial_id)
    attempt, after = read_token(list_, page_token, OBSERVATION_KEY) if page_token else (attempt or current, 0)
    values = {f"name{i}": name for i, name in enumerate(names)}
    rows = session.rows(_page(len(names)), trial=trial_id, attempt=attempt, after=after, size=page_size + 1, **values)
    page = rows[:page_size]
    token = make_token(list_, (attempt, page[-1][-1])) if len(rows) > page_size else ""
    return Page([observation_from_row(row) for row in page], token)


def observations_after(
    session: Session, trial_id: str, attempt: int, names: Sequence[str], after: int, limit: int
) -> tuple[Sequence[Observation], int]:
    values = {f"name{i}": name for i, name in enumerate(names)}
    rows = session.rows(_page(len(names)), trial=trial_id, attempt=attempt, after=after, size=limit, **values)
    return [observation_from_row(row) for row in rows], rows[-1][-1] if rows else after


def latest_observations(session: Session, trial_id: str, limit: int) -> tuple[Sequence[Observation], bool]:
    attempt = _current_attempt(session, trial_id)
    rows = session.rows(_LATEST, trial=trial_id, attempt=attempt, size=limit + 1)
    return [observation_from_row(row) for row in reversed(rows[:limit])], len(rows) > limit


def taken(session: Session, trial_ids: Sequence[str]) -> Sequence[tuple[str, int]]:
    """How many observations each of these trials has, of all its attempts; those without are left out."""
    if not trial_ids:
        return []
    values = filled("trial", trial_ids)
    return [(row[0], row[1]) for row in session.rows(_taken(len(values)), **values) if row[1]]


def portions(
    taken_by: Callable[[Sequence[str]], Iterable[tuple[str, int]]], trial_ids: Sequence[str]
) -> Iterator[Sequence[str]]:
    """Those that have values, as many at once as one statement may look at; one that has more by itself."""
    some: list[str] = []
    size = 0
    for begin in range(0, len(trial_ids), COUNTED_AT_ONCE):
        for trial_id, values in taken_by(trial_ids[begin : begin + COUNTED_AT_ONCE]):
            if some and (len(some) == _AT_ONCE or size + values > VALUES_AT_ONCE):
                yield some
                some, size = [], 0
            some.append(trial_id)
            size += values
    if some:
        yield some


def curves(session: Session, of: Mapping[str, int], metrics: Sequence[str]) -> Mapping[str, Sequence[Observation]]:
    """`of`: trials of a portion, each with the attempt that is meant."""
    values = {**filled("trial", list(of)), **{f"name{i}": name for i, name in enumerate(metrics)}}
    found: dict[str, list[Observation]] = {}
    for row in session.rows(_curves(len(values) - len(metrics), len(metrics)), **values):
        observation = observation_from_row(row)
        if observation.attempt == of[row[-1]]:
            found.setdefault(row[-1], []).append(observation)
    return found


def last_values(session: Session, of: Sequence[Trial]) -> Mapping[str, Mapping[str, float]]:
    found: dict[str, dict[str, float]] = {}
    attempts = {trial.id: trial.attempt for trial in of}
    for some in portions(lambda ids: taken(session, ids), list(attempts)):
        values = filled("trial", some)
        for trial_id, attempt, name, value, kind in session.rows(_last_values(len(values)), **values):
            if attempt == attempts[trial_id]:
                found.setdefault(trial_id, {})[name] = value_from_columns(value, kind)
    return found


def seen_keys(session: Session, trial_id: str, attempt: int, new: Sequence[Observation]) -> Sequence[Key]:
    """The keys in this attempt that new observations could have, those between the ends of each source's positions: what
    follows upon what is there finds nothing."""
    positions: dict[str, list[int]] = {}
    for observation in new:
        positions.setdefault(observation.source, []).append(observation.position)
    found: list[Key] = []
    for source, at in positions.items():
        rows = session.rows(_SEEN, trial=trial_id, attempt=attempt, source=source, first=min(at), last=max(at))
        found += [(row[0], row[1], row[2]) for row in rows]
    return found


def _current_attempt(session: Session, trial_id: str) -> int:
    row = session.row(_ATTEMPT, trial=trial_id)
    if row is None:
        raise NotFoundError(f"there is no trial {trial_id}")
    return int(row[0])


@cache
def _page(names: int) -> Statement:
    statement = select(*OBSERVATION_COLUMNS, observations.c.seq).where(
        *_of_attempt, observations.c.seq > bindparam("after")
    )
    if names:
        statement = statement.where(observations.c.name.in_(parameters("name", names)))
    return Statement(statement.order_by(observations.c.seq).limit(bindparam("size")))


@cache
def _curves(size: int, names: int) -> Statement:
    """Of every attempt; few trials have more than one."""
    return Statement(
        select(*OBSERVATION_COLUMNS, observations.c.trial_id)
        .where(
            observations.c.trial_id.in_(parameters("trial", size)), observations.c.name.in_(parameters("name", names))
        )
        .order_by(observations.c.trial_id, observations.c.attempt, observations.c.seq)
    )


@cache
def _taken(size: int) -> Statement:
    return Statement(select(trials.c.id, trials.c.taken).where(trials.c.id.in_(parameters("trial", size))))


@cache
def _last_values(size: int) -> Statement:
    """Of every attempt; few trials have more than one."""
    newest = (
        select(observations.c.trial_id, observations.c.attempt, func.max(observations.c.seq).label("seq"))
        .where(observations.c.trial_id.in_(parameters("trial", size)))
        .group_by(observations.c.trial_id, observations.c.attempt, observations.c.name)
        .subquery("newest")
    )
    is_newest = (
        (observations.c.trial_id == newest.c.trial_id)
        & (observations.c.attempt == newest.c.attempt)
        & (observations.c.seq == newest.c.seq)
    )
    statement = (
        select(
            observations.c.trial_id,
            observations.c.attempt,
            observations.c.name,
            observations.c.value,
            observations.c.kind,
        )
        .select_from(newest.join(observations, is_newest))
        .order_by(observations.c.trial_id, observations.c.seq)
    )
    # Left alone, MySQL with old statistics goes through all values there are, in one order of the tables or the other.
    return Statement(by_index(observations, "`PRIMARY`", statement.prefix_with("STRAIGHT_JOIN", dialect="mysql")))
