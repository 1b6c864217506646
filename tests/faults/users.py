"""The users of a campaign: each asks for a study, looks after it and does to it what users do, whatever is being killed."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final, TypeVar

from katib.api.client import ManagerClient
from katib.domain.errors import DeadlineExceededError, FailedPreconditionError, NotFoundError, UnavailableError
from katib.domain.metrics import Observation
from katib.domain.study import Limits, StudyState
from katib.domain.trial import UNFINISHED
from tests.faults.blows import Events
from tests.faults.studies import DELETE, STOP, Asked

Reply = TypeVar("Reply")

# For one call, tried again and again while manager and services are being killed.
_CALL_S: Final = 120.0


@dataclass
class User:
    """`hurry()`: it is time to come to an end, nothing further is asked for. `overdue()`: the study should have ended."""

    client: ManagerClient
    rng: random.Random
    events: Events
    hurry: Callable[[], bool]
    overdue: Callable[[], bool]

    def live(self, asked: Asked) -> None:
        """Until the study has ended, or is gone."""
        asked.study_id = self._insist(lambda: self.client.create_study(asked.spec, asked.request_id))
        if asked.spec.client_driven:
            self._drive(asked)
        elif asked.fate:
            self._end(asked)
        self._look_after(asked)

    def _look_after(self, asked: Asked) -> None:
        while True:
            try:
                summary = self._insist(lambda: self.client.get_study(asked.study_id)).summary
            except NotFoundError:
                if asked.fate == DELETE:
                    return
                raise
            if summary.state.finished and not self._grow(asked, 0.15):
                return
            if self.overdue():
                raise AssertionError(
                    f"study {asked.spec.name} ({asked.study_id}) is stuck: {summary.state.value} {summary.reason} "
                    f"{summary.message!r}, {summary.pending} pending, {summary.running} running, "
                    f"{summary.finished_trials} finished"
                )
            if not self.hurry() and not asked.spec.client_driven and not asked.fate:
                self._act(asked)
            time.sleep(self.rng.uniform(0.1, 0.8))

    def _act(self, asked: Asked) -> None:
        what = self.rng.random()
        if what < 0.1:
            self._try(lambda: self.client.update_study(asked.study_id, paused=True))
            time.sleep(self.rng.uniform(0.0, 1.5))
            self._try(lambda: self.client.update_study(asked.study_id, paused=False))
        elif what < 0.2:
            self._grow(asked, 0.5)
        elif what < 0.3:
            page = self._insist(lambda: self.client.list_trials(asked.study_id, tuple(UNFINISHED), page_size=1000))
            if page.items:
                trial = self.rng.choice(page.items)
                asked.stopped.add(trial.id)
                self._try(lambda: self.client.stop_trial(trial.id))

    def _grow(self, asked: Asked, chance: float) -> bool:
        """Perhaps asks for some trials more, of one that has ended too."""
        if asked.trials is None or not asked.may_grow or self.hurry() or self.rng.random() > chance:
            return False
        most = asked.trials + self.rng.randint(1, 4)
        self._insist(lambda: self.client.update_study(asked.study_id, Limits(max_trials=most)))
        asked.trials = most
        if asked.spec.client_driven:
            self._drive(asked)
        return True

    def _end(self, asked: Asked) -> None:
        """In the middle of its work, with some luck."""
        enough = self.rng.randint(0, 6)
        summary = self._insist(lambda: self.client.get_study(asked.study_id)).summary
        while summary.finished_trials < enough and not summary.state.finished and not self.overdue():
            time.sleep(0.1)
            summary = self._insist(lambda: self.client.get_study(asked.study_id)).summary
        if asked.fate == STOP:
            self._insist(lambda: self.client.stop_study(asked.study_id))
            return
        try:
            self._insist(lambda: self.client.delete_study(asked.study_id))
        except NotFoundError:
            pass  # gone already, by a call whose answer was lost

    def _drive(self, asked: Asked) -> None:
        """As a client of 0.1 does, but that it reports its values one by one."""
        while True:
            try:
                trials, completed = self._insist(
                    lambda: self.client.suggest_trials(asked.study_id, self.rng.randint(1, 3), client_id="driver")
                )
            except FailedPreconditionError:
                # It has ended already.
                assert self._insist(lambda: self.client.get_study(asked.study_id)).summary.state is StudyState.COMPLETED
                return
            for trial in trials:
                self._run(asked, trial.id)
            if completed and not trials:
                return

    def _run(self, asked: Asked, trial_id: str) -> None:
        self.events.note("start")
        values = [round(self.rng.random(), 9) for _ in range(self.rng.randint(1, 5))]
        asked.reported[trial_id] = values
        for sequence, value in enumerate(values, 1):
            one = [Observation("acc", value, datetime.now(UTC), 0, "", sequence)]
            self._insist(partial(self.client.report_metrics, trial_id, one, reporter="driver"))
            time.sleep(self.rng.uniform(0.0, 0.05))
        self._insist(lambda: self.client.complete_trial(asked.study_id, trial_id))
        self.events.note("end")

    def _try(self, call: Callable[[], object]) -> None:
        """What may have become pointless meanwhile."""
        try:
            self._insist(call)
        except FailedPreconditionError:
            pass

    def _insist(self, call: Callable[[], Reply]) -> Reply:
        """Calls until there is an answer: as long as something is away, and where nobody knows whether it took effect."""
        deadline = time.monotonic() + _CALL_S
        while True:
            self.events.note("call")
            try:
                return call()
            except (UnavailableError, DeadlineExceededError) as error:
                away: Exception = error
            except FailedPreconditionError as error:
                if "no service answers" not in error.message:
                    raise
                away = error
            if time.monotonic() > deadline:
                raise AssertionError(f"no answer for {_CALL_S:g} s; at last: {away}") from away
            time.sleep(self.rng.uniform(0.02, 0.15))
