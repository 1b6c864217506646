"""Who calls, and what it may do beyond the studies that are its own.

Where calls enter, a guard finds their caller and enters it here; the use cases read it. Without authentication every call has
the same caller, who may do everything.
"""

from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Final


class CallerKind(Enum):
    USER = "user"
    SERVICE = "service"
    # The program of a trial's attempt, by its token.
    TRIAL = "trial"
    # Nobody has said who it is.
    ANONYMOUS = "anonymous"


class Role(Enum):
    """What a caller may do with any study. Its own, and those it was permitted, it may use as far as that goes."""

    USER = "user"  # create studies
    VIEWER = "viewer"  # read every study
    OPERATOR = "operator"  # read every study, change its limits, pause and stop it
    ADMIN = "admin"  # everything, tokens too


ROLES: Final = {role.value: role for role in Role}
# Who has none of them only reads, be it the owner.
ACTIVE: Final = frozenset({Role.USER, Role.OPERATOR, Role.ADMIN})


@dataclass(frozen=True, slots=True)
class Caller:
    """`name` tells it apart from every other of any kind; for a trial, its run's. Empty for ANONYMOUS. `until`: when what it
    has shown expires, where that is known and ever."""

    kind: CallerKind
    name: str = ""
    roles: frozenset[Role] = frozenset()
    groups: frozenset[str] = frozenset()
    until: datetime | None = field(default=None, compare=False)

    @property
    def unrestricted(self) -> bool:
        return Role.ADMIN in self.roles


# Where nobody is asked who it is.
EVERYBODY: Final = Caller(CallerKind.ANONYMOUS, roles=frozenset({Role.ADMIN}))

_caller: Final[ContextVar[Caller]] = ContextVar("katib-caller", default=EVERYBODY)


def current_caller() -> Caller:
    """Of the call that is being answered here; EVERYBODY outside of one."""
    return _caller.get()


def enter_caller(caller: Caller) -> None:
    """From now on in this context, which is the call's own: gRPC makes one for each."""
    _caller.set(caller)
