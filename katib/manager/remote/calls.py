"""A call to a service as a future of domain types."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import grpc

from katib.api.errors import MessageTooLargeError, from_rpc_error, said_by_grpc, tls_failure
from katib.domain.errors import (
    DeadlineExceededError,
    InternalError,
    KatibError,
    ResourceExhaustedError,
    UnavailableError,
)
from katib.manager.remote.addresses import Channels, Line

_log: Final = logging.getLogger(__name__)

# Settings are checked, not worked on.
SETTINGS_S: Final = 15.0
# A model over a long history may take its time. Whether the service is there at all meanwhile is looked after by the Watcher.
GENERATE_S: Final = 600.0
STOP_S: Final = 5.0
# After these the next call gets a connection of its own: the old one may lead to nobody.
_NOT_ANSWERED: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})

Reply = TypeVar("Reply")


def start(
    channels: Channels,
    address: str,
    call: Callable[[Line], Any],
    convert: Callable[[Any], Reply],
    who: str,
    failed: Callable[[KatibError], KatibError] = lambda error: error,
) -> "Future[Reply]":
    """Starts `call(line)`, a stub method's `future`, and returns at once. `failed`: what a failure means to the caller."""
    future: Future[Reply] = Future()
    line = channels.get(address)
    try:
        rpc = call(line)
    except ValueError:
        # The channel was closed, as this manager ends.
        future.set_exception(UnavailableError(f"{who} is not asked any more: this manager ends"))
        return future
    out = _Out(line, rpc)
    channels.watcher.add(out)

    def done(_rpc: Any) -> None:
        channels.watcher.remove(out)
        if not future.set_running_or_notify_cancel():
            return
        if out.lost and rpc.cancelled():
            channels.drop(line)
            future.set_exception(UnavailableError(out.lost))
            return
        try:
            # `result` would raise the call itself, which would then hold this frame and so itself, and with it the question,
            # until garbage is collected: a study's whole history may be in it.
            failure = rpc.exception()
            if failure is None:
                future.set_result(convert(rpc.result()))
                return
            if rpc.code() in _NOT_ANSWERED:
                channels.drop(line)
            future.set_exception(failed(_failure(failure, address, who, tls=channels.encrypted(address))))
        except KatibError as error:
            future.set_exception(error.with_traceback(None))
        except Exception as error:  # noqa: BLE001 - whoever waits must get an answer
            future.set_exception(InternalError(f"{who} sent what cannot be read: {error}"))

    rpc.add_done_callback(done)
    # Whoever gives up waiting ends the call: a slow service is not left with the work of those who left.
    future.add_done_callback(lambda it: rpc.cancel() if it.cancelled() else None)
    return future


def unsent(error: KatibError) -> "Future[Any]":
    """Of a call that was not even begun."""
    future: Future[Any] = Future()
    future.set_exception(error)
    return future


@dataclass(slots=True, eq=False)
class _Out:
    """A call that is out, as it is looked after."""

    line: Line
    rpc: Any
    began: float = field(default_factory=time.monotonic)
    lost: str = ""

    @property
    def address(self) -> str:
        return self.line.address

    def replaced(self) -> bool:
        return self.line.replaced()

    def lose(self, why: str) -> None:
        self.lost = why
        self.rpc.cancel()


def too_long(what: str, remedy: str) -> Callable[[KatibError], KatibError]:
    """What it means that a question could not be sent for its size: the next one has as much, so waiting for it is of no use,
    nor has the service an option for it. `what` is in it."""

    def failed(error: KatibError) -> KatibError:
        if not isinstance(error, MessageTooLargeError):
            return error
        size = f"{error.size:,}" if error.whole else f"more than {error.size:,}"
        return ResourceExhaustedError(
            f"a question with {what} has {size} bytes, and no more than {error.most:,} are taken: {remedy}"
        )

    return failed


def _failure(error: grpc.RpcError, address: str, who: str, *, tls: bool) -> KatibError:
    failure = from_rpc_error(error, who)
    if isinstance(failure, UnavailableError) and said_by_grpc(failure.message):
        _log.debug("%s: %s", who, failure.message)
        meaning = tls_failure(failure.message, tls=tls)
        return UnavailableError(f"{address} cannot be used: {meaning}" if meaning else f"nothing answers at {address}")
    if isinstance(failure, DeadlineExceededError) and failure.message.startswith(f"{who} did not answer"):
        return DeadlineExceededError(f"{failure.message}; its log may say why, and it may have to be restarted")
    return failure
