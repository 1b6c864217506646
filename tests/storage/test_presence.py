"""What a process knows of a database that is away: one looks, everybody else is told, and few lines are written."""

import logging
import struct
import threading
import time

import pytest

from katib.domain.errors import FailedPreconditionError, UnavailableError
from katib.manager.storage.sql import presence as module
from katib.manager.storage.sql.presence import Presence
from tests.e2e.harness import until


class Server:
    """What is looked for."""

    def __init__(self):
        self.reason = ""
        # What a look raises that nobody thought of.
        self.error: Exception | None = None
        self.looks = 0
        self.at_once = 0
        self.most_at_once = 0
        self._lock = threading.Lock()

    def look(self):
        with self._lock:
            self.looks += 1
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            time.sleep(0.01)
            if self.error is not None:
                raise self.error
            if self.reason:
                raise UnavailableError(self.reason)
        finally:
            with self._lock:
                self.at_once -= 1


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def changes():
    return []


@pytest.fixture
def presence(server, changes):
    it = Presence("X", server.look, lambda: changes.append(it.there))
    yield it
    it.close()


def lose(presence, server, reason="X is off"):
    server.reason = reason
    presence.lost(reason, time.monotonic())


def reason(presence):
    with pytest.raises(UnavailableError) as caught:
        presence.check()
    return str(caught.value)


@pytest.mark.long
def test_while_it_is_away_everybody_is_told_why_at_once_and_one_looks(presence, server, changes):
    for _ in range(20):
        lose(presence, server)
    with pytest.raises(UnavailableError, match="X is off"):
        presence.check()
    until(lambda: server.looks >= 4)
    assert server.most_at_once == 1
    server.reason = ""
    until(lambda: presence.there)
    presence.check()
    assert changes == [False, True]
    looks = server.looks
    time.sleep(0.3)
    assert server.looks == looks


@pytest.mark.long
def test_it_is_not_looked_for_more_often_than_helps(presence, server):
    lose(presence, server)
    time.sleep(1)
    assert server.looks <= 12


def test_the_reason_is_the_latest(presence, server):
    lose(presence, server)
    server.reason = "X is full"
    until(lambda: reason(presence) == "X is full")


def test_it_may_be_lost_again_and_again(presence, server, changes):
    for _ in range(5):
        lose(presence, server)
        server.reason = ""
        until(lambda: presence.there)
    assert changes == [False, True] * 5


def test_one_who_waited_for_a_trouble_that_is_over_does_not_begin_another(presence, server, changes):
    began = time.monotonic()
    lose(presence, server)
    server.reason = ""
    until(lambda: presence.there)
    presence.lost("X gave no answer", began)
    assert presence.there
    assert changes == [False, True]


@pytest.mark.long
def test_a_long_trouble_is_a_line_now_and_then_and_one_at_its_end(presence, server, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(module, "_PAUSE_MOST_S", 0.02)
    lose(presence, server)
    until(lambda: server.looks >= 20)
    assert [r.getMessage().partition(" (")[0] for r in caplog.records] == ["X is off"]
    # When a minute has gone by.
    monkeypatch.setattr(module, "_SAY_S", 0.2)
    until(lambda: len(caplog.records) == 3)
    server.reason = ""
    until(lambda: presence.there)
    assert "there again after" in caplog.records[-1].getMessage()


def test_troubles_that_follow_one_another_are_not_a_line_each(presence, server, caplog):
    caplog.set_level(logging.INFO)
    for _ in range(10):
        lose(presence, server)
        server.reason = ""
        until(lambda: presence.there)
    assert len(caplog.records) == 2


def test_what_is_awaited_is_found_or_fails_for_good(presence, server):
    presence.awaited()
    with pytest.raises(UnavailableError, match="being opened"):
        presence.check()

    def refuse():
        raise FailedPreconditionError("a newer schema")

    with pytest.raises(FailedPreconditionError):
        presence.seek(refuse)
    assert not presence.there
    assert presence.seek(server.look)
    assert presence.there


@pytest.mark.parametrize(
    "error", [struct.error("unpack requires 4 bytes"), FailedPreconditionError("it is another one")]
)
def test_a_look_that_fails_in_an_unknown_way_is_followed_by_another(presence, server, error):
    lose(presence, server)
    server.error = error
    until(lambda: str(error) in reason(presence))
    server.error, server.reason = None, ""
    until(lambda: presence.there)


def test_where_no_thread_could_be_had_the_next_who_asks_has_another_look(presence, server, monkeypatch, caplog):
    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        lose(presence, server)
    assert "nobody looks yet" in caplog.text
    server.reason = ""
    with pytest.raises(UnavailableError, match="X is off"):
        presence.check()
    until(lambda: presence.there)


def test_one_that_is_being_opened_is_looked_for_by_who_opens_it_alone(presence, server):
    presence.awaited()
    with pytest.raises(UnavailableError):
        presence.check()
    time.sleep(0.2)
    assert server.looks == 0


def test_closing_ends_the_search(presence, server):
    server.reason = "X is off"
    found = []
    seeker = threading.Thread(target=lambda: found.append(presence.seek(server.look)))
    seeker.start()
    until(lambda: server.looks >= 3)
    presence.close()
    seeker.join(10)
    assert found == [False]
    with pytest.raises(UnavailableError, match="closed"):
        presence.check()
