"""Who may do what with a study: its owner, and what its `access_permissions` say.

A permission is `reader:NAME`, `writer:NAME` or `operator:NAME`; NAME is a caller's name, `group:GROUP`, or `*` for everybody
who has shown who it is. Each kind includes those before it, and the owner may do everything. Texts of any other form, which
Katib 0.1 took and never looked at, are kept and shown and permit nothing.
"""

import re
from collections.abc import Iterable, Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final

from katib.domain.caller import ACTIVE, Caller, Role
from katib.domain.errors import FieldViolation, PermissionDeniedError, violation

MAX_GRANTEE: Final = 255
EVERY_CALLER: Final = "*"
GROUP: Final = "group:"


class Access(IntEnum):
    """Each includes those before it."""

    NONE = 0
    READ = 1  # see the study, its trials, metrics, output and models
    WRITE = 2  # take trials, complete them, report, save models
    OPERATE = 3  # change limits, pause, resume, stop, stop trials
    OWN = 4  # delete


_WORDS: Final = {"reader": Access.READ, "writer": Access.WRITE, "operator": Access.OPERATE}
_WORD_OF: Final = {access: word for word, access in _WORDS.items()} | {Access.OWN: "owner"}
_EXPECTED: Final = "expected reader:NAME, writer:NAME or operator:NAME; NAME may be group:GROUP or *"
# What looks like a permission, and is refused with its field if it is none: a slip of the pen should not pass for one.
_MEANT: Final = re.compile(r"[A-Za-z]+:.*", re.DOTALL)

Grants = Mapping[str, Access]


def parse_permission(text: str) -> tuple[str, Access] | None:
    """The grantee and what it may do; None for a text that permits nothing."""
    word, colon, grantee = text.partition(":")
    access = _WORDS.get(word)
    if not colon or access is None or not grantee or len(grantee) > MAX_GRANTEE or grantee == GROUP:
        return None
    return grantee, access


def check_permissions(field: str, permissions: Iterable[str]) -> list[FieldViolation]:
    """Those that look like a permission and are none."""
    return [
        violation(f"{field}[{i}]", text, _EXPECTED)
        for i, text in enumerate(permissions)
        if _MEANT.fullmatch(text) and parse_permission(text) is None
    ]


def grants_of(owner: str, permissions: Iterable[str]) -> Grants:
    """By grantee, the most that it may do."""
    grants: dict[str, Access] = {}
    for text in permissions:
        parsed = parse_permission(text)
        if parsed is not None:
            grantee, access = parsed
            grants[grantee] = max(access, grants.get(grantee, Access.NONE))
    if owner_of(owner):
        grants[owner] = Access.OWN
    return MappingProxyType(grants)


def owner_of(owner: str) -> str:
    """The name by which somebody owns a study that says this; empty where nobody does."""
    # A name that looks like a group's would make an owner of the group.
    return owner if len(owner) <= MAX_GRANTEE and owner != EVERY_CALLER and not owner.startswith(GROUP) else ""


def grantees(caller: Caller) -> frozenset[str]:
    """Under which names something may have been granted to it."""
    return frozenset((caller.name, EVERY_CALLER, *(GROUP + group for group in caller.groups)))


def access_everywhere(caller: Caller) -> Access:
    """What it may do with every study."""
    if caller.unrestricted:
        return Access.OWN
    if Role.OPERATOR in caller.roles:
        return Access.OPERATE
    return Access.READ if Role.VIEWER in caller.roles else Access.NONE


def access_of(caller: Caller, grants: Grants) -> Access:
    """What it may do with a study. Who has none of the roles that change things only reads, be it the owner."""
    granted = max((grants.get(name, Access.NONE) for name in grantees(caller)), default=Access.NONE)
    if not caller.roles & ACTIVE:
        granted = min(granted, Access.READ)
    return max(granted, access_everywhere(caller))


def sees_every_study(caller: Caller) -> bool:
    return access_everywhere(caller) >= Access.READ


def visible_to(caller: Caller) -> frozenset[str] | None:
    """For a list's filter: the grantees of which a study must name one; None for all studies."""
    return None if sees_every_study(caller) else grantees(caller)


def require(caller: Caller, has: Access, needs: Access, what: str) -> None:
    """Raises PermissionDeniedError. `what`: such as `study a012…`, which the caller may see."""
    if has < needs:
        raise PermissionDeniedError(
            f"{what}: {caller.name or 'this caller'} is {_WORD_OF[has]} there, and this takes {_article(needs)}; "
            "ask its owner, or use a token with more roles"
        )


def _article(access: Access) -> str:
    word = _WORD_OF[access]
    return f"an {word}" if word[0] in "ao" else f"a {word}"
