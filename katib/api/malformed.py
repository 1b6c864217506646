"""Requests that are no messages: the caller's fault, and told so.

gRPC would answer INTERNAL, and write a traceback into the log for each.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from katib.domain.errors import InvalidArgumentError

Deserializer = Callable[[bytes], Any]


class _Malformed:
    def __init__(self, size: int) -> None:
        self.size: Final = size

    def refuse(self) -> None:
        raise InvalidArgumentError(
            f"the request's {self.size} bytes are no message of this method: they break off, or hold text that is not UTF-8; "
            "expected what proto/api.proto describes"
        )


def readable(deserialize: Deserializer | None) -> Deserializer | None:
    """A deserializer that raises nothing; what it gives is for `whole`."""
    if deserialize is None:
        return None

    def read(data: bytes) -> Any:
        try:
            return deserialize(data)
        except Exception:  # noqa: BLE001 - each implementation of protobuf has its own
            return _Malformed(len(data))

    return read


def whole(request: Any) -> Any:
    """The request, or a stream of requests. Raises InvalidArgumentError where what came was none."""
    if isinstance(request, _Malformed):
        request.refuse()
    return _each(request) if isinstance(request, Iterator) else request


def _each(requests: Iterator[Any]) -> Iterator[Any]:
    for request in requests:
        yield whole(request)
