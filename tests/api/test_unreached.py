"""What gRPC says of a manager that could not be asked, and what we make of it."""

import pytest

from katib.api.errors import why_unreached

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
