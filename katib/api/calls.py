"""The connection of a client, and a call over it."""

import copy
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from katib.api.channel import KEEPALIVE, PROMPT_KEEPALIVE
from katib.api.credentials import bearer
from katib.api.failover import Failover, parse_addresses
from katib.domain.errors import DeadlineExceededError

if TYPE_CHECKING:
    from katib.api.tls import ClientTls

DEFAULT_ADDRESS: Final = "localhost:6789"
DEFAULT_TIMEOUT_S: Final = 30.0


class Calls:
    """See ManagerClient."""

    def __init__(
        self,
        address: str | Sequence[str] = DEFAULT_ADDRESS,
        timeout: float = DEFAULT_TIMEOUT_S,
        tls: "ClientTls | None" = None,
        token: str = "",
    ) -> None:
        """`tls`: without it the connection is in plaintext. `token`: by which a manager that asks is shown who calls. Raises
        InvalidArgumentError for a list of addresses that is none."""
        addresses = parse_addresses(address)
        self.address = ",".join(addresses)
        self._timeout = timeout
        self._deadline: float | None = None
        self._failover = Failover(addresses, KEEPALIVE if len(addresses) == 1 else PROMPT_KEEPALIVE, tls)
        self._metadata = bearer(token)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._failover.close()

    def within(self, seconds: float) -> Self:
        """The same connection, for calls that have so long together: what comes later raises DeadlineExceededError."""
        bounded = copy.copy(self)
        bounded._deadline = time.monotonic() + seconds
        return bounded

    def with_token(self, token: str) -> Self:
        """The same connection for another caller."""
        other = copy.copy(self)
        other._metadata = bearer(token)
        return other

    def _call(self, method: str, request: Any, *, again: bool = True) -> Any:
        """`again`: sent twice it does what it does once, as all but one do: they read, say what should be, or bear a key."""
        return self._failover.call(method, request, self._left(), self._metadata, again=again)

    def _left(self) -> float:
        if self._deadline is None:
            return self._timeout
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise DeadlineExceededError(f"the manager at {self.address} did not say all that was asked for in time")
        return min(left, self._timeout)
