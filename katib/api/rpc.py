"""The gRPC server that every process of Katib runs: address, health, reflection, errors, streams, drain."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from katib.api import errors
from katib.api.admission import Admission, Lane
from katib.api.affinity import OneProcessor
from katib.api.channel import MAX_MESSAGE_BYTES
from katib.api.malformed import Deserializer, readable, whole
from katib.domain.errors import FailedPreconditionError, InternalError, KatibError, ResourceExhaustedError

if TYPE_CHECKING:
    from katib.api.tls import ServerTls

_log: Final = logging.getLogger(__name__)

# More do not help: the calls' cost is Python's, which runs one thread at a time (docs/adr/0001).
UNARY_THREADS: Final = 16
# A stream takes a thread as long as it lives: its own, never one of the other calls'.
MAX_STREAMS: Final = 256
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
_HEALTH_PREFIX: Final = "/grpc.health.v1.Health/"

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

Observer = Callable[[str, str, float], None]
# Given a call's method, request and context before its handler: raises the KatibError with which it is refused.
Guard = Callable[[str, Any, grpc.ServicerContext], None]
# Given a call's method, request (None: it was none), context, reply (None: it was refused) and code when it has been answered.
Audit = Callable[[str, Any, grpc.ServicerContext, Any, str], None]


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
        self._errors = _Errors(self._stream_pool, self._health_pool, observe, guarded, guard, admission, audit)
        self.grpc: Final = grpc.server(self._unary_pool, interceptors=[self._errors], options=self._options)
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
        """Answers health checks there too, in plaintext, and nothing else: for probes that know no TLS (docs/adr/0013). Returns
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
        part = grpc.server(self._unary_pool, interceptors=[self._errors], options=self._options)
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


_Make = Callable[[], "grpc.RpcMethodHandler[Any, Any]"]
_Admitted = Callable[[Iterator[Any], grpc.ServicerContext, Lane], Any]


class _Call:
    """How one call is answered that is admitted or refused; gRPC asks its behaviour for the pool."""

    __slots__ = ("_behaviour", "_errors", "_method", "experimental_thread_pool")

    def __init__(self, errors: "_Errors", method: str, behaviour: _Admitted, lane: Lane) -> None:
        self._errors = errors
        self._method = method
        self._behaviour = behaviour
        self.experimental_thread_pool = lane

    def __call__(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Any:
        lane = self.experimental_thread_pool
        if lane.refusal is not None:
            self._errors.fail(self._method, context, lane.refusal, time.monotonic())
        return self._behaviour(requests, context, lane)


class _Errors(grpc.ServerInterceptor):
    """Turns what handlers raise into statuses, and gives streams their own threads."""

    def __init__(
        self,
        stream_pool: ThreadPoolExecutor,
        health_pool: ThreadPoolExecutor,
        observe: Observer | None,
        guarded: tuple[str, ...],
        guard: Guard | None,
        admission: Admission | None,
        audit: Audit | None,
    ) -> None:
        """`guarded`: how the methods begin that the guard is asked for, the admission, and the audit."""
        self._stream_pool = stream_pool
        self._health_pool = health_pool
        self._guarded = guarded
        self._guard = guard
        self._admission = admission
        self._audit = audit
        self._observe = observe or (lambda _method, _code, _seconds: None)
        self._streams = 0
        self._most_streams = MAX_STREAMS if admission is None else admission.limits.streams
        self._lock = threading.Lock()
        # By a method's own handler, which is the same for each of its calls, and is kept here so that no other is taken for it.
        self._made: dict[tuple[int, str], tuple[Any, _Make]] = {}

    def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        key = id(handler), handler_call_details.method
        known = self._made.get(key)
        if known is None:
            known = self._made[key] = handler, self._makes(handler_call_details.method, handler)
        return known[1]()

    def _makes(self, method: str, handler: "grpc.RpcMethodHandler[Any, Any]") -> "_Make":
        """What gives the handler of one call."""
        guard = self._guard if method.startswith(self._guarded) else None
        if self._admission is not None and not method.startswith(_HEALTH_PREFIX):
            admitted = self._admitted(method, handler, guard, self._admission)
            if admitted is not None:
                return admitted
        made = self._handler(method, handler, guard)
        return lambda: made

    def _handler(
        self, method: str, handler: "grpc.RpcMethodHandler[Any, Any]", guard: Guard | None
    ) -> "grpc.RpcMethodHandler[Any, Any]":
        """The same for all calls."""
        serializers = (readable(handler.request_deserializer), handler.response_serializer)
        if method.startswith(_HEALTH_PREFIX):
            if handler.unary_unary is None:
                return handler
            return grpc.unary_unary_rpc_method_handler(self._elsewhere(method, handler.unary_unary), *serializers)
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(self._unary(method, handler.unary_unary, guard), *serializers)
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(self._stream(method, handler.unary_stream, guard), *serializers)
        if handler.stream_stream is not None:
            return grpc.stream_stream_rpc_method_handler(
                self._stream(method, handler.stream_stream, guard), *serializers
            )
        return handler

    def _admitted(
        self, method: str, handler: "grpc.RpcMethodHandler[Any, Any]", guard: Guard | None, admission: Admission
    ) -> "_Make | None":
        """To gRPC these take a stream of requests: it begins to read the one that there is only when it is asked for."""
        read = readable(handler.request_deserializer)
        serializer = handler.response_serializer
        if handler.unary_unary is not None:
            one = self._one(self._unary(method, handler.unary_unary, guard), read, admission)
            return lambda: grpc.stream_unary_rpc_method_handler(
                _Call(self, method, one, admission.unary()), None, serializer
            )
        if handler.stream_stream is not None:
            # Reflection, in which whoever asks sends nothing for as long as it likes.
            talk = self._stream(method, handler.stream_stream, guard)

            def answered(requests: Iterator[Any], context: grpc.ServicerContext, _: Lane) -> Any:
                return talk(requests, context)

            several: _Admitted = answered
        elif handler.unary_stream is not None:
            several = self._one(self._stream(method, handler.unary_stream, guard), read, admission)
            read = None
        else:
            return None
        return lambda: grpc.stream_stream_rpc_method_handler(
            _Call(self, method, several, admission.stream(self._stream_pool)), read, serializer
        )

    def _one(self, behaviour: Callable[..., Any], read: Deserializer | None, admission: Admission) -> "_Admitted":
        def call(requests: Iterator[bytes], context: grpc.ServicerContext, lane: Lane) -> Any:
            data = admission.message(requests, context)
            admission.weigh(lane, len(data))
            return behaviour(data if read is None else read(data), context)

        return call

    def _elsewhere(self, method: str, behaviour: Callable[..., Any]) -> Callable[..., Any]:
        """A call that is answered however many others wait: a probe that is not would end the process for being busy."""

        def call(request: Any, context: grpc.ServicerContext) -> Any:
            begin = time.monotonic()
            try:
                return behaviour(whole(request), context)
            except Exception as error:  # noqa: BLE001 - as in the others
                self.fail(method, context, error, begin)

        call.experimental_thread_pool = self._health_pool  # type: ignore[attr-defined]
        return call

    def _unary(self, method: str, behaviour: Callable[..., Any], guard: Guard | None) -> Callable[..., Any]:
        def call(request: Any, context: grpc.ServicerContext) -> Any:
            begin = time.monotonic()
            known = None
            try:
                known = request = whole(request)
                if guard is not None:
                    guard(method, request, context)
                reply = behaviour(request, context)
            except Exception as error:  # noqa: BLE001 - the last place that can answer the caller
                if self._audit is not None and method.startswith(self._guarded):
                    self._audit(method, known, context, None, _code_name(error))
                self.fail(method, context, error, begin)
            if self._audit is not None and method.startswith(self._guarded):
                self._audit(method, known, context, reply, "OK")
            self._observe(method, "OK", time.monotonic() - begin)
            return reply

        return call

    def _stream(
        self, method: str, behaviour: Callable[..., Iterator[Any]], guard: Guard | None
    ) -> Callable[..., Iterator[Any]]:
        def call(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            begin = time.monotonic()
            with self._lock:
                self._streams += 1
                streams = self._streams
            try:
                if streams > self._most_streams:
                    raise ResourceExhaustedError(
                        f"{self._most_streams} streams are open already; close one, or ask again without a stream"
                    )
                request = whole(request)
                if guard is not None:
                    guard(method, request, context)
                yield from behaviour(request, context)
            except Exception as error:  # noqa: BLE001 - as above; the generator's body runs here, not at the call
                self.fail(method, context, error, begin)
            finally:
                with self._lock:
                    self._streams -= 1
            self._observe(method, "OK", time.monotonic() - begin)

        call.experimental_thread_pool = self._stream_pool  # type: ignore[attr-defined]
        return call

    def fail(self, method: str, context: grpc.ServicerContext, error: Exception, begin: float) -> None:
        code = context.code()  # type: ignore[attr-defined]  # the stubs lack it
        if code is not None:
            # The handler has aborted by itself, which raises a bare exception.
            self._observe(method, str(code), time.monotonic() - begin)
            raise error
        if not isinstance(error, KatibError):
            _log.error("%s failed", method, exc_info=error)
            error = InternalError(f"a defect in {method}: the server's log says more")
        code = errors.code_of(error)
        self._observe(method, code.name, time.monotonic() - begin)
        context.set_trailing_metadata(errors.detail_of(error))
        context.abort(code, errors.message_of(error))


def _code_name(error: Exception) -> str:
    return (errors.code_of(error) if isinstance(error, KatibError) else grpc.StatusCode.INTERNAL).name
