"""Use cases of callers and their tokens."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from katib.domain.caller import EVERYBODY, ROLES, Caller, CallerKind, current_caller
from katib.domain.errors import (
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
)
from katib.domain.names import is_id, new_id
from katib.domain.tokens import NAME_EXPECTED, Token, is_caller_name
from katib.domain.views import Page
from katib.manager.service.checks import label_of, page_size_of
from katib.manager.service.context import UseCases
from katib.manager.tokens import digest_of, new_secret

MAX_TOKENS: Final = 100
MAX_GROUPS: Final = 50
_MAX_NAME: Final = 128
_ROUNDS: Final = 100
_LONGEST: Final = timedelta(days=3650)
_KINDS: Final = {"user": CallerKind.USER, "service": CallerKind.SERVICE}


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What is asked of a new token. `owner` empty: the caller; `roles` and `kind` by their words; `lifetime` None: as long as
    the caller's own token is good, and for ever where that is."""

    name: str = ""
    owner: str = ""
    kind: str = ""
    roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    lifetime: timedelta | None = None


class TokenUseCases(UseCases):
    def who_am_i(self) -> tuple[Caller, bool]:
        """The caller, and whether this manager asks who it is."""
        caller = current_caller()
        return caller, caller is not EVERYBODY

    def create_token(self, request: TokenRequest) -> tuple[Token, str]:
        """The token and its secret text, which is kept nowhere."""
        caller = current_caller()
        token = self._checked(request, caller)
        if len(self._context.tokens.list_tokens(token.owner, "", MAX_TOKENS)) >= MAX_TOKENS:
            raise ResourceExhaustedError(f"{token.owner} has {MAX_TOKENS} tokens already: revoke some of them")
        secret = new_secret(token.id)
        self._context.tokens.add(token, digest_of(secret))
        return token, secret

    def list_tokens(self, owner: str = "", page_size: int = 0, page_token: str = "") -> Page[Token]:
        """By id; without an owner all that the caller may see."""
        caller = current_caller()
        size = page_size_of(page_size)
        if page_token and not is_id(page_token):
            raise InvalidArgumentError.of(
                "page_token", page_token, "expected the next_page_token of such a list, or none"
            )
        if not caller.unrestricted:
            if owner not in ("", caller.name):
                raise PermissionDeniedError("only an administrator sees the tokens of others: leave the owner out")
            owner = caller.name
        found = self._context.tokens.list_tokens(owner, page_token, size + 1)
        return Page(found[:size], found[size - 1].id if len(found) > size else "")

    def revoke_token(self, token_id: str = "", owner: str = "") -> int:
        """One, or all of an owner's; returns how many there were of these. Gone already: no change. Another's, for who is no
        administrator, is as if it were gone."""
        caller = current_caller()
        if owner:
            if token_id:
                raise InvalidArgumentError.of("owner", owner, "expected none beside a token_id")
            return self._revoke_all(owner, caller)
        if not is_id(token_id):
            raise InvalidArgumentError.of("token_id", token_id, "expected the id of a token (katib-cli list-tokens)")
        if not caller.unrestricted:
            found = self._context.tokens.find(token_id)
            if found is None or found[0].owner != caller.name:
                raise NotFoundError(f"{caller.name} has no token {token_id}")
        self._context.tokens.remove(token_id)
        return 1

    def _revoke_all(self, owner: str, caller: Caller) -> int:
        if not caller.unrestricted and owner != caller.name:
            raise PermissionDeniedError("only an administrator revokes the tokens of others")
        revoked = 0
        # Who has one may make others meanwhile, at a manager that has not heard of it yet.
        for _ in range(_ROUNDS):
            found = self._context.tokens.list_tokens(owner, "", MAX_TOKENS)
            if not found:
                break
            for token in found:
                self._context.tokens.remove(token.id)
            revoked += len(found)
        return revoked

    def _checked(self, request: TokenRequest, caller: Caller) -> Token:
        owner = request.owner or caller.name
        if not owner:
            # Where nobody is asked who calls, nobody has a name.
            raise InvalidArgumentError.of(
                "owner", owner, "expected whose it is to be (--owner): your call says no name"
            )
        if not is_caller_name(owner):
            raise InvalidArgumentError.of("owner", owner, f"expected {NAME_EXPECTED}")
        label_of("name", request.name, _MAX_NAME)
        kind = _KINDS.get(request.kind or _own_kind(caller))
        if kind is None:
            raise InvalidArgumentError.of("kind", request.kind, "expected user or service")
        for i, word in enumerate(request.roles):
            if word not in ROLES:
                raise InvalidArgumentError.of(f"roles[{i}]", word, f"expected one of {', '.join(ROLES)}")
        if len(request.groups) > MAX_GROUPS:
            raise InvalidArgumentError.of("groups", f"{len(request.groups)} groups", f"expected at most {MAX_GROUPS}")
        for i, group in enumerate(request.groups):
            if not is_caller_name(group):
                raise InvalidArgumentError.of(f"groups[{i}]", group, f"expected {NAME_EXPECTED}")
        if request.lifetime is not None and not timedelta(0) < request.lifetime <= _LONGEST:
            raise InvalidArgumentError.of("lifetime", str(request.lifetime), "expected more than 0, at most 3650 days")
        now = self._context.now()
        token = Token(
            id=new_id(),
            name=request.name,
            owner=owner,
            kind=kind,
            roles=frozenset(ROLES[word] for word in request.roles),
            groups=frozenset(request.groups),
            created_at=now,
            expires_at=_end(request.lifetime, now, caller),
        )
        if not caller.unrestricted:
            _check_no_more(token, caller)
        return token


def _check_no_more(token: Token, caller: Caller) -> None:
    if token.owner != caller.name:
        raise PermissionDeniedError("only an administrator makes tokens for others: leave the owner out")
    if token.kind is not caller.kind:
        raise PermissionDeniedError(
            f"the caller is a {caller.kind.value}: only an administrator makes a token of another kind"
        )
    more = sorted({role.value for role in token.roles - caller.roles} | (token.groups - caller.groups))
    if more:
        raise PermissionDeniedError(
            f"{caller.name} does not have {', '.join(more)} itself: ask for no more roles and groups than the caller has, or "
            "have an administrator make the token"
        )
    if caller.until is not None and (token.expires_at is None or token.expires_at > caller.until):
        raise PermissionDeniedError(
            f"the token of the caller expires on {caller.until:%Y-%m-%d at %H:%M} UTC, and so must what is made with it: ask "
            "for a shorter time, or have an administrator make the token"
        )


def _end(lifetime: timedelta | None, now: datetime, caller: Caller) -> datetime | None:
    if lifetime is not None:
        return now + lifetime
    return None if caller.unrestricted else caller.until


def _own_kind(caller: Caller) -> str:
    """Of the first administrator's tokens, who is a service only until there are others, users are meant."""
    return "service" if caller.kind is CallerKind.SERVICE and not caller.unrestricted else "user"
