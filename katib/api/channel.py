"""Channels to other processes, with the options that every one of ours has."""

from typing import Final

import grpc

MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024

OPTIONS: Final[tuple[tuple[str, int | str], ...]] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # Left alone, a channel waits up to two minutes before it tries again a peer that was away for some.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.dns_min_time_between_resolutions_ms", 500),
    # A new channel connects at once instead of sharing another one's wait.
    ("grpc.use_local_subchannel_pool", 1),
    # Peers are in the same cluster or on the same machine: never behind the proxy of the environment.
    ("grpc.enable_http_proxy", 0),
)


def open_channel(address: str) -> grpc.Channel:
    """A plaintext channel to `HOST:PORT` or `unix:PATH`. Connects at the first call."""
    return grpc.insecure_channel(address, options=OPTIONS)
