"""From what a call shows to who calls."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final, Protocol

from katib.api.secret_file import SecretFile
from katib.domain.caller import Caller, CallerKind
from katib.domain.errors import InvalidArgumentError, KatibError, UnauthenticatedError
from katib.domain.names import run_name
from katib.domain.permissions import EVERY_CALLER, GROUP, MAX_GRANTEE
from katib.domain.tokens import PREFIX
from katib.manager.access import RunAccess
from katib.manager.auth.bootstrap import BOOTSTRAP_CALLER
from katib.manager.auth.rules import RoleRules
from katib.manager.tokens import TokenStore, digest_of, id_in, same

_log: Final = logging.getLogger(__name__)

# When a token was last used is noted once in this time.
USED_EVERY: Final = timedelta(hours=1)

NOBODY: Final = (
    "this manager answers only those who show who they are: log in with katib-cli login, or name the file that holds your "
    "token in KATIB_TOKEN_FILE"
)
# The same for every token that is not good: which of these it is, is the business of its owner alone.
NOT_GOOD: Final = (
    "the token is not one of this manager's, or it has expired or was revoked: log in with another one (katib-cli login), or "
    "ask an administrator for one"
)


class Mode(Enum):
    """A way to show who one is."""

    TOKENS = "tokens"
    MTLS = "mtls"
    KUBERNETES = "kubernetes"


def parse_modes(text: str) -> frozenset[Mode]:
    """From `--auth`; empty for none. Raises InvalidArgumentError."""
    if text == "none":
        return frozenset()
    words = {mode.value: mode for mode in Mode}
    names = [name.strip() for name in text.split(",")]
    if not all(name in words for name in names):
        raise InvalidArgumentError.of(
            "--auth", text, "expected none, or one or more of tokens, mtls and kubernetes with commas"
        )
    return frozenset(words[name] for name in names)


class Reviewer(Protocol):
    """Asks a cluster whose service account's token this is."""

    def review(self, token: str) -> tuple[str, frozenset[str]] | None:
        """The account's name and its groups; None for a token that is not good. Raises UnavailableError when the cluster
        cannot be asked."""


def _now() -> datetime:
    return datetime.now(UTC)


class Authenticator:
    """Safe from any thread. `tokens` should remember what it has found: every call asks it."""

    def __init__(
        self,
        modes: frozenset[Mode],
        tokens: TokenStore,
        attempts: RunAccess,
        roles: RoleRules,
        bootstrap: SecretFile | None = None,
        reviewer: Reviewer | None = None,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._modes = modes
        self._tokens = tokens
        self._attempts = attempts
        self._roles = roles
        self._bootstrap = bootstrap
        self._reviewer = reviewer
        self._now = now

    def caller(self, token: str, subject: str) -> Caller:
        """`token`: the bearer token, `subject`: the name in the certificate, of the call; empty for none. A token counts before
        a certificate. Raises UnauthenticatedError."""
        if token:
            caller = self._of_token(token)
            if caller is None:
                raise UnauthenticatedError(NOT_GOOD)
            return caller
        if subject and Mode.MTLS in self._modes:
            return self._named(CallerKind.USER, subject, frozenset())
        raise UnauthenticatedError(NOBODY)

    def _of_token(self, token: str) -> Caller | None:
        if self._bootstrap is not None and self._bootstrap.is_it(token):
            return BOOTSTRAP_CALLER
        run = self._attempts.attempt_of(token)
        if run is not None:
            return Caller(CallerKind.TRIAL, run_name(*run))
        if token.startswith(PREFIX):
            return self._of_stored(token) if Mode.TOKENS in self._modes else None
        if self._reviewer is not None and Mode.KUBERNETES in self._modes:
            reviewed = self._reviewer.review(token)
            return None if reviewed is None else self._named(CallerKind.SERVICE, *reviewed)
        return None

    def _of_stored(self, text: str) -> Caller | None:
        token_id = id_in(text)
        found = self._tokens.find(token_id) if token_id else None
        if found is None:
            return None
        token, digest = found
        now = self._now()
        if not same(digest, digest_of(text)) or (token.expires_at is not None and token.expires_at <= now):
            return None
        if token.last_used_at is None or now - token.last_used_at >= USED_EVERY:
            try:
                self._tokens.used(token.id, now)
            except KatibError as error:
                # It is good all the same, and the next call tries again.
                _log.warning("when token %s was used is not noted: %s", token.id, error)
        return token.caller

    def _named(self, kind: CallerKind, name: str, groups: frozenset[str]) -> Caller:
        if len(name) > MAX_GRANTEE or name == EVERY_CALLER or name.startswith(GROUP) or not name.isprintable():
            raise UnauthenticatedError(f"{name[:40]!r} cannot be a caller's name here: use a certificate with another")
        return Caller(kind, name, self._roles.of(name, groups), groups)
