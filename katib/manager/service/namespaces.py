"""To which namespaces a caller's Pods may go, as the operator says."""

from collections.abc import Mapping, Sequence
from typing import Final

from katib.domain.caller import Caller
from katib.domain.errors import InvalidArgumentError, PermissionDeniedError
from katib.domain.permissions import EVERY_CALLER, GROUP

_FIELD: Final = "study_config.pod.namespace"


class NamespaceRules:
    """Without any rule every caller may use whatever namespace the worker allows."""

    def __init__(self, rules: Mapping[str, tuple[str, ...]]) -> None:
        self._rules = rules

    @classmethod
    def parse(cls, texts: Sequence[str]) -> "NamespaceRules":
        """From `NAME=NAMESPACE,NAMESPACE` each; NAME may be `group:NAME` or `*`. Raises InvalidArgumentError."""
        rules: dict[str, tuple[str, ...]] = {}
        for text in texts:
            name, equals, rest = text.rpartition("=")
            namespaces = tuple(part.strip() for part in rest.split(","))
            if not equals or not name or not all(namespaces):
                raise InvalidArgumentError.of(
                    "--auth-namespace", text, "expected NAME=NAMESPACE,...; NAME may be group:NAME or *"
                )
            rules[name] = (*rules.get(name, ()), *namespaces)
        return cls(rules)

    def choose(self, caller: Caller, namespace: str) -> str:
        """The namespace for a study that names this one; where it names none, the first that the caller may use.

        Raises PermissionDeniedError where it may not use it.
        """
        if not self._rules or caller.unrestricted:
            return namespace
        keys = (caller.name, *sorted(GROUP + group for group in caller.groups), EVERY_CALLER)
        allowed = [ns for key in keys for ns in self._rules.get(key, ())]
        if not namespace and allowed:
            return allowed[0]
        if namespace in allowed:
            return namespace
        may = f"may use {', '.join(dict.fromkeys(allowed))}" if allowed else "may use none"
        raise PermissionDeniedError(
            f"{_FIELD}: {namespace!r}: Pods of {caller.name} may not go there; it {may} "
            "(the operator says so with --auth-namespace)"
        )
