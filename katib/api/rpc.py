"""The gRPC server that every process of Katib runs: address, health, reflection, drain."""

import os
import signal
import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from katib.api.admission import Admission
from katib.api.affinity import OneProcessor
from katib.api.answering import MAX_STREAMS, Answering, Audit, Guard, Observer
from katib.api.channel import MAX_MESSAGE_BYTES
from katib.api.listening import why_not_listen
from katib.domain.errors import FailedPreconditionError

if TYPE_CHECKING:
    from katib.api.tls import ServerTls

# More do not help: the calls' cost is Python's, which runs one thread at a time (docs/adr/0001).
UNARY_THREADS: Final = 16
_SPARE_STREAM_THREADS: Final = 16
_HEALTH_THREADS: Final = 4
# The health service of this name is SERVING as long as the process answers at all, also while it cannot work: what a liveness
# probe asks for. A manager whose database is away is not mended by a restart.
LIVE: Final = "live"
# Of probes at once, where they have a port of their own.
_MAX_PROBES: Final = 32
# A connection is as old as this at most, and a stream on it twice as old: clients open another, and go on.
CONNECTION_MS: Final = 600_000
# What is asked of a server that drains: calls under way may take this long to end.
DRAIN_S: Final = 10.0
# The variable that names the pipe by which a process ends with the one that started it.
LIFELINE: Final = "KATIB_LIFELINE_FD"
_STOP_SIGNALS: Final = frozenset({signal.SIGTERM, signal.SIGINT})

_OPTIONS: Final[tuple[tuple[str, int], ...]] = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # No compressed requests: a few kilobytes of them may be gigabytes. No client of Katib's compresses.
    ("grpc.compression_enabled_algorithms_bitset", 1),
    # Two servers on one port would each get a part of the calls.
    ("grpc.so_reuseport", 0),
    # A peer that went away without a word is noticed, and what it held is let go.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # Whoever should not be let in any more has to show itself again: its certificate has expired, or its authority is gone.
    ("grpc.max_connection_age_ms", CONNECTION_MS),
    ("grpc.max_connection_age_grace_ms", CONNECTION_MS),
    # On one connection; further calls wait at their client.
    ("grpc.max_concurrent_streams", 1000),
)


class Server:
    """A gRPC server with health and reflection whose handlers may raise the domain's errors.

    `observe(method, code, seconds)` is called after each call.
    """

    def __init__(
        self,
        services: tuple[str, ...],
        observe: Observer | None = None,
        threads: int = UNARY_THREADS,
        guard: Guard | None = None,
        admission: Admission | None = None,
        max_message: int = MAX_MESSAGE_BYTES,
        audit: Audit | None = None,
        one_processor: OneProcessor | None = None,
    ) -> None:
        """`services`: the full names, such as `api.Manager`. `guard` is asked before every call of theirs, on the call's own
        thread and in its own context; health and reflection are open to all. `admission` has threads of its own for them, and
        says which calls are taken at all. `audit` is told of every call of theirs that was taken, in its context.
        `one_processor`: where all its threads are, but those of `admission`."""
        self._services = services
        self._admission = admission
        self._options = (*_OPTIONS, ("grpc.max_receive_message_length", max_message))
        self._one_processor = one_processor
        begin = None if one_processor is None else one_processor.join
        self._unary_pool = ThreadPoolExecutor(threads, "rpc", begin)
        streams = MAX_STREAMS if admission is None else admission.limits.streams
        self._stream_pool = ThreadPoolExecutor(streams + _SPARE_STREAM_THREADS, "stream", begin)
        # Of its own: a probe that is not answered would end the process for being busy.
        self._health_pool = ThreadPoolExecutor(_HEALTH_THREADS, "health", begin)
        self._health = health.HealthServicer(experimental_non_blocking=True, experimental_thread_pool=self._health_pool)
        guarded = tuple(f"/{s}/" for s in services)
        self._answering = Answering(self._stream_pool, self._health_pool, observe, guarded, guard, admission, audit)
        self.grpc: Final = grpc.server(self._unary_pool, interceptors=[self._answering], options=self._options)
        # What answers a part of it elsewhere.
        self._others: list[grpc.Server] = []
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.grpc)
        reflection.enable_server_reflection((*services, health.SERVICE_NAME, reflection.SERVICE_NAME), self.grpc)
        self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        self._health.set(LIVE, health_pb2.HealthCheckResponse.SERVING)

    def listen(self, address: str, tls: "ServerTls | None" = None) -> int:
        """Binds `HOST:PORT` (port 0: any free one) or `unix:PATH`; returns the port, for a path a positive number. Unix sockets
        are in plaintext with `tls` too.

        Raises FailedPreconditionError when the address cannot be had.
        """
        return _bind(self.grpc, address, tls)

    def listen_health(self, address: str) -> int:
        """Answers health checks there too, in plaintext, and nothing else: for probes that know no TLS (docs/adr/0016). Returns
        the port.

        Raises FailedPreconditionError when the address cannot be had.
        """
        probed = grpc.server(self._health_pool, options=_OPTIONS, maximum_concurrent_rpcs=_MAX_PROBES)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, probed)
        self._others.append(probed)
        return _bind(probed, address, None)

    def listen_part(
        self, address: str, tls: "ServerTls | None", methods: Collection[str], add_to: Callable[[Any], None]
    ) -> int:
        """Answers some methods there too, and asks nobody there for a certificate. `add_to` is the generated function that adds
        the service. Returns the port.

        Raises FailedPreconditionError when the address cannot be had.
        """
        part = grpc.server(self._unary_pool, interceptors=[self._answering], options=self._options)
        add_to(_Part(part, methods))
        self._others.append(part)
        return _bind(part, address, tls, mutual=False)

    def start(self, ready: bool = True) -> None:
        if self._one_processor is None:
            self._start()
        else:
            with self._one_processor.joining():
                self._start()
            self._one_processor.start()
        if ready:
            self.set_ready(True)

    def _start(self) -> None:
        for server in (self.grpc, *self._others):
            server.start()

    def set_ready(self, ready: bool) -> None:
        """What health checks are told; calls are answered either way."""
        self._set_health(
            health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        )

    def drain(self, seconds: float = DRAIN_S) -> None:
        """Says NOT_SERVING, takes no new calls, lets those under way end within `seconds`, then stops."""
        self._health.enter_graceful_shutdown()
        stopped = [server.stop(seconds) for server in (self.grpc, *self._others)]
        for one in stopped:
            one.wait(seconds + 5)
        if self._admission is not None:
            self._admission.close()
        self._unary_pool.shutdown(wait=False, cancel_futures=True)
        self._stream_pool.shutdown(wait=False, cancel_futures=True)
        self._health_pool.shutdown(wait=False, cancel_futures=True)
        if self._one_processor is not None:
            self._one_processor.close()

    def _set_health(self, status: Any) -> None:
        for service in ("", *self._services):
            self._health.set(service, status)


class _Part:
    """Stands for a server towards generated code, and lets some methods through to it."""

    def __init__(self, server: grpc.Server, methods: Collection[str]) -> None:
        self._server = server
        self._methods = methods

    def add_generic_rpc_handlers(self, _handlers: Any) -> None:
        """All methods in one, of which no part can be taken; the same come by their names."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        some = {name: handler for name, handler in handlers.items() if name in self._methods}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, some),))
        self._server.add_registered_method_handlers(service, some)


def _bind(server: grpc.Server, address: str, tls: "ServerTls | None", *, mutual: bool = True) -> int:
    why_not = why_not_listen(address)
    if why_not:
        raise FailedPreconditionError(f"cannot listen on {address}: {why_not}")
    try:
        if tls is None or address.startswith("unix:"):
            port: int = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, tls.credentials(mutual=mutual))
    except RuntimeError as error:
        raise FailedPreconditionError(
            f"cannot listen on {address}: it is in use or not an address of this machine; choose another one"
        ) from error
    return port


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set, and the end of the process that holds the other end of our lifeline.

    `wait_for_termination` would end the process without draining.
    """
    stop = threading.Event()
    # Python runs handlers in the main thread alone, and a main thread that waits for the event does not wake up when the
    # kernel gives the signal to another thread: the process would never end. The wake-up descriptor is written to in any case.
    noted, note = os.pipe()
    os.set_blocking(note, False)
    signal.set_wakeup_fd(note, warn_on_full_buffer=False)
    for number in _STOP_SIGNALS:
        signal.signal(number, _leave_to_wakeup)
    threading.Thread(target=_await_signal, args=(noted, stop), name="signals", daemon=True).start()
    lifeline = os.environ.pop(LIFELINE, "")
    if lifeline.isdigit():
        threading.Thread(target=_hold, args=(int(lifeline), stop), name="lifeline", daemon=True).start()
    return stop


def _leave_to_wakeup(_signal: int, _frame: FrameType | None) -> None:
    """Stands in the place of the default, which would end the process at once."""


def _await_signal(noted: int, stop: threading.Event) -> None:
    """Reads the numbers of the signals that came."""
    while not set(os.read(noted, 64)) & _STOP_SIGNALS:
        pass
    stop.set()


def _hold(lifeline: int, stop: threading.Event) -> None:
    """Reads a pipe that nobody writes to: it ends when its other end is closed, even by SIGKILL."""
    # What this process starts must not hold the pipe open.
    os.set_inheritable(lifeline, False)  # noqa: FBT003
    while os.read(lifeline, 64):
        pass
    stop.set()
