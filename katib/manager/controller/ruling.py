"""A study's conversation with its early-stopping service: asked when new metrics came, one call at a time, never waited for.

A pass takes the answer that has come (`take`), and if its plan says so begins the next call (`ask`). Which one that is:

- a delta (`Telling`): at first, and again after every failure. Where more has come than fits in one, further ones follow at
  once, and the last of them is the question.
- in full, where the service lacked what it had been told more than _LACKS times in a row, or knows no deltas: first its
  settings, unless it has accepted these, then the question with everything.

What is remembered here is lost with the process, and costs one question more then.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from katib.domain.backoff import by_chance, doubled
from katib.domain.errors import (
    DeadlineExceededError,
    KatibError,
    ResourceExhaustedError,
    UnavailableError,
    UnimplementedError,
)
from katib.domain.study import CHECK_INTERVAL, Study, StudyReason, StudySpec
from katib.domain.trial import Trial, TrialReason, TrialState
from katib.manager.changes import StopRequest
from katib.manager.controller.telling import Telling
from katib.manager.ports import Storage
from katib.manager.service_ports import EarlyStoppingServices, StoppingAnswer, StoppingRequest
from katib.manager.suggested import told_of
from katib.worker.base import RunStatus

_log: Final = logging.getLogger(__name__)

# Questions keep a distance even when metrics pour in.
_LEAST_INTERVAL: Final = timedelta(seconds=0.5)
# A service that comes back is used within so long. One that answers but fails may only have to be told its settings again; if
# that does not help it will hardly be mended within seconds, and the wait doubles up to _FAILING_MOST_S.
_AWAY_S: Final = 2.0
_FAILING_MOST_S: Final = 30.0
_SHOWN: Final = 300
# To make a question in full may take seconds: for so many times as long none is made, and the study's other business goes on.
_REST: Final = 9
# A service that does not have what it was told a moment ago, so many times in a row, is asked in full. It has no room for the
# study, or there are several that take turns.
_LACKS: Final = 3
# But with so many values no message may hold them, and they would take gigabytes here. Such a service is asked seldom: each
# time it is told everything.
_MOST_IN_FULL: Final = 500_000
_NO_ROOM_S: Final = 300.0


class _NoRoomError(ResourceExhaustedError):
    """Of a service that does not keep a study too long to be asked about in full."""


@dataclass(frozen=True, slots=True)
class _Delta:
    call: Future[StoppingAnswer]


@dataclass(frozen=True, slots=True)
class _Settings:
    call: Future[None]


@dataclass(frozen=True, slots=True)
class _InFull:
    call: Future[Mapping[str, str]]


class Ruling:
    """One study's. Used by the thread that reconciles the study; `wake` is called from any when an answer has come."""

    def __init__(self, services: EarlyStoppingServices, storage: Storage, wake: Callable[[], None]) -> None:
        self._services = services
        self._storage = storage
        self._wake = wake
        self._telling = Telling(storage)
        self._out: _Delta | _Settings | _InFull | None = None
        # By trial, the attempt that the question which is out tells of: what is answered says nothing of a later one.
        self._attempts: Mapping[str, int] = {}
        # How often in a row the service did not have what it was told; more than _LACKS: it is asked in full.
        self._lacks = 0
        # The settings that a service without deltas has accepted: it may keep them in memory, as those of 0.1 do.
        self._accepted: StudySpec | None = None
        # Somebody before us may have stored some that no rule has seen yet.
        self._new_metrics = True
        self._next: datetime | None = None
        # Before this none is made in full, whatever comes in between.
        self._next_in_full: datetime | None = None
        self._failures = 0
        self._trouble: tuple[str, str] | None = None

    @property
    def trouble(self) -> tuple[str, str] | None:
        """Reason and message to show on the study: why no trial is stopped early at present."""
        return self._trouble

    def metrics_came(self) -> None:
        """Or it cannot be known that none have, as when what an answer asked for was not stored."""
        self._new_metrics = True

    def due(self, study: Study, now: datetime) -> bool:
        at = self.next_time(study, now)
        return at is not None and at <= now

    def next_time(self, study: Study, now: datetime) -> datetime | None:
        """When `due` is true, or may become so by the passing of time alone."""
        if not study.spec.rule or self._out is not None or not (self._new_metrics or _interval(study)):
            return None
        return max(self._next or now, now)

    @property
    def _asks_in_full(self) -> bool:
        return self._lacks > _LACKS

    def ask(self, study: Study, trials: Sequence[Trial], now: datetime) -> None:
        rule = study.spec.rule
        began = time.monotonic()
        if not self._asks_in_full:
            self._out = _Delta(self._services.should_stop_delta(rule, self._telling.question(study)))
            self._attempts = self._telling.attempts()
        elif self._accepted != study.spec:
            self._out = _Settings(self._services.set_parameters(rule, study.id, study.spec))
        else:
            everything = self._everything(study, trials)
            self._out = _InFull(self._services.should_stop(rule, everything))
            self._attempts = {trial.id: trial.attempt for trial in everything.running}
        self._new_metrics = False
        rest = timedelta(seconds=_REST * (time.monotonic() - began))
        self._next = now + max(_interval(study) or _LEAST_INTERVAL, rest)
        if isinstance(self._out, _InFull):
            self._next_in_full = now + rest
        self._out.call.add_done_callback(lambda _: self._wake())

    def _everything(self, study: Study, trials: Sequence[Trial]) -> StoppingRequest:
        running = [t for t in trials if t.state is TrialState.RUNNING and not t.stop_reason]
        finished = self._storage.finished_trials(study.id)
        return StoppingRequest(
            study_id=study.id,
            spec=study.spec,
            running=running,
            finished=finished,
            curves=self._storage.curves([*running, *finished], study.spec.metric_names),
        )

    def take(self, study: Study, now: datetime) -> list[StopRequest]:
        """The requests of an answer that has come. A service that fails stops nothing, and is asked again."""
        try:
            stopped = self._answer(study, now)
        except KatibError as error:
            self._failed(study, error, now)
            return []
        return [
            StopRequest(trial_id, TrialReason.EARLY_STOPPED, _message(study.spec.rule, why), self._attempts[trial_id])
            for trial_id, why in stopped.items()
            if trial_id in self._attempts
        ]

    def _answer(self, study: Study, now: datetime) -> Mapping[str, str]:
        """Empty where none has come, or only one on the way to one. Raises the call's KatibError."""
        out = self._out
        if out is None or not out.call.done():
            return {}
        self._out = None
        stopped: Mapping[str, str] | None = None
        match out:
            case _Delta(call):
                try:
                    stopped = self._delta_answered(call.result())
                except UnimplementedError:
                    self._lacks = _LACKS + 1
            case _Settings(call):
                call.result()
                self._accepted = study.spec
            case _InFull(call):
                stopped = call.result()
        if stopped is None:
            # The question proper comes next.
            self._new_metrics = True
            self._next = now
            if self._asks_in_full and self._accepted == study.spec and self._next_in_full is not None:
                self._next = max(now, self._next_in_full)
            return {}
        self._trouble = None
        self._failures = 0
        return stopped

    def _delta_answered(self, answer: StoppingAnswer) -> Mapping[str, str] | None:
        if not self._telling.answered(answer):
            self._lacks += 1
            lost = self._telling.lost
            if self._asks_in_full and lost > _MOST_IN_FULL:
                raise _NoRoomError(
                    f"it does not keep the study's values, of which it had been told {lost:,}: begin it with a larger "
                    "--curves-cache-mib (KATIB_CURVES_CACHE_MIB), and have one alone serve at its address"
                )
            # One that had no room to keep it has answered all the same.
            return answer.stopped
        if self._telling.more:
            return None
        self._lacks = 0
        return answer.stopped

    def _failed(self, study: Study, error: KatibError, now: datetime) -> None:
        away = isinstance(error, UnavailableError | DeadlineExceededError)
        reason = StudyReason.EARLY_STOPPING_UNAVAILABLE if away else StudyReason.EARLY_STOPPING_FAILED
        told = told_of(f"earlystopping-{study.spec.rule}", error.message)
        self._trouble = (reason, f"{told}; no trial is stopped early until it answers, the study goes on")
        _log.warning(
            "early stopping could not be asked: %s", error, extra={"study_id": study.id, "rule": study.spec.rule}
        )
        # Whatever serves there next may be another program.
        self._telling.begin_anew()
        self._lacks = 0
        self._accepted = None
        self._new_metrics = True
        self._failures += 1
        if isinstance(error, _NoRoomError):
            seconds = _NO_ROOM_S
        else:
            seconds = _AWAY_S if away else doubled(self._failures, _AWAY_S, _FAILING_MOST_S)
        self._next = now + timedelta(seconds=by_chance(seconds, 0.6))


def asked_to_stop(
    trials: list[Trial], requests: list[StopRequest], runs: Mapping[str, RunStatus]
) -> tuple[list[Trial], list[StopRequest]]:
    """The trials as they are with these requests, and those requests that concern the present attempt of one of them that has
    not ended by itself.

    One that is PENDING is told in the next pass, when the request is stored: it would be fenced in this one, and found as a run
    that failed for no reason if the request could not be stored.
    """
    ended = {(run.trial_id, run.attempt) for run in runs.values() if run.phase.ended}
    by_attempt = {(r.trial_id, r.attempt): r for r in requests if (r.trial_id, r.attempt) not in ended}
    asked = {t.id: by_attempt[t.id, t.attempt] for t in trials if (t.id, t.attempt) in by_attempt and not t.stop_reason}
    return [
        replace(t, stop_reason=asked[t.id].reason, stop_message=asked[t.id].message)
        if t.id in asked and t.state is TrialState.RUNNING
        else t
        for t in trials
    ], list(asked.values())


def _message(rule: str, why: str) -> str:
    text = f"stopped early by {rule}"
    return f"{text}: {why[:_SHOWN]}" if why else text


def _interval(study: Study) -> timedelta | None:
    for setting in study.spec.early_stopping_settings:
        if setting.name == CHECK_INTERVAL:
            return timedelta(seconds=int(setting.value))
    return None
