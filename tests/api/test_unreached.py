"""What gRPC says of a manager that could not be asked, and what we make of it."""

import time

import grpc
import pytest

from katib.api.errors import why_unreached
from katib.api.failover import Failover
from katib.domain.errors import KatibError, PermissionDeniedError, UnauthenticatedError, UnavailableError

NONE = "failed to connect to all addresses; last error: "


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{NONE}UNKNOWN: ipv4:127.0.0.1:6789: Failed to connect to remote host: Connection refused", ""),
        (
            f"{NONE}UNKNOWN: ipv4:10.0.0.1:6789: connection attempt timed out before receiving SETTINGS frame",
            "does not answer",
        ),
        (f"{NONE}UNAVAILABLE: ipv4:10.0.0.1:6789: Handshake read failed (Endpoint closing)", "does not answer"),
        (f"{NONE}UNKNOWN: ipv4:10.0.0.1:6789: Timeout occurred: FD Shutdown", "does not answer"),
        (
            f"{NONE}UNAVAILABLE: ipv4:127.0.0.1:8080: Failed parsing HTTP/2 (Expected SETTINGS frame as the first frame, got "
            "frame type 80) (Trying to connect an http1.x server (HTTP status 421))",
            "is no manager",
        ),
        ("Received http2 header with status: 404", "is no manager"),
        (
            "errors resolving away:6789: [field:hostname lookup error:address lookup failed for away:6789: Not found]",
            "the host name away could not be looked up",
        ),
        (
            "DNS resolution failed for away:6789: C-ares status is not ARES_SUCCESS",
            "the host name away could not be looked",
        ),
        ("the database does not answer: try again", ""),
    ],
)
def test_a_manager_that_could_not_be_asked_is_told_from_one_that_is_not_there(text: str, said: str) -> None:
    found = why_unreached(text, "away:6789")
    assert (said in found, bool(found)) == (True, bool(said))


class Answered(grpc.RpcError):
    """As gRPC makes it of an answer of HTTP that is none of gRPC's."""

    def __init__(self, code: grpc.StatusCode, status: int) -> None:
        super().__init__()
        self._code, self._status = code, status

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return f"Received http2 header with status: {self._status}"

    def trailing_metadata(self) -> tuple[()]:
        return ()


@pytest.mark.parametrize(
    ("code", "status", "error", "said"),
    [
        # Passed on, perhaps, and it may have taken effect.
        (grpc.StatusCode.UNAVAILABLE, 502, UnavailableError, "look whether it took effect"),
        (grpc.StatusCode.UNAVAILABLE, 504, UnavailableError, "look whether it took effect"),
        (grpc.StatusCode.UNAUTHENTICATED, 401, UnauthenticatedError, "401"),
        (grpc.StatusCode.PERMISSION_DENIED, 403, PermissionDeniedError, "403"),
        (grpc.StatusCode.UNIMPLEMENTED, 404, UnavailableError, "is no manager"),
        (grpc.StatusCode.UNKNOWN, 200, UnavailableError, "is no manager"),
    ],
)
def test_a_gateway_that_answers_for_a_manager_is_told_from_what_is_none(
    code: grpc.StatusCode, status: int, error: type[KatibError], said: str
) -> None:
    failover = Failover(["away:6789"], ())
    answered = Answered(code, status)
    fate = failover._fate(answered, time.monotonic() + 5)
    found = failover._translate(answered, fate, 0, again=False)
    assert type(found) is error
    assert said in found.message
