"""Every error that one part of Katib raises for another.

One hierarchy, so that what a service raises is what its client catches: `katib.api.errors` maps each class to a gRPC status
code and back. A message is one readable sentence that says what happened and what to do next.
"""

from collections.abc import Iterable
from dataclasses import dataclass

_SHOWN_VALUE = 80
_MAX_VIOLATIONS = 20


class KatibError(Exception):
    """The base of all of them; `str(error)` is the sentence."""

    @property
    def message(self) -> str:
        return str(self)


def below(path: str, name: str) -> str:
    """The path of the field `name` of what `path` is the path of, empty for the request itself."""
    return f"{path}.{name}" if path else name


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One thing wrong with one field of a request or a file.

    `field` is a path such as `parameter_configs.configs[2].feasible.min`; `value` is as it came, shortened to be shown;
    `expected` says what would be accepted.
    """

    field: str
    value: str
    expected: str

    def __post_init__(self) -> None:
        for name in ("field", "value", "expected"):
            text = getattr(self, name)
            if not text.isascii():
                # A lone surrogate, from a command line or an escape in a file, could be neither printed nor sent.
                object.__setattr__(self, name, text.encode(errors="backslashreplace").decode())

    def __str__(self) -> str:
        shown = f"{self.value!r}: " if self.value else ""
        return f"{self.field}: {shown}{self.expected}"


def violation(field: str, value: object, expected: str) -> FieldViolation:
    """A FieldViolation with the value made fit to be shown."""
    text = value if isinstance(value, str) else _repr(value)
    # Megabytes of it may have come.
    text = text[: _SHOWN_VALUE + 1].encode(errors="backslashreplace").decode()
    if len(text) > _SHOWN_VALUE:
        text = f"{text[: _SHOWN_VALUE - 3]}..."
    return FieldViolation(field, text, expected)


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - a user's own class, or a number of more digits than Python shows
        return f"a {type(value).__name__}"


class InvalidArgumentError(KatibError):
    """Bad input: nothing was stored, and the same request will always be refused."""

    def __init__(self, violations: Iterable[FieldViolation] | str) -> None:
        if isinstance(violations, str):
            self.violations: tuple[FieldViolation, ...] = ()
            super().__init__(violations)
            return
        found = tuple(violations)
        self.violations = found[:_MAX_VIOLATIONS]
        more = len(found) - len(self.violations)
        super().__init__("; ".join(map(str, self.violations)) + (f"; and {more} more" if more else ""))

    @classmethod
    def of(cls, field: str, value: object, expected: str) -> "InvalidArgumentError":
        """The usual case: one field is wrong."""
        return cls([violation(field, value, expected)])


class NotFoundError(KatibError):
    """There is nothing of that id or name."""


class AlreadyExistsError(KatibError):
    """Something else stands under that id or name."""


class FailedPreconditionError(KatibError):
    """The state forbids it; trying again helps only after the state has changed."""


class AbortedError(KatibError):
    """Somebody else changed the same thing first; read it again, then decide again."""


class ResourceExhaustedError(KatibError):
    """A limit is reached. `retry_after`: the call was not begun, and may be made again after so many seconds; None where trying
    again is of no use before something has been removed or a limit raised."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UnavailableError(KatibError):
    """Not reachable now; trying again later is right."""


class DeadlineExceededError(KatibError):
    """No answer came in time; whether it took effect is unknown."""


class UnimplementedError(KatibError):
    """This is not something that the other side does."""


class UnauthenticatedError(KatibError):
    """The caller did not show who it is."""


class PermissionDeniedError(KatibError):
    """The caller may not do this."""


class InternalError(KatibError):
    """A defect: the log of the process that raised it says more."""
