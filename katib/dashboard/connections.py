"""How many may be connected, and how long one may take. Uvicorn by itself waits for a request, and for who takes its answer,
without end; and a process has only so many files.
"""

import asyncio
import errno
import logging
import resource
import socket
import ssl
import time
from typing import Any, ClassVar, Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

_log: Final = logging.getLogger(__name__)

# For a whole request: a study file of the largest size by a slow line.
REQUEST_S = 30.0
# So long may nothing be taken of an answer.
TAKEN_S = 60.0
HANDSHAKE_S: Final = 10.0
# Over TLS what is still to be taken when the connection is to close is thrown away then; asyncio's own is half a minute.
CLOSE_S: Final = 600.0
_MOST: Final = 1000
_NO_FILE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_SAY_S: Final = 60.0
_LATE: Final = (
    b"HTTP/1.1 408 Request Timeout\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n\r\n"
    b"The rest of the request did not come in time.\n"
)


class Connection(H11Protocol):
    """One by which nothing comes is ended. Of too many, the one that has waited longest for a request gives way to the next;
    where all are at work, the next is not taken in."""

    _timer: asyncio.TimerHandle | None = None
    _stuck: asyncio.TimerHandle | None = None
    # Since when it waits for a request, or for the rest of one.
    _since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as Uvicorn has it
        super().connection_made(transport)
        self._wait()
        self._make_way()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._rest()
        self.resume_writing()

    def data_received(self, data: bytes) -> None:
        if self._stuck is not None and not self.flow.write_paused:
            # Whoever goes on has another answer to take.
            self._unstick()
        super().data_received(data)
        if not self.waits:
            self._rest()
        elif self._timer is None:
            self._wait()

    def on_response_complete(self) -> None:
        # For the next request Uvicorn has a time of its own, until the first of it comes.
        self._since = self.loop.time()
        super().on_response_complete()

    def timeout_keep_alive_handler(self) -> None:
        """Nobody has asked for more since the answer was complete, which may be because it is still being taken."""
        left = self._left()
        if not left:
            super().timeout_keep_alive_handler()
            return
        if self._stuck is None:
            # So little that writing goes on.
            self._stuck = self.loop.call_later(TAKEN_S, self._look_whether_taken, left)
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stuck is None:
            self._stuck = self.loop.call_later(TAKEN_S, self._look_whether_taken, self._left())

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unstick()

    def _unstick(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    @property
    def waits(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete or cycle.more_body

    def _look_whether_taken(self, before: int) -> None:
        """A piece may be as large as the whole answer, and the line slow."""
        left = self._left()
        if not left:
            self._stuck = None
        elif left >= before:
            self.end()
        else:
            self._stuck = self.loop.call_later(TAKEN_S, self._look_whether_taken, left)

    def _left(self) -> int:
        """Of what was written, in bytes."""
        return self.transport.get_write_buffer_size()

    def _make_way(self) -> None:
        if len(self.connections) > most():
            waiting = [it for it in self.connections if isinstance(it, Connection) and it is not self and it.waits]
            min(waiting, key=lambda it: it._since, default=self).end()

    def end(self) -> None:
        # It is counted until its socket is closed, which is in a moment.
        self.connections.discard(self)
        self.transport.abort()

    def _should_upgrade(self) -> bool:
        # There is nothing here but pages, and no line of the log for each who asks for more.
        return False

    def _wait(self) -> None:
        self._since = self.loop.time()
        self._timer = self.loop.call_later(REQUEST_S, self._late)

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        cycle: RequestResponseCycle | None = self.cycle
        begun = bool(self.conn.trailing_data[0])
        if not begun or (cycle is not None and not cycle.response_complete):
            self.end()
            return
        self.transport.write(_LATE)
        self.transport.close()


class TlsConnection(Connection):
    """Counted from the beginning: where asyncio makes the handshake before it tells of a connection, that one has taken a third
    of a megabyte by then."""

    context: ClassVar[ssl.SSLContext]
    _line: asyncio.Transport
    _early: bytes | None = b""
    _closing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as Uvicorn has it
        self.transport = self._line = transport
        self._since = self.loop.time()
        self.connections.add(self)
        self._make_way()
        shaking = self.loop.create_task(self._shake(transport))
        self.tasks.add(shaking)
        shaking.add_done_callback(self.tasks.discard)

    def _left(self) -> int:
        return super()._left() + self._line.get_write_buffer_size()

    async def _shake(self, transport: asyncio.Transport) -> None:
        if transport.is_closing():
            return
        try:
            secured = await self.loop.start_tls(
                transport,
                self,
                self.context,
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_S,
                ssl_shutdown_timeout=CLOSE_S,
            )
        except OSError:
            secured = None
        if secured is None or secured.is_closing():
            self.end()
            return
        super().connection_made(secured)
        self._look_whether_closed(None)
        early, self._early = self._early, None
        if early:
            self.data_received(early)

    def _look_whether_closed(self, before: int | None) -> None:
        """One that is to close waits for the other side to do so too, which it may not while it sleeps or has others to use.
        `before`: what was left when it was to close already."""
        left = self._left() if self.transport.is_closing() else None
        if left is not None and before is not None and left >= before:
            self.end()
        else:
            self._closing = self.loop.call_later(TAKEN_S, self._look_whether_closed, left)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._closing is not None:
            self._closing.cancel()
        if self._early is None:
            super().connection_lost(exc)
        else:
            self.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        if self._early is None:
            super().data_received(data)
        else:
            # With the last of the handshake.
            self._early += data

    def shutdown(self) -> None:
        if self._early is None:
            super().shutdown()
        else:
            self.end()


def over_tls(context: ssl.SSLContext) -> type[Connection]:
    return type("Secured", (TlsConnection,), {"context": context})


def most() -> int:
    """As many as leave files for everything else."""
    return min(_MOST, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)


class Server(uvicorn.Server):
    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(_Troubles())
        await super().serve(sockets)


class _Troubles:
    """Says once a minute that no connection can be taken in, in place of a traceback for each look at the socket."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in _NO_FILE:
            loop.default_exception_handler(context)
        elif time.monotonic() >= self._next:
            self._next = time.monotonic() + _SAY_S
            _log.error("nobody more can connect: %s; see who is connected, or allow more (ulimit -n)", error.strerror)
