"""Where the pages are, and how a user is told."""

import re
import socket
import urllib.request

import pytest

from katib.dashboard.listening import DEFAULT_LISTEN, bind, bind_default, url
from katib.domain.errors import FailedPreconditionError, InvalidArgumentError
from tests.e2e.harness import World, until


def test_katib_local_prints_an_address_at_which_the_pages_are(katib: World) -> None:
    (address,) = until(lambda: re.findall(r"The dashboard is at (http://\S+)", katib.processes[0].output))

    def look() -> str:
        with urllib.request.urlopen(address, timeout=20) as answer:
            return str(answer.read().decode())

    assert "<title>Studies · Katib</title>" in look()


def test_what_is_no_address_is_refused_by_the_option_s_name() -> None:
    for text in ("8080", "localhost:", "localhost:x", "localhost:70000", "localhost:²"):
        with pytest.raises(InvalidArgumentError, match="--dashboard"):
            bind(text, "--dashboard")


def test_a_host_that_no_name_can_be_is_refused() -> None:
    with pytest.raises(FailedPreconditionError, match="its host name could not be looked up"):
        bind("a..b:8080")


def test_an_address_that_is_taken_is_said_to_be_and_the_usual_one_gives_way_to_another() -> None:
    with bind("127.0.0.1:0") as taken:
        host, port = taken.getsockname()
        with pytest.raises(FailedPreconditionError, match="another address with --listen"):
            bind(f"{host}:{port}")
    try:
        holder: socket.socket | None = bind(DEFAULT_LISTEN)
    except FailedPreconditionError:
        holder = None  # somebody else has it, which does as well
    with bind_default("--dashboard") as other:
        assert url(other) != f"http://{DEFAULT_LISTEN}/"
    if holder is not None:
        holder.close()


def test_an_address_of_every_interface_is_shown_as_one_that_a_browser_takes() -> None:
    with bind("0.0.0.0:0") as bound:
        assert url(bound, "/katib").startswith("http://localhost:")
        assert url(bound, "/katib").endswith("/katib/")
