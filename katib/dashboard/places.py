"""Places for requests that take much memory while they come in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from anyio import CapacityLimiter


class Places:
    """A few at once, and one less from any one address: whoever sends them slowly leaves one to the others. Behind a proxy all
    have its address. For one thread, that of the event loop."""

    def __init__(self, most: int) -> None:
        self._most: Final = max(most - 1, 1)
        self._all: Final = CapacityLimiter(most)
        # With how many have one of its places or wait for it.
        self._of: Final[dict[str, tuple[CapacityLimiter, int]]] = {}

    @asynccontextmanager
    async def one(self, address: str) -> AsyncIterator[None]:
        own, there = self._of.get(address) or (CapacityLimiter(self._most), 0)
        self._of[address] = own, there + 1
        try:
            async with own, self._all:
                yield
        finally:
            own, there = self._of.pop(address)
            if there > 1:
                self._of[address] = own, there - 1
