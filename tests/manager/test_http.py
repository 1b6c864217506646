"""Where /metrics and the health of a manager are answered."""

import socket
import urllib.request
from contextlib import ExitStack

import pytest
from prometheus_client import CollectorRegistry

from katib.domain.errors import FailedPreconditionError
from katib.manager.http import HttpServer


def ask(address: str, host: str) -> bytes:
    server = HttpServer(address, CollectorRegistry(), lambda: None)
    server.start()
    try:
        with urllib.request.urlopen(f"http://{host}:{server.port}/healthz", timeout=10) as answer:
            return bytes(answer.read())
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("address", "host"), [("localhost:0", "127.0.0.1"), (":0", "127.0.0.1"), ("0.0.0.0:0", "127.0.0.1")]
)
def test_it_answers_by_ipv4(address: str, host: str) -> None:
    assert ask(address, host) == b"ok\n"


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as it:
            it.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="NOTHING IS TESTED BY IPv6: this machine has none")
@pytest.mark.parametrize(("address", "host"), [("[::1]:0", "[::1]"), ("[::]:0", "[::1]")])
def test_it_answers_by_ipv6(address: str, host: str) -> None:
    assert ask(address, host) == b"ok\n"


def test_many_who_come_at_once_are_all_let_in_before_any_is_answered() -> None:
    server = HttpServer("127.0.0.1:0", CollectorRegistry(), lambda: None)
    # It has not begun to take them in.
    with ExitStack() as stack:
        stack.callback(server.stop)
        stack.callback(server.start)
        for _ in range(100):
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=0.5))


@pytest.mark.parametrize(
    "address", ["nowhere.invalid:0", "localhost", "localhost:http", "localhost:99999", "localhost:²", "a..b:8080"]
)
def test_an_address_that_is_none_is_refused_with_its_text(address: str) -> None:
    with pytest.raises(FailedPreconditionError, match=rf"cannot serve HTTP on '?{address}"):
        HttpServer(address, CollectorRegistry(), lambda: None)
