"""A history that is more than one message holds comes in parts, each of which builds on the one before."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import rule, run_state_machine_as_test

from katib.domain.errors import ResourceExhaustedError, UnavailableError
from katib.domain.study import Setting
from katib.manager.remote import deltas
from katib.manager.remote.addresses import AddressTemplate, Channels
from katib.manager.remote.suggestion import RemoteSuggestionServices
from katib.manager.service_ports import AskAgainError, MoreToTellError, SuggestionReply
from katib.suggestion.base import History as Needs
from tests.deltas.services import Address, Mirror, serving
from tests.deltas.test_cost import Desk
from tests.deltas.test_same_answers import EVERYTHING, Deltas
from tests.examples import examples

KIB = 1024
MANY = 400


class Asked(Mirror):
    """Counts how often it is."""

    def __init__(self, history: Needs) -> None:
        super().__init__(history)
        self.times = 0

    def suggest(self, request: Any) -> Any:
        self.times += 1
        return super().suggest(request)


class Parted(Desk):
    """Whose service takes no more than so many bytes at once, or whose manager sends no more."""

    def __init__(self, stack: ExitStack, folder: Path, most: int, memory: int = 2**24) -> None:
        super().__init__(stack, folder)
        self.algorithm = Asked(Needs.FINALS)
        self.address = Address(self.algorithm, memory)
        self.template = AddressTemplate.parse("t", stack.enter_context(serving(self.address, most)))
        for _ in range(MANY // 10):
            # Those that end together are not parted.
            self.finish(10)
        self.take_over()

    def one(self) -> SuggestionReply | AskAgainError:
        try:
            return self.services.generate("mirror", self._question()).result(30)
        except AskAgainError as error:
            return error

    def told(self) -> tuple[SuggestionReply, list[AskAgainError]]:
        """The answer, and what came before it."""
        before: list[AskAgainError] = []
        while isinstance(one := self.one(), AskAgainError):
            before.append(one)
            assert len(before) < 100
        return one, before

    def in_one(self) -> SuggestionReply:
        """What a service says that takes all at once."""
        address = Address(Mirror(self.needs))
        with serving(address) as template, closing(Channels()) as channels:
            services = RemoteSuggestionServices(AddressTemplate.parse("t", template), channels)
            return services.generate("mirror", self._question()).result(30)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as it:
        yield it


def test_a_history_that_a_service_does_not_take_at_once_is_sent_in_parts_and_answered_as_if_it_were_whole(
    stack: ExitStack, tmp_path: Path
) -> None:
    desk = Parted(stack, tmp_path, 32 * KIB)
    answer, before = desk.told()
    assert sum(isinstance(it, MoreToTellError) for it in before) >= 4
    assert answer == desk.in_one()
    # Only the whole history is worth to be computed with.
    assert desk.algorithm.times == 1
    # And then a question brings what is new.
    desk.finish_one()
    desk.address.bytes = desk.address.questions = 0
    assert desk.one() == desk.in_one()
    assert (desk.address.questions, desk.address.bytes < 8 * KIB) == (1, True)


@pytest.mark.parametrize("settings_", [(), (("MaxParallel", "0"),)], ids=["none", "no limit"])
def test_without_a_limit_of_trials_at_once_none_is_suggested_to_a_part_either(
    stack: ExitStack, tmp_path: Path, settings_: tuple[tuple[str, str], ...]
) -> None:
    desk = Parted(stack, tmp_path, 32 * KIB)
    question = desk._question()
    spec = replace(question.spec, settings=tuple(Setting(*s) for s in settings_))
    desk._question = lambda: replace(question, spec=spec)  # type: ignore[method-assign]
    answer, _ = desk.told()
    assert answer.suggestions
    assert desk.algorithm.times == 1


def test_what_is_more_than_we_send_at_once_is_not_tried_to_be_sent(
    stack: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deltas, "MAX_MESSAGE_BYTES", 40 * KIB)
    desk = Parted(stack, tmp_path, 40 * KIB)
    _, before = desk.told()
    assert "smaller parts" not in "".join(it.message for it in before)
    assert f"of the study's {MANY} trials so far" in before[-1].message


@pytest.mark.long
def test_who_restarts_while_it_is_told_is_told_from_the_beginning(stack: ExitStack, tmp_path: Path) -> None:
    desk = Parted(stack, tmp_path, 32 * KIB)
    for _ in range(5):
        desk.one()
    desk.address.restart()
    desk.finish_one()
    answer, _ = desk.told()
    assert answer == desk.in_one()


def test_a_manager_that_takes_over_while_a_service_is_told_gets_an_answer(stack: ExitStack, tmp_path: Path) -> None:
    desk = Parted(stack, tmp_path, 32 * KIB)
    for _ in range(5):
        desk.one()
    desk.take_over()
    desk.finish_one()
    answer, _ = desk.told()
    assert answer == desk.in_one()


def test_a_service_that_has_no_room_for_the_parts_is_said_to_need_more(stack: ExitStack, tmp_path: Path) -> None:
    desk = Parted(stack, tmp_path, 32 * KIB, memory=100 * KIB)
    with pytest.raises(ResourceExhaustedError) as caught:
        desk.told()
    assert f"of the study's {MANY} trials so far" in caught.value.message
    assert "--history-cache-mib (KATIB_HISTORY_CACHE_MIB)" in caught.value.message


def test_a_service_that_keeps_nothing_is_told_of_once_in_the_log(
    stack: ExitStack, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each answer costs the whole history: nothing else would say why they take long."""
    desk = Parted(stack, tmp_path, 2**20, memory=0)
    for _ in range(3):
        desk.told()
        desk.finish_one()
    said = [it for it in caplog.messages if "--history-cache-mib" in it]
    assert len(said) == 1
    assert f"suggestion-mirror keeps none of the study's {MANY} trials so far, so each question brings all" in said[0]


def test_what_is_too_large_beside_the_finished_trials_makes_no_parts_smaller(stack: ExitStack, tmp_path: Path) -> None:
    """As the tags of those that run: other studies at the same address would be sent in thousands of parts."""
    desk = Parted(stack, tmp_path, 128 * KIB)
    desk.told()
    for _ in range(3):
        desk.finish_one()
    question = desk._question()
    heavy = replace(question.unfinished[0], message=129 * KIB * "x")
    with pytest.raises(ResourceExhaustedError, match="no more than 131,072 are taken"):
        desk.services.generate("mirror", replace(question, unfinished=(heavy,))).result(30)
    desk.address.restart()
    _, before = desk.told()
    assert not any(isinstance(it, MoreToTellError) for it in before)


def test_replicas_that_take_turns_are_not_told_for_ever(stack: ExitStack, tmp_path: Path) -> None:
    desk = Parted(stack, tmp_path, 32 * KIB)
    replicas = [desk.address.now]
    desk.address.restart()
    replicas.append(desk.address.now)
    one: object = AskAgainError("")
    while isinstance(one, AskAgainError):
        desk.address.now = replicas[desk.address.questions % 2]
        try:
            one = desk.one()
        except UnavailableError as error:
            one = error.message
    assert "if several replicas take turns at its address" in str(one)
    assert desk.address.questions < 30


class InParts(Deltas):
    """Where no message holds more than a few trials."""

    def by_delta(self, study: Any, unfinished: Any = None) -> SuggestionReply:
        begun = time.monotonic()
        while True:
            try:
                return self.manager.generate("mirror", self.question(study, unfinished)).result(30)
            except AskAgainError:
                assert time.monotonic() < begun + 30

    @rule()
    def a_part_is_sent(self) -> None:
        study = self.storage.get_study(self.studies[0].id)
        self.manager.generate("mirror", self.question(study, None)).exception(30)


@pytest.mark.long
def test_answers_are_those_of_the_whole_history_however_small_the_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deltas, "_UNASKED", 3)
    monkeypatch.setattr(deltas, "MAX_MESSAGE_BYTES", 900)
    run_state_machine_as_test(InParts, settings=settings(EVERYTHING, max_examples=examples(40)))
