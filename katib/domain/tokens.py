"""A token by which a user or a service shows who it is, without the secret in it."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from katib.domain.caller import Caller, CallerKind, Role

MAX_NAME: Final = 128
NAME_EXPECTED: Final = f"letters, digits and . _ @ -, at most {MAX_NAME} in all, beginning with a letter or a digit"
_NAME: Final = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._@-]{{0,{MAX_NAME - 1}}}")
# How the text of every token of this kind begins; a trial's and a cluster's begin otherwise.
PREFIX: Final = "katib_"


def is_caller_name(text: str) -> bool:
    """Whether it may be a user's, a service's or a group's name."""
    return _NAME.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Token:
    """`owner`: the caller whose it is; `last_used_at` is coarse (see Authenticator)."""

    id: str
    name: str
    owner: str
    kind: CallerKind
    roles: frozenset[Role]
    created_at: datetime
    groups: frozenset[str] = field(default_factory=frozenset)
    expires_at: datetime | None = None
    last_used_at: datetime | None = None

    @property
    def caller(self) -> Caller:
        return Caller(self.kind, self.owner, self.roles, self.groups, self.expires_at)
