"""What a caller shows of itself, in the metadata of its calls."""

from collections.abc import Mapping, Sequence
from typing import Final, cast

import grpc

_KEY: Final = "authorization"
_SCHEME: Final = "Bearer "
# With WhoAmI: somebody logs in by it.
LOGIN_KEY: Final = "katib-login"


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    """The metadata for a call; none without a token."""
    return ((_KEY, _SCHEME + token),) if token else ()


def bearer_token(context: grpc.ServicerContext) -> str:
    """The token that came with a call, or empty."""
    return token_in(context.invocation_metadata())


def token_in(metadata: Sequence[tuple[str, str | bytes]]) -> str:
    for key, value in metadata:
        if key == _KEY and isinstance(value, str) and value.startswith(_SCHEME):
            return value.removeprefix(_SCHEME)
    return ""


def certificate_name(context: grpc.ServicerContext) -> str:
    """The common name of the certificate that the caller showed, or, where that has none, its first alternative name; empty
    without a certificate that was checked."""
    shown = cast(Mapping[str, Sequence[bytes]], context.auth_context())  # so it is, whatever the stubs say
    if shown.get("transport_security_type") != [b"ssl"]:
        return ""
    names = shown.get("x509_common_name") or shown.get("x509_subject_alternative_name") or ()
    return next((name.decode(errors="replace") for name in names), "")
