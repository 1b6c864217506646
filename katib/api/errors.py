"""The one table between the domain's errors and gRPC's status codes, both ways."""

import math
import re
from collections.abc import Callable
from typing import Final, cast

import grpc

from katib.api import api_pb2
from katib.domain import errors
from katib.domain.errors import FieldViolation, InvalidArgumentError, KatibError

# What gRPC says when it is this side whose time is over; a peer that gave up waiting for another says so in a sentence.
TIMED_OUT_HERE: Final = "Deadline Exceeded"
DETAIL_KEY: Final = "katib-error-bin"
# By this name gRPC's own retry policies look for it (its proposal A6).
_RETRY_KEY: Final = "grpc-retry-pushback-ms"
# What gRPC says of a message that it does not even read, or send.
_TOO_LARGE: Final = re.compile(r"(?:\w+: )?(?:Received|Sent) message larger than max \((\d+) vs\. (\d+)\)")
# The same of an answer.
_ANSWER_TOO_LARGE: Final = re.compile(r"Stream removed \(CLIENT: Received message larger than max \((\d+) vs\. (\d+)\)")
# Status message and details travel in the trailers, for which peers accept 8 KiB in all.
_MAX_MESSAGE: Final = 2000
_MAX_DETAIL: Final = 3000

_CODE_OF: Final[dict[type[KatibError], grpc.StatusCode]] = {
    errors.InvalidArgumentError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFoundError: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExistsError: grpc.StatusCode.ALREADY_EXISTS,
    errors.FailedPreconditionError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.AbortedError: grpc.StatusCode.ABORTED,
    errors.ResourceExhaustedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.UnavailableError: grpc.StatusCode.UNAVAILABLE,
    errors.DeadlineExceededError: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.UnimplementedError: grpc.StatusCode.UNIMPLEMENTED,
    errors.UnauthenticatedError: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDeniedError: grpc.StatusCode.PERMISSION_DENIED,
    errors.InternalError: grpc.StatusCode.INTERNAL,
}
_CLASS_OF: Final = {code: class_ for class_, code in _CODE_OF.items()}


class MessageTooLargeError(errors.ResourceExhaustedError):
    """A message of `size` bytes was not sent, or not read: `most` are taken. Not `whole`: it was not even made, and would have
    more than that."""

    def __init__(self, size: int, most: int, *, whole: bool = True) -> None:
        super().__init__(
            f"a message of {size} bytes is more than the {most} that are taken: send less at once, or raise --max-message "
            "where it was to go"
        )
        self.size = size
        self.most = most
        self.whole = whole


def code_of(error: KatibError) -> grpc.StatusCode:
    """Of the nearest class that the table has: a part of ours may raise one of its own below it."""
    return next((_CODE_OF[class_] for class_ in type(error).__mro__ if class_ in _CODE_OF), grpc.StatusCode.INTERNAL)


def message_of(error: KatibError) -> str:
    """Cut to what fits into the trailers, where each byte that is not ASCII becomes three."""
    # A lone surrogate, as a file's name may have it, could not be sent.
    text = error.message.encode(errors="backslashreplace").decode()
    if len(text) <= _MAX_MESSAGE // 12 or _size_on_wire(text) <= _MAX_MESSAGE:
        return text
    return f"{_cut(text, _MAX_MESSAGE - 3, _size_on_wire)}..."


def detail_of(error: KatibError) -> tuple[tuple[str, str | bytes], ...]:
    """The trailing metadata that carries what a status cannot: the violations, as many as fit, or when to try again."""
    if isinstance(error, errors.ResourceExhaustedError) and error.retry_after is not None:
        return ((_RETRY_KEY, str(math.ceil(error.retry_after * 1000))),)
    if not isinstance(error, InvalidArgumentError) or not error.violations:
        return ()
    detail = api_pb2.ErrorDetail()
    for violation in error.violations:
        detail.violations.add(
            field=_cut(violation.field, 300, _size_of_text),
            value=violation.value,
            expected=_cut(violation.expected, 300, _size_of_text),
        )
        if detail.ByteSize() > _MAX_DETAIL:
            del detail.violations[-1]
            break
    return ((DETAIL_KEY, detail.SerializeToString()),)


def _size_on_wire(text: str) -> int:
    """gRPC writes a status message with %XX for every byte but printable ASCII."""
    data = text.encode(errors="replace")
    return len(data) + 2 * sum(not 0x20 <= byte <= 0x7E or byte == 0x25 for byte in data)


def _size_of_text(text: str) -> int:
    return len(text.encode(errors="replace"))


def _cut(text: str, most: int, size: Callable[[str], int]) -> str:
    """The longest beginning of that size at most."""
    if size(text) <= most:
        return text
    low, high = 0, min(len(text), most)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if size(text[:middle]) <= most else (low, middle - 1)
    return text[:low]


def from_rpc_error(rpc_error: grpc.RpcError, peer: str = "") -> KatibError:
    """What the other side raised. `peer` is named where the message would not say who did not answer."""
    call = cast(grpc.Call, rpc_error)  # so it is for every error that a call raises
    code = call.code()
    text = call.details() or code.name
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return _invalid_argument(call, text)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return _resource_exhausted(call, text)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED and peer and text == TIMED_OUT_HERE:
        return errors.DeadlineExceededError(f"{peer} did not answer in time")
    if code is grpc.StatusCode.CANCELLED:
        # A server that drains turns away so what it has not begun.
        return errors.UnavailableError(f"{peer or 'the server'} is ending: {text}")
    class_ = _CLASS_OF.get(code)
    if class_ is None:
        # UNKNOWN is what a server answers whose handler raised something that it does not translate.
        return errors.InternalError(f"{peer or 'the server'} failed ({code.name}): {text}")
    return class_(text)


# How gRPC's own texts for UNAVAILABLE begin; no service's sentences do.
_NOT_SENT: Final = ("failed to connect", "DNS resolution failed", "errors resolving")
_BROKEN_OFF: Final = (
    "Stream removed",
    "Cancelling all calls",
    "Connection reset",
    "Socket closed",
    "recvmsg",
    "sendmsg",
    "Broken pipe",
    "GOAWAY",
    "keepalive",
    "ping timeout",
)


def was_not_sent(text: str) -> bool:
    """Whether the text of an UNAVAILABLE says that there was no connection to send the request over."""
    return text.startswith(_NOT_SENT)


def said_by_grpc(text: str) -> bool:
    """Whether it is gRPC itself that says UNAVAILABLE: there was no connection, or it broke off."""
    return text.startswith((*_NOT_SENT, *_BROKEN_OFF))


# What gRPC's texts about a connection that could not be made have in them where it was TLS that failed, and what that means.
_TLS_FAILURES: Final = (
    ("Hostname Verification Check failed", "its certificate is for other names than the one it was called by"),
    ("WRONG_VERSION_NUMBER", "it does not speak TLS: leave out --tls-ca, or start it with --tls-cert and --tls-key"),
    ("certificate has expired", "its certificate has expired: renew it"),
    ("CERTIFICATE_VERIFY_FAILED", "none of the authorities in --tls-ca vouches for its certificate"),
    ("certificate signature failure", "none of the authorities in --tls-ca vouches for its certificate"),
    ("handshake failed", "TLS could not be agreed upon"),
)


def tls_failure(text: str, *, tls: bool) -> str:
    """What TLS had to do with an UNAVAILABLE, by its text; empty where it had nothing. `tls`: whether this side used it."""
    for part, meaning in _TLS_FAILURES:
        if part in text:
            return meaning
    if text.startswith(_NOT_SENT) and text.endswith("Socket closed"):
        # A server that does not like what a client shows, or that it shows nothing, says nothing either.
        return (
            "it ended the connection: it may want another certificate than --tls-cert, or one at all"
            if tls
            else "it ended the connection: it may want TLS (--tls-ca)"
        )
    return ""


# How gRPC's text begins for an answer of HTTP that has nothing of gRPC.
SAID_BY_HTTP: Final = "Received http2 header with status"
# What such texts have in them where something is there but no manager that answers, or where a name stands for nothing.
_NO_ANSWER: Final = ("before receiving SETTINGS", "Handshake read failed", "Timeout occurred", "timed out")
_NO_GRPC: Final = ("Failed parsing HTTP/2", "http1.x server", SAID_BY_HTTP)
_NO_NAME: Final = ("DNS resolution failed", "lookup failed", "Domain name not found")


def why_unreached(text: str, address: str) -> str:
    """A sentence on a peer that was to be a manager, by gRPC's text; empty where that says nothing but that nobody listens."""
    if any(part in text for part in _NO_NAME):
        host = address.rpartition(":")[0]
        return f"the host name {host} could not be looked up: correct it, or see whether the name service (DNS) answers"
    if any(part in text for part in _NO_GRPC):
        return (
            f"what answers at {address} is no manager, but perhaps the dashboard, another web server or a proxy: name the "
            "manager's own address, which is what its --listen says"
        )
    if any(part in text for part in _NO_ANSWER):
        return (
            f"the manager at {address} does not answer: see whether its process is stopped or overloaded, what its log says, "
            "and whether the address is right"
        )
    return ""


def _resource_exhausted(call: grpc.Call, text: str) -> errors.ResourceExhaustedError:
    too_large = _TOO_LARGE.match(text)
    if too_large:
        return MessageTooLargeError(int(too_large[1]), int(too_large[2]))
    too_large = _ANSWER_TOO_LARGE.match(text)
    if too_large:
        return errors.ResourceExhaustedError(
            f"an answer of {int(too_large[1]):,} bytes came, and no more than {int(too_large[2]):,} are taken: ask for less at "
            "once, or have less sent"
        )
    return errors.ResourceExhaustedError(text, retry_after_of(call))


def retry_after_of(call: grpc.Call) -> float | None:
    """The seconds after which a call that was refused may be made again; None where nothing was said of that."""
    for key, value in call.trailing_metadata() or ():
        if key == _RETRY_KEY and isinstance(value, str) and value.isdecimal():
            return int(value) / 1000
    return None


def _invalid_argument(call: grpc.Call, text: str) -> InvalidArgumentError:
    for key, value in call.trailing_metadata() or ():
        if key == DETAIL_KEY and isinstance(value, bytes):
            detail = api_pb2.ErrorDetail.FromString(value)
            error = InvalidArgumentError(FieldViolation(v.field, v.value, v.expected) for v in detail.violations)
            error.args = (text,)
            return error
    return InvalidArgumentError(text)
