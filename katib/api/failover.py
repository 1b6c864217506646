"""Calls to one of several managers, which go on at another one when the first does not answer.

Any manager serves any call, so which one is asked matters to nobody. A call that has surely not left this process is made at
the next address at once. What may have arrived is made again only where that changes nothing: the caller says so (`again`). A
manager that is frozen or cut off says nothing at all; pings find that out, and a call need not wait for its whole time-out.

With one address there is nowhere to go on: what cannot be reached is an error at once. Only a call whose answer was lost is
made again there for a while, for behind one address there may be several managers, or one that restarts.
"""

import random
import threading
import time
from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, cast

import grpc

from katib.api.api_pb2_grpc import ManagerStub
from katib.api.channel import open_channel
from katib.api.errors import (
    SAID_BY_HTTP,
    TIMED_OUT_HERE,
    from_rpc_error,
    retry_after_of,
    said_by_grpc,
    tls_failure,
    was_not_sent,
    why_unreached,
)
from katib.domain.backoff import backoff, by_chance
from katib.domain.errors import InvalidArgumentError, KatibError, NotFoundError, UnavailableError

if TYPE_CHECKING:
    from katib.api.tls import ClientTls

MAX_ADDRESSES: Final = 16

# How long a call goes on from address to address: after an answer was lost, until a manager that restarts is back; where nobody
# was reached, or each says that it cannot work now, for a second look at all of them.
_AFTER_LOSS_S: Final = 10.0
_AFTER_REFUSAL_S: Final = 2.0
# Between two rounds over all addresses: doubling, with jitter.
_PAUSE_FIRST_S: Final = 0.1
_PAUSE_MOST_S: Final = 1.0
# Pings need so long to find that the other end says nothing (channel.PROMPT_KEEPALIVE). A call with less time than twice this
# gives each address half of what is left instead.
_PINGS_S: Final = 10.0
_LEAST_SHARE_S: Final = 1.0


Metadata = Sequence[tuple[str, str]]
# What a gateway answers that has passed the call on, or may have, and who asks without being known to it.
_BY_GATEWAY: Final = ("502", "503", "504")
_NOT_ALLOWED: Final = ("401", "403")


class _Fate(Enum):
    """What became of a call that failed. UNSENT: it never left. REFUSED: the manager said that it cannot work now. LOST: it
    may have arrived, and its answer never will. SLOW: its share of the time is over. BUSY: the manager has too many calls, and
    said when to try again. ANSWERED: by an error that counts."""

    UNSENT = "unsent"
    REFUSED = "refused"
    LOST = "lost"
    SLOW = "slow"
    BUSY = "busy"
    ANSWERED = "answered"


def parse_addresses(addresses: str | Sequence[str]) -> tuple[str, ...]:
    """From `A,B` or a sequence. Raises InvalidArgumentError for a list that is none."""
    parts = addresses.split(",") if isinstance(addresses, str) else list(addresses)
    found = tuple(part.strip() for part in parts)
    shown = ",".join(found)
    if not found or not all(found):
        raise InvalidArgumentError.of(
            "address", shown, "expected addresses with a comma between two, none of them empty"
        )
    if len(set(found)) < len(found):
        raise InvalidArgumentError.of("address", shown, "expected each address once")
    if len(found) > MAX_ADDRESSES:
        raise InvalidArgumentError.of("address", shown, f"expected at most {MAX_ADDRESSES} addresses")
    return found


class Failover:
    """Channels to every address, opened when they are needed. Safe from any thread.

    It begins with any of them, so that many clients are shared by all managers, and stays where it is answered.
    """

    def __init__(
        self, addresses: Sequence[str], options: Sequence[tuple[str, int | str]], tls: "ClientTls | None" = None
    ) -> None:
        self.addresses: Final = tuple(addresses)
        self._options: Final = tuple(options)
        self._tls: Final = tls
        self._tls_version = 0 if tls is None else tls.version
        self._lock: Final = threading.Lock()
        self._channels: Final[dict[int, grpc.Channel]] = {}
        self._stubs: Final[dict[int, ManagerStub]] = {}
        # Opened with certificates that have been renewed since; streams may still come over them.
        self._former: Final[list[grpc.Channel]] = []
        self._current = random.randrange(len(self.addresses))  # noqa: S311 - spreads load

    def close(self) -> None:
        with self._lock:
            for channel in (*self._channels.values(), *self._former):
                channel.close()

    def call(
        self,
        method: str,
        request: Any,
        timeout: float,
        metadata: Metadata = (),
        *,
        again: bool,
        removes: bool = False,
    ) -> Any:
        """The reply. `again`: made twice it does what it does once. `removes`: NOT_FOUND after an answer that was lost says
        that it took effect, and is no error: None. Raises a KatibError."""
        deadline = time.monotonic() + timeout
        first_failure = None
        patience = 0.0
        failures = 0
        busy = 0
        lost = False
        while True:
            index, stub = self._pick()
            left = max(deadline - time.monotonic(), 0.0)
            try:
                share = self._share(left) if again else left
                return getattr(stub, method)(request, timeout=share, metadata=metadata or None)
            except grpc.RpcError as error:
                fate = self._fate(error, deadline)
                failure = self._translate(error, fate, index, again=again)
                # The message has what counts of gRPC's thirty lines, so no traceback shows them (`from None`). Debuggers find
                # them here.
                failure.__context__ = error
                if removes and lost and isinstance(failure, NotFoundError):
                    return None
                if fate is _Fate.BUSY:
                    # It was not begun, so it may be made again in any case.
                    busy += 1
                    self._wait_until_asked(failure, busy, deadline)
                    self.leave(index)
                    continue
                if fate is _Fate.ANSWERED or (fate is not _Fate.UNSENT and not again):
                    raise failure from None
                self.leave(index)
            first_failure = first_failure or time.monotonic()
            lost = lost or fate in (_Fate.LOST, _Fate.SLOW)
            patience = max(patience, self._patience(fate))
            failures += 1
            rounds, rest = divmod(failures, len(self.addresses))
            if rest:
                continue
            pause = backoff(rounds, _PAUSE_FIRST_S, _PAUSE_MOST_S)
            if time.monotonic() + pause >= min(deadline, first_failure + patience):
                raise failure from None
            time.sleep(pause)

    def _wait_until_asked(self, failure: KatibError, times: int, deadline: float) -> None:
        """As long as the manager said at least, and longer each time. Raises what it said where that is past the deadline."""
        asked = getattr(failure, "retry_after", None) or 0.0
        pause = by_chance(max(asked, _PAUSE_FIRST_S * 2 ** min(times, 6)), 1.0, 1.5)
        if time.monotonic() + pause >= deadline:
            raise failure from None
        time.sleep(pause)

    def open_stream(
        self, method: str, request: Any, timeout: float | None = None, metadata: Metadata = ()
    ) -> tuple[int, Any]:
        """Begins a stream at one of the addresses; its number is for `leave` and `translate`. `timeout`: for all of it."""
        index, stub = self._pick()
        return index, getattr(stub, method)(request, timeout=timeout, metadata=metadata or None)

    def leave(self, index: int) -> None:
        """The manager there is of no use now: whoever is still with it goes on to the next."""
        with self._lock:
            if self._current == index:
                self._current = (index + 1) % len(self.addresses)

    def translate(self, rpc_error: grpc.RpcError, index: int) -> KatibError:
        """A stream's error as ours; one that breaks off is taken up elsewhere the next time."""
        fate = self._fate(rpc_error, time.monotonic())
        if fate is not _Fate.ANSWERED:
            self.leave(index)
        if fate is _Fate.LOST:
            return UnavailableError(f"the connection to the manager at {self.addresses[index]} was lost")
        if fate is _Fate.UNSENT and len(self.addresses) > 1:
            return UnavailableError(f"the manager at {self.addresses[index]} cannot be reached")
        return self._translate(rpc_error, fate, index, again=True)

    def _pick(self) -> tuple[int, ManagerStub]:
        with self._lock:
            if self._tls is not None and self._tls.version != self._tls_version:
                self._tls_version = self._tls.version
                self._former.extend(self._channels.values())
                self._channels.clear()
                self._stubs.clear()
            index = self._current
            stub = self._stubs.get(index)
            if stub is None:
                channel = open_channel(self.addresses[index], *self._options, tls=self._tls)
                self._channels[index] = channel
                stub = self._stubs[index] = ManagerStub(channel)  # type: ignore[no-untyped-call]
            return index, stub

    def _share(self, left: float) -> float:
        if len(self.addresses) == 1 or left > 2 * _PINGS_S:
            return left
        return min(left, max(left / 2, _LEAST_SHARE_S))

    def _patience(self, fate: _Fate) -> float:
        if fate in (_Fate.LOST, _Fate.SLOW):
            return _AFTER_LOSS_S
        return _AFTER_REFUSAL_S if len(self.addresses) > 1 else 0.0

    def _fate(self, rpc_error: grpc.RpcError, deadline: float) -> _Fate:
        call = cast(grpc.Call, rpc_error)
        code, text = call.code(), call.details() or ""
        if code is grpc.StatusCode.UNAVAILABLE:
            if was_not_sent(text):
                return _Fate.UNSENT
            if text.startswith(SAID_BY_HTTP) and text.endswith(_BY_GATEWAY):
                return _Fate.LOST
            return _Fate.LOST if said_by_grpc(text) else _Fate.REFUSED
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED and retry_after_of(call) is not None:
            return _Fate.BUSY
        if code is grpc.StatusCode.CANCELLED:
            # A server that has drained long enough.
            return _Fate.LOST
        if text == TIMED_OUT_HERE and time.monotonic() < deadline - _LEAST_SHARE_S / 2:
            return _Fate.SLOW
        return _Fate.ANSWERED

    def _translate(self, rpc_error: grpc.RpcError, fate: _Fate, index: int, *, again: bool) -> KatibError:
        where = f"the manager at {self.addresses[index]}"
        text = cast(grpc.Call, rpc_error).details() or ""
        if text.startswith(SAID_BY_HTTP) and not text.endswith((*_BY_GATEWAY, *_NOT_ALLOWED)):
            return UnavailableError(why_unreached(text, self.addresses[index]))
        if fate is _Fate.UNSENT:
            tls = tls_failure(text, tls=self._tls is not None)
            if tls:
                return UnavailableError(f"{where} cannot be used: {tls}")
            if len(self.addresses) == 1:
                why = why_unreached(text, self.addresses[index])
                if why:
                    return UnavailableError(why)
                return UnavailableError(f"{where} cannot be reached: start it (katib-local does), or name another one")
            every = ", ".join(self.addresses)
            return UnavailableError(
                f"none of the managers at {every} can be reached: start one (katib-local does), or name others"
            )
        if fate is _Fate.LOST:
            advice = "try again" if again else "look whether it took effect before you try again"
            return UnavailableError(f"the connection to {where} was lost before it answered: {advice}")
        return from_rpc_error(rpc_error, where)
