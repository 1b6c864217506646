"""What a caller shows of itself, in the metadata of its calls."""

from typing import Final

import grpc

_KEY: Final = "authorization"
_SCHEME: Final = "Bearer "


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    """The metadata for a call; none without a token."""
    return ((_KEY, _SCHEME + token),) if token else ()


def bearer_token(context: grpc.ServicerContext) -> str:
    """The token that came with a call, or empty."""
    for key, value in context.invocation_metadata():
        if key == _KEY and isinstance(value, str) and value.startswith(_SCHEME):
            return value.removeprefix(_SCHEME)
    return ""
