"""How the calls of a server are answered: who is let in, on which threads, and what becomes of errors."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import grpc

from katib.api import errors
from katib.api.admission import Admission, Lane
from katib.api.malformed import Deserializer, readable, whole
from katib.domain.errors import InternalError, KatibError, ResourceExhaustedError

_log: Final = logging.getLogger(__name__)

# A stream takes a thread as long as it lives: its own, never one of the other calls'.
MAX_STREAMS: Final = 256
_HEALTH_PREFIX: Final = "/grpc.health.v1.Health/"

Observer = Callable[[str, str, float], None]
# Given a call's method, request and context before its handler: raises the KatibError with which it is refused.
Guard = Callable[[str, Any, grpc.ServicerContext], None]
# Given a call's method, request (None: it was none), context, reply (None: it was refused) and code when it has been answered.
Audit = Callable[[str, Any, grpc.ServicerContext, Any, str], None]
_Make = Callable[[], "grpc.RpcMethodHandler[Any, Any]"]
_Admitted = Callable[[Iterator[Any], grpc.ServicerContext, Lane], Any]


class _Call:
    """How one call is answered that is admitted or refused; gRPC asks its behaviour for the pool."""

    __slots__ = ("_behaviour", "_errors", "_method", "experimental_thread_pool")

    def __init__(self, errors: "Answering", method: str, behaviour: _Admitted, lane: Lane) -> None:
        self._errors = errors
        self._method = method
        self._behaviour = behaviour
        self.experimental_thread_pool = lane

    def __call__(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Any:
        lane = self.experimental_thread_pool
        if lane.refusal is not None:
            self._errors.fail(self._method, context, lane.refusal, time.monotonic())
        return self._behaviour(requests, context, lane)


class Answering(grpc.ServerInterceptor):
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

    def _makes(self, method: str, handler: "grpc.RpcMethodHandler[Any, Any]") -> _Make:
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

    def _one(self, behaviour: Callable[..., Any], read: Deserializer | None, admission: Admission) -> _Admitted:
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
