"""Something else answers at the database's address: a proxy without its server, or a service that has taken the port."""

import socket
import threading
from contextlib import closing, contextmanager

import pytest

from katib.domain.errors import UnavailableError
from katib.manager.storage.open import Opening, open_storage
from katib.manager.storage.sql.connections import Connections
from katib.manager.storage.sql.engine import make_engine, parse_url
from tests.e2e.harness import until
from tests.storage import servers

ANSWERS = {
    "http": b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\n",
    "a greeting that breaks off": b"\x05\x00\x00\x00\x0a10.6",
    "a code of no server": b"\x09\x00\x00\x00\xff\x09\x00#HY000",
}


class Stranger:
    """Answers whoever connects with the same bytes, and counts them."""

    def __init__(self, listener, answer):
        self.answered = 0
        self.port = listener.getsockname()[1]
        self._listener = listener
        self._answer = answer

    def run(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with closing(connection):
                connection.sendall(self._answer)
            self.answered += 1


@contextmanager
def stranger(answer, port=0):
    with socket.create_server(("127.0.0.1", port)) as listener:
        it = Stranger(listener, answer)
        thread = threading.Thread(target=it.run)
        thread.start()
        yield it
        # Closing alone would not wake the one who accepts.
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_what_is_no_mysql_server_is_said_to_be_none(answer):
    with stranger(answer) as it, pytest.raises(UnavailableError, match=r"no MySQL server answers .*--database"):
        open_storage(f"mysql+pymysql://u:p@127.0.0.1:{it.port}/d")


@pytest.mark.parametrize("address", ["mysql+pymysql://u:p@127.0.0.1:{port}/d", "sqlite:///{folder}/it.db"])
def test_nobody_connects_to_a_database_that_is_known_to_be_away(tmp_path, address):
    with stranger(ANSWERS["http"]) as it:
        engine = make_engine(parse_url(address.format(port=it.port, folder=tmp_path)))
        Connections(engine, "X").presence.awaited()
        # As one does who has waited for a turn in the pool.
        with pytest.raises(UnavailableError, match="being opened"):
            engine.raw_connection()
        assert it.answered == 0
    assert not (tmp_path / "it.db").exists()


def test_one_who_opens_waits_until_the_stranger_is_gone():
    found = []
    with stranger(ANSWERS["http"]) as it:
        opening = Opening(f"mysql+pymysql://u:p@127.0.0.1:{it.port}/d")
        waiting = threading.Thread(target=lambda: found.append(opening.wait(lambda: None)))
        waiting.start()
        until(lambda: it.answered >= 3)
        assert waiting.is_alive()
        opening.storage.close()
        waiting.join(30)
    # It was closed, and has not failed.
    assert found == [False]


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("kind", servers.KINDS)
def test_a_server_whose_port_another_program_had_for_a_moment_is_found_again(kind, answer):
    with servers.started(kind) as server, closing(open_storage(server.create_database("katib_test"))) as storage:
        storage.ping()
        server.stop()
        with pytest.raises(UnavailableError):
            storage.ping()
        with stranger(answer, server.port) as it:
            until(lambda: it.answered >= 2)
        server.start()
        until(lambda: answers(storage))


def answers(storage):
    try:
        storage.ping()
    except UnavailableError:
        return False
    return True
