"""What becomes of a call when it comes: whose it is, whether it is taken, and whose turn it takes. Nothing of its message has
been read then; a call that is refused costs neither its reading nor a thread.

A refusal is not answered at once. Who calls again as soon as it is refused would otherwise be answered as fast as it can ask,
and the refusals alone would take the processor from everybody else.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import grpc

from katib.api.callers import Asker
from katib.api.credentials import token_in
from katib.api.later import Later
from katib.api.rates import Rates
from katib.api.turns import THREADS, Turns
from katib.domain.effort import working_for
from katib.domain.errors import ResourceExhaustedError

# A refusal is answered after the first time, and those of one caller this far apart, but after the longest in any case. Each
# costs about a millisecond of the processor.
_SOONEST_S: Final = 0.1
_APART_S: Final = 0.04
# Who has so many refusals waiting that the last is answered after this time floods. Its further ones are this far apart.
_MANY_S: Final = 2.5
_MANY_APART_S: Final = 0.1
_LATEST_S: Final = 20.0
# More than these are answered at once: each takes some memory.
_MOST_REFUSALS: Final = 5000
_EVERYBODY: Final = ""
# For a message to arrive whole, once its call is in hand.
_MESSAGE_S: Final = 10.0
# Smaller messages are not weighed: what bounds them is how many calls there may be.
_WEIGHED: Final = 4096
_MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class CallLimits:
    """0: no limit. Rates are calls a second; `data_of_caller` is MiB a second of a caller's, or a trial's, messages."""

    rate: float = 0.0
    rate_of_caller: float = 0.0
    rate_of_trial: float = 0.0
    data_of_caller: float = 0.0
    waiting: int = 0
    waiting_of_caller: int = 0
    streams: int = 256
    streams_of_caller: int = 0


# From the bearer token of a call and the address that it comes from.
Ask = Callable[[str, str], Asker]


class Admission:
    """For one server. `ask` must be quick: it runs on the thread that takes in all calls."""

    def __init__(self, ask: Ask, limits: CallLimits, begin: Callable[[], None] | None = None) -> None:
        """`begin` is what each of its threads does first."""
        self.limits: Final = limits
        self._ask = ask
        self._later = Later()
        # Calls whose message is on its way, and since when.
        self._waits: dict[int, tuple[float, grpc.ServicerContext]] = {}
        self._later.at(time.monotonic() + 1, self._end_those_that_wait)
        self._turns = Turns(self._later, THREADS, limits.waiting, limits.waiting_of_caller, begin=begin)
        self._lock = threading.Lock()
        self._rates = Rates()
        self._data = Rates()
        self._streams: Counter[str] = Counter()
        # When the last refusal of each caller is answered.
        self._refused: dict[str, float] = {}

    def unary(self) -> "Lane":
        """For one call."""
        return _UnaryLane(self)

    def stream(self, pool: ThreadPoolExecutor) -> "Lane":
        return _StreamLane(self, pool)

    def message(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        """The call is ended when this takes too long: it has a thread meanwhile, and who sends nothing would keep it."""
        key = id(context)
        self._waits[key] = time.monotonic(), context
        try:
            # An error here is gRPC's own: the caller has gone.
            return next(requests, b"")
        finally:
            del self._waits[key]

    def _end_those_that_wait(self) -> None:
        now = time.monotonic()
        for began, context in list(self._waits.values()):
            if now - began > _MESSAGE_S:
                context.cancel()
        self._later.at(now + 1, self._end_those_that_wait)

    def close(self) -> None:
        self._turns.close()
        self._later.close()

    def offer(self, lane: "Lane", fn: Callable[..., Any], args: tuple[Any, ...]) -> "Future[Any]":
        asker = lane.asker = self._asker(args)
        taken = self._over_rate(asker) or self._turns.offer(asker, fn, args)
        return taken if isinstance(taken, Future) else self._refuse(lane, asker, taken, fn, args)

    def open(
        self, lane: "Lane", pool: ThreadPoolExecutor, fn: Callable[..., Any], args: tuple[Any, ...]
    ) -> "Future[Any]":
        asker = lane.asker = self._asker(args)
        refusal = self._over_rate(asker) or self._no_stream_left(asker)
        if refusal is not None:
            return self._refuse(lane, asker, refusal, fn, args)
        future = pool.submit(self._streaming, asker, fn, args)
        future.add_done_callback(lambda _: self._close_stream(asker))
        return future

    def _streaming(self, asker: Asker, fn: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        with working_for(lambda: self._turns.floods(asker)):
            return fn(*args)

    def weigh(self, lane: "Lane", size: int) -> None:
        """Told of each message when it has been read. It is answered in any case; later ones may not be."""
        if size >= _WEIGHED and self.limits.data_of_caller and lane.asker is not None:
            with self._lock:
                self._data.spend(lane.asker.meter, size / _MIB / self.limits.data_of_caller, time.monotonic())

    def _asker(self, args: tuple[Any, ...]) -> Asker:
        for arg in args:
            if hasattr(arg, "invocation_metadata"):
                return self._ask(token_in(arg.invocation_metadata), arg.call.peer().decode())
        raise TypeError("gRPC hands over no call")

    def _over_rate(self, asker: Asker) -> ResourceExhaustedError | None:
        limits = self.limits
        now = time.monotonic()
        with self._lock:
            rate, option = limits.rate_of_caller, "--max-rate-per-caller"
            if asker.trial:
                rate, option = limits.rate_of_trial, "--max-rate-per-trial"
            if rate and (wait := self._rates.wait(asker.meter, rate, now)):
                return ResourceExhaustedError(
                    f"{asker.name} makes more than {rate:g} calls a second ({option}): wait {wait:.2f} s, and call less often "
                    "or send more with each call",
                    retry_after=wait,
                )
            if limits.data_of_caller and (wait := self._data.over(asker.meter, now)):
                return ResourceExhaustedError(
                    f"{asker.name} has sent more than {limits.data_of_caller:g} MiB a second (--max-data-per-caller): wait "
                    f"{wait:.2f} s, then send smaller messages, or fewer",
                    retry_after=wait,
                )
            if limits.rate and (wait := self._rates.wait(_EVERYBODY, limits.rate, now)):
                return ResourceExhaustedError(
                    f"this manager is called more than {limits.rate:g} times a second (--max-rate): wait {wait:.2f} s, or call "
                    "another manager",
                    retry_after=wait,
                )
        return None

    def _no_stream_left(self, asker: Asker) -> ResourceExhaustedError | None:
        limits = self.limits
        with self._lock:
            mine, all_ = self._streams[asker.key], self._streams.total()
            if limits.streams_of_caller and mine >= limits.streams_of_caller:
                return ResourceExhaustedError(
                    f"{asker.name} has {mine} streams open, the most of one caller (--max-streams-per-caller): close one, or "
                    "ask again without a stream"
                )
            if limits.streams and all_ >= limits.streams:
                return ResourceExhaustedError(
                    f"{all_} streams are open, the most that this manager takes (--max-streams): close one, ask again without "
                    "a stream, or ask another manager"
                )
            self._streams[asker.key] += 1
        return None

    def _close_stream(self, asker: Asker) -> None:
        with self._lock:
            self._streams[asker.key] -= 1
            if not self._streams[asker.key]:
                del self._streams[asker.key]

    def _refuse(
        self,
        lane: "Lane",
        asker: Asker,
        refusal: ResourceExhaustedError,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
    ) -> "Future[Any]":
        lane.refusal = refusal
        future: Future[Any] = Future()

        def answer() -> None:
            fn(*args)
            future.set_result(None)

        if len(self._later) >= _MOST_REFUSALS:
            answer()
            return future
        now = time.monotonic()
        with self._lock:
            if len(self._refused) > _MOST_REFUSALS:
                self._refused = {key: at for key, at in self._refused.items() if at > now}
            last = self._refused.get(asker.key, 0.0)
            many = last > now + _MANY_S
            when = min(max(now + _SOONEST_S, last + (_MANY_APART_S if many else _APART_S)), now + _LATEST_S)
            self._refused[asker.key] = when
        if many:
            self._turns.flooded(asker)
        self._later.at(when, answer)
        return future


class Lane(ThreadPoolExecutor):
    """Stands for the pool by which gRPC has a call handled, which it takes from the handler only if it is of this class. One
    for each call: `refusal` says why its handler is run only to say no."""

    refusal: ResourceExhaustedError | None = None
    # Whose call it is, once that is known.
    asker: Asker | None = None

    def __init__(self, admission: Admission) -> None:  # super's would make a pool
        self._admission = admission


class _UnaryLane(Lane):
    def submit(self, fn: Callable[..., Any], /, *args: Any, **_: Any) -> "Future[Any]":
        return self._admission.offer(self, fn, args)


class _StreamLane(Lane):
    def __init__(self, admission: Admission, pool: ThreadPoolExecutor) -> None:
        super().__init__(admission)
        self._pool = pool

    def submit(self, fn: Callable[..., Any], /, *args: Any, **_: Any) -> "Future[Any]":
        return self._admission.open(self, self._pool, fn, args)


def address_of(peer: str) -> str:
    """Without the port, which is another one for each connection."""
    return peer.rpartition(":")[0] if peer.startswith(("ipv4:", "ipv6:")) else "unix"
