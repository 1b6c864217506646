"""Asks for a call's one message as soon as the call has come, so that the call need not have a thread before it is there.

gRPC begins to read on the call's own thread, which then waits until another one has received the message and wakes it up.

This is made of gRPC's own parts, which may look otherwise in its next version. Then nothing is asked for here, calls read as
they would without this, and tests/api/test_ahead.py fails.
"""

import logging
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

_log: Final = logging.getLogger(__name__)


def _parts() -> "tuple[Any, Any, Any, Any] | None":
    try:
        server, core = import_module("grpc._server"), import_module("grpc._cython.cygrpc")
        return (
            server._RPCState,
            server._receive_message,
            server._RECEIVE_MESSAGE_TOKEN,
            core.ReceiveMessageOperation,
        )
    except (ImportError, AttributeError):
        return None


_PARTS = _parts()


def ask(args: tuple[Any, ...], came: Callable[[bytes | None], None]) -> Callable[[], object] | None:
    """`args`: what gRPC gives to the pool in which a call is to be handled. `came` is called by gRPC's thread that takes in
    all calls, with the message, or with None where there is none: the call's own thread finds out why. What is given back ends
    the call. None: this cannot be done, and `came` will not be called."""
    global _PARTS  # what does not work once never will
    event = next((arg for arg in args if hasattr(arg, "invocation_metadata")), None)
    if _PARTS is None or event is None:
        return None
    try:
        return _asked(event.call, args, came, *_PARTS)
    except Exception:  # noqa: BLE001 - its thread has all other calls to take in
        _log.exception("a message cannot be read before its call has a thread: this gRPC is not known")
        _PARTS = None
        return None


def _asked(
    call: Any,
    args: tuple[Any, ...],
    came: Callable[[bytes | None], None],
    rpc_state: Any,
    receive: Any,
    token: str,
    read: Any,
) -> Callable[[], object] | None:
    state = next((arg for arg in args if isinstance(arg, rpc_state)), None)
    if state is None:
        return None
    note, due, end = receive(state, call, None), state.due, call.cancel

    def received(result: Any) -> Any:
        finished = note(result)
        try:
            with state.condition:
                message, state.request = state.request, None
            came(message)
        except Exception:  # noqa: BLE001 - as above
            _log.exception("a message that has come could not be handed on")
            end()
        return finished

    with state.condition:
        # One for each call: it holds the message.
        call.start_server_batch((read(0),), received)
        due.add(token)
    ends: Callable[[], object] = end
    return ends
