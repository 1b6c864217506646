"""Where things stand in a study file, and what is said about them: `FILE:LINE: path: 'value': expected ...`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from katib.domain.errors import FieldViolation, InvalidArgumentError

# The manager's paths begin with the request's field.
_PREFIX: Final = "study_config."
# The parser's own sentences quote the file, which may hold a name of a megabyte.
_MAX_SENTENCE: Final = 500


@dataclass(frozen=True, slots=True)
class Place:
    """Where a field of the study stands: its line, from 1 on, and its path in the spelling of the file.

    `line` is None for what would stand there and is missing.
    """

    line: int | None
    path: str


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to say about a study file. `line` is None where there is none to blame, as for a field that is missing."""

    line: int | None
    violation: FieldViolation

    def render(self, source: str, kind: str = "") -> str:
        where = source if self.line is None else f"{source}:{self.line}"
        return f"{where}: {kind}{self.violation if self.violation.field else self.violation.expected}"


class StudyFileError(InvalidArgumentError):
    """A study file that cannot be used; `str(error)` has a line for each warning and each problem.

    The warnings come first: a key that was passed over is often why another one is missing.
    """

    def __init__(self, source: str, problems: Iterable[Problem], warnings: Iterable[Problem] = ()) -> None:
        found = tuple(problems)
        super().__init__(problem.violation for problem in found)
        self.source = source
        self.problems = found[: len(self.violations)]
        lines = [warning.render(source, "warning: ") for warning in warnings]
        lines += [problem.render(source) for problem in self.problems]
        if len(found) > len(self.problems):
            lines.append(f"{source}: and {len(found) - len(self.problems)} more")
        self.args = ("\n".join(lines),)

    @classmethod
    def at(cls, source: str, line: int | None, sentence: str) -> "StudyFileError":
        """What is wrong with the file as a whole, or with its syntax."""
        return cls(source, [Problem(line, FieldViolation("", "", sentence[:_MAX_SENTENCE]))])


def locate(violations: Iterable[FieldViolation], places: Mapping[str, Place]) -> list[Problem]:
    """The violations, from our own check or from the manager's, with the lines of the file and in its spelling.

    `places` is keyed by the path of the wire without `study_config`. What the file does not hold, such as a required field
    that is missing, gets the line of the nearest thing around it, or none.
    """
    return [_locate(violation, places) for violation in violations]


def _locate(violation: FieldViolation, places: Mapping[str, Place]) -> Problem:
    field = violation.field.removeprefix(_PREFIX)
    around, rest = field, ""
    while around not in places:
        cut = max(around.rfind("."), around.rfind("["))
        if cut < 0:
            return Problem(None, replace(violation, field=field))
        around, rest = around[:cut], around[cut:] + rest
    place = places[around]
    return Problem(place.line, replace(violation, field=f"{place.path}{rest}"))
