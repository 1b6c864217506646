"""Whether whoever was asked is still there, while a call to a service takes long.

A process that is frozen, and a host that vanished without a word, keep a call waiting until its deadline, which must be long
where a model is computed. So a call that has been out for a while is looked after: a new connection to its address is made, and
gRPC itself greets it with its HTTP/2 settings, in services of any age and also while all their threads compute. A call whose
service greets so is left alone; one where nobody does, twice, has failed.
"""

import logging
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

import grpc

from katib.api.channel import open_channel
from katib.api.tls import ClientTls

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """In seconds. A call is looked after when it has been out for `first`; a new connection may take `greeting`. Whoever has
    greeted is asked `again` later, whoever has not is given one more chance after `doubt`."""

    first: float = 10.0
    greeting: float = 5.0
    again: float = 10.0
    doubt: float = 1.0


class Watched(Protocol):
    """A call that is out."""

    @property
    def address(self) -> str: ...

    @property
    def began(self) -> float:
        """By the monotonic clock."""

    def replaced(self) -> bool:
        """Whether another process has taken the place of the one that was asked, as far as that can be told."""

    def lose(self, why: str) -> None:
        """Ends the call as one that nobody will answer; `why` is a sentence."""


class Watcher:
    """Looks after all calls that are out, with one thread, however many they are."""

    def __init__(self, patience: Patience | None = None, tls: ClientTls | None = None) -> None:
        self._patience = patience or Patience()
        self._tls = tls
        self._condition = threading.Condition()
        # By address, the oldest first.
        self._calls: dict[str, dict[Watched, None]] = {}
        self._not_before: dict[str, float] = {}
        self._doubted: set[str] = set()
        self._thread: threading.Thread | None = None
        self._idle = False
        self._closed = False

    def add(self, call: Watched) -> None:
        with self._condition:
            if self._closed:
                return
            self._calls.setdefault(call.address, {})[call] = None
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)
                self._thread.start()
            elif self._idle:
                # Otherwise it wakes up in time by itself: a call is never due before those that are out already.
                self._condition.notify()

    def remove(self, call: Watched) -> None:
        with self._condition:
            calls = self._calls.get(call.address, {})
            calls.pop(call, None)
            if not calls:
                self._forget(call.address)

    def close(self) -> None:
        with self._condition:
            self._closed = True
            self._condition.notify()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        while True:
            with self._condition:
                if self._closed:
                    return
                now = time.monotonic()
                times = {address: self._due(address) for address in self._calls}
                due = [address for address, at in times.items() if at <= now]
                if not due:
                    self._idle = not times
                    self._condition.wait(min(times.values()) - now if times else None)
                    self._idle = False
                    continue
            try:
                self._look_after(due)
            except Exception:  # noqa: BLE001 - without this thread no frozen service would be noticed any more
                _log.exception("calls that take long could not be looked after")
                with self._condition:
                    self._not_before.update((address, now + self._patience.again) for address in due)

    def _due(self, address: str) -> float:
        oldest = next(iter(self._calls[address]))
        return max(oldest.began + self._patience.first, self._not_before.get(address, 0.0))

    def _look_after(self, addresses: Collection[str]) -> None:
        greeting = self._greeting(addresses)
        now = time.monotonic()
        lost: list[tuple[Watched, str]] = []
        with self._condition:
            for address in addresses:
                calls = self._calls.get(address)
                if calls is None:
                    continue
                if address in greeting:
                    lost += [(call, _replaced(call)) for call in calls if call.replaced()]
                    self._doubted.discard(address)
                    self._not_before[address] = now + self._patience.again
                elif address not in self._doubted:
                    self._doubted.add(address)
                    self._not_before[address] = now + self._patience.doubt
                else:
                    lost += [(call, _gone(call, now)) for call in calls]
                    self._forget(address)
        for call, why in lost:
            call.lose(why)

    def _greeting(self, addresses: Collection[str]) -> set[str]:
        """Those of the addresses at which somebody greets a new connection in time."""
        options = ("grpc.min_reconnect_backoff_ms", int(self._patience.greeting * 1000))
        greeted: set[str] = set()

        def changed(address: str, state: grpc.ChannelConnectivity) -> None:
            if state is grpc.ChannelConnectivity.READY:
                with self._condition:
                    greeted.add(address)
                    self._condition.notify()

        asked = [(open_channel(address, options, tls=self._tls), partial(changed, address)) for address in addresses]
        try:
            for channel, callback in asked:
                channel.subscribe(callback, try_to_connect=True)
            with self._condition:
                self._condition.wait_for(
                    lambda: self._closed or len(greeted) == len(addresses), self._patience.greeting
                )
                return set(greeted)
        finally:
            for channel, callback in asked:
                channel.unsubscribe(callback)
                channel.close()

    def _forget(self, address: str) -> None:
        self._calls.pop(address, None)
        self._not_before.pop(address, None)
        self._doubted.discard(address)


def _gone(call: Watched, now: float) -> str:
    return (
        f"{call.address} has not answered for {now - call.began:.0f} s and takes no new connection: "
        "what serves there is frozen, or its machine is gone"
    )


def _replaced(call: Watched) -> str:
    return f"{call.address} was taken by another process before the one that had been asked has answered"
