"""Which trials a client is given that are there already: a pure function of what was read, shared by every storage."""

import dataclasses
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from katib.domain.lease import show_period
from katib.domain.study import Intent, Study, StudyState
from katib.domain.trial import NewTrial, Trial, TrialAttempt, TrialReason, TrialState
from katib.manager.storage.decisions import Decision, decide_trials


def decide_hand_out(
    study: Study,
    mine: Sequence[Trial],
    lapsed: Sequence[Trial],
    client_id: str,
    count: int,
    lease: timedelta,
    at: datetime,
    now: datetime,
) -> tuple[Decision, Sequence[Trial]]:
    """See Storage.hand_out: what is to be stored, and what the client gets. `mine` are the client's unfinished trials, `lapsed`
    those whose lease may be over, the one that has been for longest first; `now` by the clock of leases."""
    if study.state is not StudyState.RUNNING or study.intent is not Intent.NONE:
        return Decision(study, {}, {}, {}, frozenset()), ()
    own = sorted((t for t in mine if _is_to_go_on(t)), key=lambda trial: trial.number)[:count]
    renewed = [dataclasses.replace(t, lease=lease, lease_until=now + lease) for t in own]
    others = [t for t in lapsed if _is_to_go_on(t) and t.client_id != client_id and _is_over(t, now)][
        : count - len(own)
    ]
    if others:
        study = dataclasses.replace(study, revision=study.revision + 1)
    attempts, taken = {}, []
    for trial in others:
        silent = f"client {trial.client_id} gave no sign of itself for {show_period(trial.lease)}"
        attempts[trial.id] = TrialAttempt(
            number=trial.attempt,
            run=trial.run,
            reason=TrialReason.LEASE_EXPIRED,
            message=silent,
            objective=trial.objective,
            started_at=trial.started_at,
            ended_at=at,
        )
        taken.append(
            dataclasses.replace(
                trial,
                attempt=trial.attempt + 1,
                client_id=client_id,
                reason=TrialReason.LEASE_EXPIRED,
                message=f"{silent}; handed on to {client_id}",
                run="",
                objective=None,
                started_at=at,
                lease=lease,
                lease_until=now + lease,
                revision=study.revision,
            )
        )
    given = (*renewed, *taken)
    return Decision(study, {trial.id: trial for trial in given}, {}, attempts, frozenset()), given


def decide_given(
    study: Study,
    mine: Sequence[Trial],
    lapsed: Sequence[Trial],
    client_id: str,
    count: int,
    lease: timedelta | None,
    at: datetime,
    now: datetime,
    choose: Callable[[Study, int], Sequence[NewTrial]],
) -> tuple[Decision, Sequence[Trial], Study, Sequence[Trial]]:
    """See Storage.give_trials: as `decide_hand_out`, and the study with the trials that are new beside those."""
    given: Sequence[Trial] = ()
    decision = Decision(study, {}, {}, {}, frozenset())
    if lease is not None:
        decision, given = decide_hand_out(study, mine, lapsed, client_id, count, lease, at, now)
    new = choose(decision.study, count - len(given))
    if not new:
        return decision, given, decision.study, ()
    suggested = decision.study.suggested
    changed, added = decide_trials(
        decision.study, suggested, new, at, client_id, None, running=True, lease=lease, now=now
    )
    return decision, given, changed, added


def _is_to_go_on(trial: Trial) -> bool:
    return trial.state is TrialState.RUNNING and not trial.stop_reason


def _is_over(trial: Trial, now: datetime) -> bool:
    return trial.lease_until is not None and trial.lease_until <= now
