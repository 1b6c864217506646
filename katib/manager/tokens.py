"""The tokens of users and services: what is kept of them, and what is made of a new one.

A token is `katib_` ID `_` SECRET. Its id finds its row; the secret, 256 random bits, is kept nowhere, only SHA-256 of the whole
text, which is compared in constant time. (A slow hash is for secrets that people think up.)
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Final, Protocol

from katib.domain.names import ID_LENGTH, is_id
from katib.domain.tokens import PREFIX, Token

_SECRET_BYTES: Final = 32
_LONGEST: Final = 128


class TokenStore(Protocol):
    """In the manager's database. Raises UnavailableError when that cannot be reached."""

    def add(self, token: Token, digest: str) -> None: ...

    def find(self, token_id: str) -> tuple[Token, str] | None:
        """The token and its digest."""

    def list_tokens(self, owner: str, after: str, limit: int) -> Sequence[Token]:
        """By id, from behind `after` (empty: all); of one owner, or of all for an empty one."""

    def remove(self, token_id: str) -> None:
        """Gone already: no error."""

    def used(self, token_id: str, at: datetime) -> None: ...


def new_secret(token_id: str) -> str:
    secret = base64.urlsafe_b64encode(secrets.token_bytes(_SECRET_BYTES)).decode().rstrip("=")
    return f"{PREFIX}{token_id}_{secret}"


def id_in(text: str) -> str:
    """The id in a token's text; empty where it has not the form of one."""
    token_id = text[len(PREFIX) : len(PREFIX) + ID_LENGTH]
    fits = len(text) <= _LONGEST and text.startswith(PREFIX) and text[len(PREFIX) + ID_LENGTH :].startswith("_")
    return token_id if fits and is_id(token_id) else ""


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def same(digest: str, other: str) -> bool:
    return hmac.compare_digest(digest.encode(), other.encode())
