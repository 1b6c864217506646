"""Channels to other processes, with the options that every one of ours has."""

from typing import TYPE_CHECKING, Final

import grpc

if TYPE_CHECKING:
    from katib.api.tls import ClientTls

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

# For streams, which have no deadline: a peer that went away without a word ends them after half a minute. Only towards our own
# servers: others, as of 0.1, take pings this often for an attack.
KEEPALIVE: Final[tuple[tuple[str, int | str], ...]] = (
    ("grpc.keepalive_time_ms", 20_000),
    # What gRPC 1.85 goes by; by keepalive_timeout_ms alone a minute passes.
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
)

# Towards servers of any age: not more often than every five minutes, which gRPC's own servers take without having been asked
# whether they do. What was sent and is not acknowledged within the time-out ends a TCP connection too.
TOLERATED_KEEPALIVE: Final[tuple[tuple[str, int | str], ...]] = (
    ("grpc.keepalive_time_ms", 330_000),
    ("grpc.http2.ping_timeout_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)

# For whoever can go on elsewhere. Servers of ours let themselves be asked every 5 seconds.
PROMPT_KEEPALIVE: Final[tuple[tuple[str, int | str], ...]] = (
    ("grpc.keepalive_time_ms", 6_000),
    ("grpc.http2.ping_timeout_ms", 4_000),
    ("grpc.keepalive_timeout_ms", 4_000),
    ("grpc.http2.max_pings_without_data", 0),
)


def open_channel(address: str, *further: tuple[str, int | str], tls: "ClientTls | None" = None) -> grpc.Channel:
    """A channel to `HOST:PORT` or `unix:PATH`, in plaintext without `tls` and to Unix sockets. Connects at the first call.
    `further` options replace usual ones."""
    options = tuple({**dict(OPTIONS), **dict(further)}.items())
    if tls is None or address.startswith("unix:"):
        return grpc.insecure_channel(address, options=options)
    return tls.channel(address, options)
