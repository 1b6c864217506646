"""Which trials a client is given that are there already: a pure function of what was read, shared by every storage."""

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from katib.domain.errors import AbortedError
from katib.domain.lease import show_period
from katib.domain.study import Intent, Study, StudyState
from katib.domain.trial import MAX_DISRUPTIONS, Trial, TrialAttempt, TrialReason, TrialState
from katib.manager.changes import Giving, StudyChanges, TrialMove
from katib.manager.storage.decisions import decide_changes, decide_trials
from katib.manager.storage.work import Decision


def decide_hand_out(
    study: Study,
    mine: Sequence[Trial],
    lapsed: Sequence[Trial],
    client_id: str,
    count: int,
    lease: timedelta,
    at: datetime,
    now: datetime,
    again: bool,
) -> tuple[Decision, Sequence[Trial]]:
    """See Storage.hand_out: what is to be stored, and what the client gets. `mine` are the client's unfinished trials, `lapsed`
    those whose lease may be over, the one that has been for longest first; `now` by the clock of leases."""
    if study.state is not StudyState.RUNNING or study.intent is not Intent.NONE:
        return Decision(study, {}, {}, {}, frozenset()), ()
    own = sorted((t for t in mine if _is_to_go_on(t)), key=lambda trial: trial.number)[:count]
    over = [t for t in lapsed if _is_to_go_on(t) and t.client_id != client_id and _is_over(t, now)]
    further = max(study.spec.limits.retry_limit or 0, MAX_DISRUPTIONS)
    hopeless = {t.id: t for t in over if t.attempt > further}
    ended: Mapping[str, Trial] = {}
    if hopeless:
        moved = decide_changes(study, hopeless, StudyChanges(moves=tuple(_end(t, at) for t in hopeless.values())), {})
        study, ended = moved.study, moved.trials
    first = [t for t in over if is_free(t, client_id, now)]
    more = [t for t in over if t.attempt > 1 and t.id not in hopeless] if again else []
    others = [*first, *more][: count - len(own)]
    if (others or any(t.lease != lease for t in own)) and not hopeless:
        study = dataclasses.replace(study, revision=study.revision + 1)
    until, revision = now + lease, study.revision
    given = (
        *(_renewed(t, lease, until, revision) for t in own),
        *(_handed_on(t, client_id, lease, until, at, revision) for t in others),
    )
    changed = {**ended, **{trial.id: trial for trial in given}}
    return Decision(study, changed, {}, {t.id: _silent_attempt(t, at) for t in others}, frozenset()), given


def _renewed(trial: Trial, lease: timedelta, until: datetime, revision: int) -> Trial:
    """The same lease once more is no change that anybody waits for."""
    if trial.lease == lease:
        return dataclasses.replace(trial, lease_until=until)
    return dataclasses.replace(trial, lease=lease, lease_until=until, revision=revision)


def _handed_on(trial: Trial, client_id: str, lease: timedelta, until: datetime, at: datetime, revision: int) -> Trial:
    """At its next attempt, which is this client's."""
    return dataclasses.replace(
        trial,
        attempt=trial.attempt + 1,
        client_id=client_id,
        reason=TrialReason.LEASE_EXPIRED,
        message=f"{_silent(trial)}; handed on to {client_id}",
        run="",
        objective=None,
        started_at=at,
        lease=lease,
        lease_until=until,
        revision=revision,
    )


def _silent_attempt(trial: Trial, at: datetime) -> TrialAttempt:
    """The one that has ended with the silence of its client."""
    return TrialAttempt(
        number=trial.attempt,
        run=trial.run,
        reason=TrialReason.LEASE_EXPIRED,
        message=_silent(trial),
        objective=trial.objective,
        started_at=trial.started_at,
        ended_at=at,
    )


def decide_given(
    study: Study,
    mine: Sequence[Trial],
    lapsed: Sequence[Trial],
    give: Giving,
    now: datetime,
) -> tuple[Decision, Sequence[Trial], Study, Sequence[Trial]]:
    """See Storage.give_trials: as `decide_hand_out`, and the study with the trials that are new beside those."""
    client_id, count, lease, at = give.client_id, give.count, give.lease, give.at
    given: Sequence[Trial] = ()
    decision = Decision(study, {}, {}, {}, frozenset())
    if lease is not None:
        decision, given = decide_hand_out(study, mine, lapsed, client_id, count, lease, at, now, again=False)
    new = give.choose(decision.study, count - len(given))
    if lease is not None and len(new) < count - len(given):
        rest = count - len(new)
        decision, given = decide_hand_out(study, mine, lapsed, client_id, rest, lease, at, now, again=True)
    if not new:
        return decision, given, decision.study, ()
    suggested = decision.study.suggested
    changed, added = decide_trials(
        decision.study, suggested, new, at, None, running=True, now=now, client_id=client_id, lease=lease
    )
    return decision, given, changed, added


def check_own(own: Mapping[str, Collection[str]], unfinished: Iterable[Trial]) -> None:
    """See Storage.add_trials. `unfinished`: at least those of the clients that are named."""
    for trial in unfinished:
        if trial.client_id in own and trial.id not in own[trial.client_id] and _is_to_go_on(trial):
            raise AbortedError(f"client {trial.client_id} has been given trial {trial.id} meanwhile, by somebody else")


def is_free(trial: Trial, client_id: str, now: datetime) -> bool:
    """Whether it is handed on to whoever asks next, before anything new."""
    return trial.attempt == 1 and trial.client_id != client_id and _is_to_go_on(trial) and _is_over(trial, now)


def _end(trial: Trial, at: datetime) -> TrialMove:
    message = (
        f"{_silent(trial)}, as those before it did in {trial.attempt - 1} attempts: whoever has it may be killed by it, as for "
        "want of memory; see what it does with these parameters"
    )
    return TrialMove(trial.id, trial.attempt, trial.state, TrialState.ERROR, TrialReason.LEASE_EXPIRED, message, at=at)


def _silent(trial: Trial) -> str:
    return f"client {trial.client_id} gave no sign of itself for {show_period(trial.lease)}"


def _is_to_go_on(trial: Trial) -> bool:
    return trial.state is TrialState.RUNNING and not trial.stop_reason


def _is_over(trial: Trial, now: datetime) -> bool:
    return trial.lease_until is not None and trial.lease_until <= now
