"""From an algorithm's name to a channel, at the moment of the call."""

import threading
from dataclasses import dataclass
from typing import Final

import grpc

from katib.api.channel import open_channel
from katib.domain.errors import InvalidArgumentError
from katib.domain.names import check_service_name

PLACEHOLDER: Final = "{algorithm}"
# A path of a Unix socket has at most this many bytes.
_MAX_SOCKET_PATH: Final = 107
_LONGEST_NAME: Final = "x" * 40


@dataclass(frozen=True, slots=True)
class AddressTemplate:
    """`suggestion-{algorithm}:6789` or `unix:/run/katib/s-{algorithm}.sock`."""

    text: str

    @classmethod
    def parse(cls, setting: str, text: str) -> "AddressTemplate":
        """Raises InvalidArgumentError when it cannot lead to a service for each name."""
        if text.count(PLACEHOLDER) != 1:
            raise InvalidArgumentError.of(setting, text, f"expected an address with {PLACEHOLDER} once in it")
        if text.startswith("unix:"):
            path = text.removeprefix("unix:").replace(PLACEHOLDER, _LONGEST_NAME)
            if len(path.encode()) > _MAX_SOCKET_PATH:
                raise InvalidArgumentError.of(
                    setting,
                    text,
                    f"expected a path of at most {_MAX_SOCKET_PATH - len(_LONGEST_NAME)} bytes beside the name: "
                    "sockets have no longer ones",
                )
        elif ":" not in text:
            raise InvalidArgumentError.of(setting, text, "expected HOST:PORT or unix:PATH")
        return cls(text)

    def address(self, field: str, name: str) -> str:
        """The address of the service of that name; raises InvalidArgumentError when it may not be part of one."""
        return self.text.replace(PLACEHOLDER, check_service_name(field, name))


class Channels:
    """One channel per address, kept as long as it works.

    A channel that could not connect is dropped: gRPC looks a name up again only after a wait that grows to two minutes, a new
    channel at once. So a service that appears after a long absence is found by the next call.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._channels: dict[str, grpc.Channel] = {}

    def get(self, address: str) -> grpc.Channel:
        with self._lock:
            channel = self._channels.get(address)
            if channel is None:
                channel = self._channels[address] = open_channel(address)
            return channel

    def drop(self, address: str, channel: grpc.Channel) -> None:
        """Calls that still use it keep it alive until they end."""
        with self._lock:
            if self._channels.get(address) is channel:
                del self._channels[address]

    def close(self) -> None:
        with self._lock:
            channels, self._channels = self._channels, {}
        for channel in channels.values():
            channel.close()
