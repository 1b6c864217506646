"""What programs do that drive a study: each a deed of the machine, and what it must answer."""

from typing import Any

from katib.domain.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    KatibError,
    NotFoundError,
    UnavailableError,
)
from katib.domain.metrics import Observation
from katib.domain.trial import TrialState
from tests.lifecycle.ends import is_to_end
from tests.lifecycle.services import ERRORS
from tests.lifecycle.steps import Steps


class Clients(Steps):
    @property
    def driven(self) -> list[int]:
        """Where in the ledger the studies are that clients drive."""
        return [i for i, k in enumerate(self.ledger.known.values()) if k.study.spec.client_driven]

    def report(self, number: int, value: float, sequence: int) -> None:
        trial = self.trial(number)
        if trial is None:
            return
        observation = Observation("acc", value, self.world.now, 0, "", sequence)
        done, stop = self.call(
            lambda api: api.report_metrics(trial.id, [observation], 0, "script"), FailedPreconditionError
        )
        if self.quiet:
            assert done is (trial.state is TrialState.RUNNING)
            assert not done or stop is bool(trial.stop_reason)

    def complete(self, number: int, value: float | None) -> None:
        """With a value; without one it is given up."""
        trial, study = self.trial(number), self.known
        if trial is None or study is None:
            return

        def call(api: Any) -> None:
            if value is None:
                api.abandon_trial(study.id, trial.id)
            else:
                api.complete_trial(study.id, trial.id, value)

        done, _ = self.call(call, FailedPreconditionError)
        if not self.quiet or (known := self.ledger.known.get(self.study_id)) is None:
            return
        now = known.trials[trial.id]
        wanted = TrialState.KILLED if value is None else TrialState.COMPLETED
        if study.spec.client_driven:
            assert done is (trial.state in (TrialState.PENDING, TrialState.RUNNING, wanted))
            assert not done or now.state is wanted
        elif done:
            assert now.stop_reason or now.state is TrialState.KILLED

    def go_on(self, number: int, value: float, sequence: int, client: str, algorithm: str, kind: str) -> None:
        """A client ends a trial with what it has left to report, and asks for another one in the same call."""
        trial, study = self.trial(number), self.known
        if trial is None or study is None:
            return
        known, manager = set(self.ledger.known[study.id].trials), self.manager
        left = [Observation("acc", value, self.world.now, 0, "", sequence)]

        def ask() -> Any:
            return self.api(manager).complete_and_ask(study.id, trial.id, 0, left, "script", client, algorithm)

        manager.at_once.kind = kind
        try:
            answer = self.world.do(manager, ask)
        except (UnavailableError, NotFoundError):
            assert not self.quiet
            return
        except InvalidArgumentError:
            # Of what the manager runs it knows what was reported.
            assert not study.spec.client_driven
            assert not self.quiet or self.trial(number) == trial
            return
        except FailedPreconditionError:
            assert not self.quiet or trial.state in (TrialState.KILLED, TrialState.ERROR)
            assert not self.quiet or self.known == study
            return
        finally:
            manager.at_once.kind = "ok"
        assert study.spec.client_driven
        trials = () if answer is None else answer[0]
        assert len(trials) <= 1
        assert all((t.study_id, t.client_id) == (study.id, client) and t.id != trial.id for t in trials)
        if not self.quiet or (now := self.known) is None:
            return
        assert trial.state in (TrialState.PENDING, TrialState.RUNNING, TrialState.COMPLETED)
        assert self.ledger.known[study.id].trials[trial.id].state is TrialState.COMPLETED
        if client and trials:
            armed, manager.trouble = manager.trouble, None
            again = ask()
            manager.trouble = armed
            assert [t.id for t in again[0]] == [t.id for t in trials]
            assert self.known == now, "the same call again changed something"
        if is_to_end(now):
            assert {t.id for t in trials} <= known, "a trial was begun of a study that is about to end"

    def suggest(self, count: int, client: str, kind: str, algorithm: str = "model") -> None:
        study = self.known
        if study is None:
            return
        self.manager.at_once.kind = kind
        manager = self.manager
        try:
            done, answer = self._suggested(count, client, kind, algorithm)
        finally:
            manager.at_once.kind = "ok"
        if not done:
            return
        trials, _completed = answer
        assert len(trials) <= count
        assert all(t.study_id == study.id and t.client_id == client for t in trials)
        assert study.spec.client_driven
        assert len({t.id for t in trials}) == len(trials)

    def _suggested(self, count: int, client: str, kind: str, algorithm: str) -> tuple[bool, Any]:
        refusals: set[type[KatibError]] = {FailedPreconditionError}
        if kind in ERRORS:
            refusals.add(ERRORS[kind])
        if kind == "wrong":
            refusals.add(InvalidArgumentError)
        manager = self.manager

        def ask() -> Any:
            return self.api(manager).suggest_trials(self.study_id, count, client, algorithm)

        try:
            answer = self.world.do(manager, ask)
        except UnavailableError:
            assert kind == "away" or not self.quiet
            return False, None
        except NotFoundError:
            assert kind == "missing" or not self.quiet
            return False, None
        except tuple(refusals):
            return False, None
        if client and len(answer[0]) == count and self.quiet:
            armed, manager.trouble = manager.trouble, None
            again, _ = ask()
            manager.trouble = armed
            assert [t.id for t in again] == [t.id for t in answer[0]]
        return True, answer
