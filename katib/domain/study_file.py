"""Study files: the YAML that a user writes, in Katib 0.1's spelling or in today's. `docs/study-file.md` is their manual."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from katib.domain.errors import FieldViolation, InvalidArgumentError
from katib.domain.study import StudySpec
from katib.domain.study_checks import check_study
from katib.domain.study_file_errors import Place, Problem, StudyFileError, locate
from katib.domain.study_file_reader import read_study
from katib.domain.study_file_walk import Walk
from katib.domain.study_file_yaml import MAX_BYTES, compose

# Fields that are right or wrong by themselves, whatever became of the rest of the file.
_BY_THEMSELVES: Final = ("parameter_configs.configs[", "max_", "retry_limit", "trial_timeout")
_ITEM: Final = re.compile(r"[^\[\]]*\[\d+\]")

__all__ = ["MAX_BYTES", "Place", "Problem", "StudyFile", "StudyFileError", "locate", "parse_study"]


@dataclass(frozen=True, slots=True)
class StudyFile:
    """A study file that was read and checked. `places` tells where each field stands, by its path on the wire.

    `warnings` are about what was passed over, `doubts` about what is as it stands and may not be meant so.
    """

    source: str
    spec: StudySpec
    places: Mapping[str, Place]
    warnings: tuple[Problem, ...]
    doubts: tuple[Problem, ...] = ()

    @property
    def remarks(self) -> tuple[Problem, ...]:
        """Both, by line: for whoever is about to use the study."""
        return tuple(sorted((*self.warnings, *self.doubts), key=lambda problem: problem.line or 0))

    def refused(self, violations: Iterable[FieldViolation]) -> StudyFileError:
        """The error for what a check, or the manager, says of this study: with this file's name and lines."""
        return StudyFileError(self.source, locate(violations, self.places), self.warnings)

    def refused_by_manager(self, error: InvalidArgumentError) -> StudyFileError:
        """The error for this study's refusal: where it names no field, by the path that its message begins with."""
        if error.violations:
            return self.refused(error.violations)
        problem = self.located(error.message)
        if problem is None:
            return StudyFileError.at(self.source, None, error.message)
        return StudyFileError(self.source, [problem])

    def located(self, message: str) -> Problem | None:
        """What a message says that begins with a path of the study, as those of services do; None where it does not."""
        field, _, sentence = message.partition(": ")
        (problem,) = locate([FieldViolation(field, "", sentence)], self.places)
        return None if problem.line is None else problem


def parse_study(data: str | bytes, source: str = "study.yaml") -> StudyFile:
    """Reads a study file and makes every check that needs no service; `source` is its name in messages.

    Raises StudyFileError, an InvalidArgumentError whose text has a line `FILE:LINE: path: 'value': expected ...` for each
    problem.
    """
    walk = Walk()
    spec = read_study(compose(data, source), walk)
    if walk.problems:
        found = [*walk.problems, *_further(spec, walk)]
        raise StudyFileError(source, sorted(found, key=lambda problem: problem.line or 0), walk.warnings)
    study = StudyFile(source, spec, walk.places, tuple(walk.warnings), tuple(walk.doubts))
    try:
        check_study(spec, path="")
    except InvalidArgumentError as error:
        raise study.refused(error.violations) from None
    return study


def _further(spec: StudySpec, walk: Walk) -> list[Problem]:
    """What else would be refused once the file can be read, so that it is said at once; nothing that only follows from what
    could not be read."""
    try:
        check_study(spec, path="")
    except InvalidArgumentError as error:
        fields = [violation for violation in error.violations if violation.value and violation.field in walk.places]
    else:
        return []
    unread = {_item(problem) for problem in walk.problems} - {None}
    found = locate((field for field in fields if field.field.startswith(_BY_THEMSELVES)), walk.places)
    return [problem for problem in found if _item(problem) not in unread]


def _item(problem: Problem) -> str | None:
    """Which parameter it is about, such as `parameters[2]`."""
    match = _ITEM.match(problem.violation.field)
    return match and match[0]
