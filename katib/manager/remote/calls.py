"""A call to a service as a future of domain types."""

import logging
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, TypeVar

import grpc

from katib.api.errors import from_rpc_error, said_by_grpc
from katib.domain.errors import InternalError, KatibError, UnavailableError
from katib.manager.remote.addresses import Channels

_log: Final = logging.getLogger(__name__)

# Settings are checked, not worked on.
SETTINGS_S: Final = 15.0
# A model over a long history may take its time; a service that hangs may not.
GENERATE_S: Final = 600.0
STOP_S: Final = 5.0

Reply = TypeVar("Reply")


def start(
    channels: Channels,
    address: str,
    call: Callable[[grpc.Channel], Any],
    convert: Callable[[Any], Reply],
    who: str,
) -> "Future[Reply]":
    """Starts `call(channel)`, a stub method's `future`, and returns at once."""
    future: Future[Reply] = Future()
    channel = channels.get(address)

    def done(rpc: Any) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(convert(rpc.result()))
        except grpc.RpcError as error:
            if rpc.code() is grpc.StatusCode.UNAVAILABLE:
                channels.drop(address, channel)
            future.set_exception(_failure(error, address, who))
        except KatibError as error:
            future.set_exception(error)
        except Exception as error:  # noqa: BLE001 - whoever waits must get an answer
            future.set_exception(InternalError(f"{who} sent what cannot be read: {error}"))

    try:
        rpc = call(channel)
    except ValueError:
        # The channel was closed, as this manager ends.
        future.set_exception(UnavailableError(f"{who} is not asked any more: this manager ends"))
        return future
    rpc.add_done_callback(done)
    # Whoever gives up waiting ends the call: a slow service is not left with the work of those who left.
    future.add_done_callback(lambda it: rpc.cancel() if it.cancelled() else None)
    return future


def _failure(error: grpc.RpcError, address: str, who: str) -> KatibError:
    failure = from_rpc_error(error, who)
    if isinstance(failure, UnavailableError) and said_by_grpc(failure.message):
        _log.debug("%s: %s", who, failure.message)
        return UnavailableError(f"nothing answers at {address}")
    return failure
