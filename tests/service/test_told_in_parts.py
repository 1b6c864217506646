"""A client asks for trials while its study's service is still sent the trials so far."""

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from katib.domain.errors import UnavailableError
from katib.manager.service import supply
from katib.manager.service_ports import AskAgainError, History, MoreToTellError, SuggestionReply, SuggestionRequest
from tests.service.test_several_managers import Manager, Service, create


class Slow(Service):
    """Answers when all parts have been sent; so often it is `lacking` what it was sent before."""

    def __init__(self, parts: int, lacking: int = 0) -> None:
        super().__init__(History.FINALS)
        self.parts = parts
        self.lacking = lacking

    def generate(self, algorithm: str, request: SuggestionRequest) -> "Future[SuggestionReply]":
        error: AskAgainError
        if self.parts:
            self.parts -= 1
            error = MoreToTellError(f"it has been sent all but {self.parts}")
        elif self.lacking:
            self.lacking -= 1
            error = AskAgainError("it lacks something")
        else:
            return super().generate(algorithm, request)
        future: Future[SuggestionReply] = Future()
        future.set_exception(error)
        return future


@pytest.fixture
def service() -> Slow:
    return Slow(20)


@pytest.fixture
def manager(tmp_path: Path, service: Slow) -> Iterator[Manager]:
    it = Manager(f"sqlite:///{tmp_path}/katib.db", History.FINALS, service)
    yield it
    it.storage.close()


def test_a_client_gets_its_trials_however_many_parts_the_history_has(manager: Manager) -> None:
    assert manager.suggest(create(manager))[0]


def test_a_client_is_not_kept_waiting_for_all_parts(
    manager: Manager, service: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supply, "SUGGEST_S", 0.0)
    with pytest.raises(UnavailableError, match="try again, and it is sent the rest"):
        manager.suggest(create(manager))
    assert service.parts == 19


def test_a_service_that_lacks_what_it_was_sent_is_given_up_whatever_parts_it_took(
    manager: Manager, service: Slow
) -> None:
    service.lacking = 9
    with pytest.raises(UnavailableError, match="could not be asked 5 times"):
        manager.suggest(create(manager))
