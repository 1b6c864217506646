"""What is said where a server cannot listen, and that nothing is said where it can."""

import socket
from pathlib import Path

import pytest

from katib.api.listening import why_not_listen
from katib.api.rpc import Server
from katib.domain.errors import FailedPreconditionError

EXPECTED = "expected HOST:PORT, such as localhost:6789, or unix:PATH"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("6893", EXPECTED),
        ("localhost", EXPECTED),
        ("localhost:abc", EXPECTED),
        ("localhost:", EXPECTED),
        # gRPC would take what is left of it in sixteen bits.
        ("localhost:99999", EXPECTED),
        ("localhost:١", EXPECTED),
        ("", EXPECTED),
        ("192.0.2.1:6893", "it is no address of this machine: choose another one"),
        ("a..b:6893", "its host name could not be looked up: correct it"),
        ("unix:", "expected unix: and the path of a socket, at most 107 bytes"),
        (f"unix:/tmp/{'x' * 200}", "expected unix: and the path of a socket, at most 107 bytes"),
        (":6789", "expected HOST:PORT, such as localhost:6789, or unix:PATH"),
        ("::1:6789", "expected HOST:PORT, such as localhost:6789, or unix:PATH"),
        ("unix:/tmp", "/tmp is a folder: choose the path of a socket"),
        ("unix:/nowhere/s", "there is no folder /nowhere: make it, or choose another path"),
    ],
)
def test_an_address_that_cannot_be_listened_on_is_told_with_what_is_wrong(
    address: str, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(FailedPreconditionError) as caught:
        Server(()).listen(address)
    assert caught.value.message == f"cannot listen on {address}: {said}"
    # Nor does gRPC add words of its own.
    assert capfd.readouterr().err == ""


def test_a_port_that_is_taken_is_told_also_where_it_is_one_of_several_addresses_of_a_name(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for host in ("127.0.0.1", "localhost"):
            with pytest.raises(FailedPreconditionError, match="something else listens there: stop it, or choose"):
                Server(()).listen(f"{host}:{port}")
    assert capfd.readouterr().err == ""


def test_where_nothing_is_in_the_way_nothing_is_said(tmp_path: Path) -> None:
    for address in (
        "localhost:0",
        "127.0.0.1:0",
        "[::]:0",
        "unix:socket",
        f"unix:{tmp_path}/s",
        f"unix://{tmp_path}/s",
        "unix-abstract:katib",
    ):
        assert why_not_listen(address) == ""


def test_a_port_whose_last_connection_has_just_ended_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as former:
        port = former.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)), former.accept()[0] as near:
            near.shutdown(socket.SHUT_RDWR)
    assert why_not_listen(f"127.0.0.1:{port}") == ""
