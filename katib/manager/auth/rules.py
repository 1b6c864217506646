"""What an operator says of callers in the manager's settings."""

from collections.abc import Mapping, Sequence

from katib.domain.caller import ROLES, Role
from katib.domain.errors import InvalidArgumentError
from katib.domain.permissions import EVERY_CALLER, GROUP


class RoleRules:
    """The roles of callers who bring none with them: those of a certificate or of a service account. A caller has those of its
    name, of its groups (`group:NAME`) and of everybody (`*`); without any rule, everybody is a `user`."""

    def __init__(self, rules: Mapping[str, frozenset[Role]]) -> None:
        self._rules = rules

    @classmethod
    def parse(cls, texts: Sequence[str]) -> "RoleRules":
        """From `NAME=ROLE,ROLE` each. Raises InvalidArgumentError."""
        rules: dict[str, frozenset[Role]] = {}
        for text in texts:
            name, equals, words = text.rpartition("=")
            roles = [word.strip() for word in words.split(",")]
            if not equals or not name or not all(role in ROLES for role in roles):
                raise InvalidArgumentError.of(
                    "--auth-role", text, f"expected NAME=ROLE,...; NAME may be group:NAME or *, ROLE one of {_list()}"
                )
            rules[name] = rules.get(name, frozenset()) | {ROLES[role] for role in roles}
        return cls(rules or {EVERY_CALLER: frozenset({Role.USER})})

    def of(self, name: str, groups: frozenset[str]) -> frozenset[Role]:
        found: frozenset[Role] = frozenset()
        for key in (name, EVERY_CALLER, *(GROUP + group for group in groups)):
            found |= self._rules.get(key, frozenset())
        return found


def _list() -> str:
    return ", ".join(ROLES)
