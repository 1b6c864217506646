"""A question costs the same however many trials have finished: its bytes, and what the database does for it, counted."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import event

from katib.domain.study import Setting, Study
from katib.manager.history import StoredHistory
from katib.manager.remote import deltas
from katib.manager.remote.addresses import AddressTemplate, Channels
from katib.manager.remote.suggestion import RemoteSuggestionServices
from katib.manager.service_ports import AskAgainError, History, SuggestionReply, SuggestionRequest
from katib.manager.storage.open import open_storage
from katib.suggestion.base import History as Needs
from tests.deltas.services import Address, Mirror, Older, serving, serving_older
from tests.storage.builders import COMPLETED, add, completed, go, make_spec, make_study, running

FEW, MANY = 150, 1000


class Database:
    """What SQLite does: statements, and steps of its virtual machine, which grow with the rows that it looks at."""

    def __init__(self, storage: Any) -> None:
        self.statements = self.steps = 0
        engine = storage.database._connections.engine
        event.listen(engine, "connect", self._watch)
        engine.dispose()

    def _watch(self, connection: Any, _entry: object) -> None:
        connection.set_trace_callback(self._statement)
        connection.set_progress_handler(self._step, 1)

    def _statement(self, _sql: str) -> None:
        self.statements += 1

    def _step(self) -> None:
        self.steps += 1


@dataclass(frozen=True)
class Cost:
    bytes: int
    questions: int
    statements: int
    steps: int


class Desk:
    """A manager's database and its line to the services at one address."""

    def __init__(self, stack: ExitStack, folder: Path, needs: Needs = Needs.FINALS) -> None:
        self.stack = stack
        self.needs = needs
        self.storage = stack.enter_context(closing(open_storage(f"sqlite:///{folder}/katib.db")))
        self.database = Database(self.storage)
        self.address = Address(Mirror(needs))
        self.template = AddressTemplate.parse("t", stack.enter_context(serving(self.address)))
        self.study = self.storage.create_study(make_study(spec=make_spec(settings=(Setting("MaxParallel", "1000"),))))
        running(self.storage, self.study, 3)
        self.take_over()

    def take_over(self) -> None:
        """By a manager that has just begun."""
        self.channels = Channels()
        self.stack.callback(self.channels.close)
        self.services = RemoteSuggestionServices(self.template, self.channels)
        self.services.set_parameters("mirror", self.study.id, self.study.spec).result(30)

    def finish(self, count: int) -> None:
        for at in range(0, count, 250):
            completed(self.storage, self.study, *[0.5] * min(250, count - at))

    def finish_one(self) -> None:
        (oldest, *_) = self.storage.unfinished_trials(self.study.id)
        go(self.storage, oldest, to=COMPLETED)
        go(self.storage, *add(self.storage, self.study), to=oldest.state, run="run")

    def ask(self) -> SuggestionReply:
        for _ in range(5):
            try:
                return self.services.generate("mirror", self._question()).result(30)
            except AskAgainError:
                continue
        raise AssertionError("asked in vain")

    def _question(self) -> SuggestionRequest:
        study: Study = self.storage.get_study(self.study.id)
        return SuggestionRequest(
            study_id=study.id,
            spec=study.spec,
            history=StoredHistory(self.storage, study, History[self.needs.name]),
            unfinished=self.storage.unfinished_trials(study.id),
            finished_count=study.finished_trials,
            unfinished_count=study.unfinished_trials,
            first_number=study.suggested + 1,
        )

    def cost(self) -> Cost:
        before = (self.address.bytes, self.address.questions, self.database.statements, self.database.steps)
        self.ask()
        after = (self.address.bytes, self.address.questions, self.database.statements, self.database.steps)
        return Cost(*(b - a for a, b in zip(before, after, strict=True)))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as it:
        yield it


@pytest.mark.long
@pytest.mark.parametrize("needs", [Needs.FINALS, Needs.CURVES])
def test_a_question_after_each_trial_costs_the_same_at_any_length(
    stack: ExitStack, tmp_path: Path, needs: Needs
) -> None:
    desk = Desk(stack, tmp_path, needs)
    found = []
    for finished in (FEW, MANY):
        desk.finish(finished)
        # The trials of the last change but one are read again, to see that they are what they were: here one, not all.
        for _ in range(2):
            desk.ask()
            desk.finish_one()
        found.append(desk.cost())
    few, many = found
    assert (many.questions, many.statements) == (few.questions, few.statements) == (1, few.statements)
    # Numbers with a digit more, and indexes with a level more.
    assert many.bytes <= few.bytes + 64
    assert many.steps <= few.steps * 1.1
    assert many.bytes < 5_000


@pytest.mark.long
def test_a_manager_that_takes_over_sends_what_the_service_lacks_and_no_more(stack: ExitStack, tmp_path: Path) -> None:
    desk = Desk(stack, tmp_path)
    desk.finish(MANY)
    everything = desk.cost()
    desk.finish_one()
    desk.take_over()
    taken_over = desk.cost()
    assert taken_over.questions == 2
    assert taken_over.bytes < everything.bytes / 30


def test_a_service_that_restarted_is_sent_everything_once(stack: ExitStack, tmp_path: Path) -> None:
    desk = Desk(stack, tmp_path)
    desk.finish(FEW)
    everything = desk.cost()
    desk.address.restart()
    desk.finish_one()
    again = desk.cost()
    assert again.questions == 2
    assert again.bytes > everything.bytes * 0.9
    desk.finish_one()
    after = desk.cost()
    assert (after.questions, after.bytes < everything.bytes / 10) == (1, True)


def test_a_service_without_the_method_is_found_out_once_and_tried_again_later(
    stack: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(stack, tmp_path)
    older = Older(desk.address)
    desk.template = AddressTemplate.parse("t", stack.enter_context(serving_older(older)))
    desk.take_over()
    desk.ask()
    assert older.calls == ["SetSuggestionParameters", "GenerateTrialsDelta", "GenerateTrials"]
    older.calls.clear()
    desk.ask()
    desk.ask()
    assert older.calls == ["GenerateTrials", "GenerateTrials"]
    older.calls.clear()
    # Another connection may lead to another service.
    desk.channels.drop(desk.channels.get(desk.template.address("t", "mirror")))
    desk.ask()
    desk.ask()
    assert older.calls == ["GenerateTrialsDelta", "GenerateTrials", "GenerateTrials"]
    older.calls.clear()
    # And so may the same one, in time.
    monkeypatch.setattr(deltas, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + deltas._REFUSED_S + 1))
    desk.ask()
    desk.ask()
    assert older.calls == ["GenerateTrialsDelta", "GenerateTrials", "GenerateTrials"]


def test_a_service_that_does_not_say_that_it_has_the_method_is_not_asked_for_it(
    stack: ExitStack, tmp_path: Path
) -> None:
    desk = Desk(stack, tmp_path)
    older = Older(desk.address, says_deltas=False)
    desk.template = AddressTemplate.parse("t", stack.enter_context(serving_older(older)))
    desk.take_over()
    desk.ask()
    assert older.calls == ["SetSuggestionParameters", "GenerateTrials"]


def test_a_study_whose_counters_are_wrong_is_asked_about_in_full(stack: ExitStack, tmp_path: Path) -> None:
    desk = Desk(stack, tmp_path)
    desk.finish(3)
    with closing(sqlite3.connect(tmp_path / "katib.db")) as connection:
        connection.execute("UPDATE studies SET completed = completed + 1")
        connection.commit()
    assert desk.ask().suggestions
    assert desk.ask().suggestions
