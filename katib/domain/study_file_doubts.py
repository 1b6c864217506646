"""What a study file says and its writer may not mean. These are warnings: it may be meant after all."""

import re
from typing import Final

from katib.domain.asked import algorithm_of
from katib.domain.study import StudySpec
from katib.domain.study_file_values import names_a_program
from katib.domain.study_file_walk import Entries, Walk

# How tools that put values into a command write a parameter. ${lr} is not among them: it is the shell's.
_PLACEHOLDER: Final = re.compile(r"\$\{trialParameters\.([^{}]+)\}|(?<!\$)\{{1,2}([^{}]+)\}{1,2}")


def warn_of_doubts(spec: StudySpec, top: Entries, walk: Walk) -> None:
    """`top`: the keys that the file has. What comes up is in the doubts of `walk`."""
    if not algorithm_of(spec) and "suggest_algorithm" not in top:
        _who_runs_it(spec, top, walk)
    _placeholders(spec, top, walk)


def _who_runs_it(spec: StudySpec, top: Entries, walk: Walk) -> None:
    nobody = "the study's trials are run by nobody but clients that ask for them"
    meant = "algorithm: '' says that it is meant so"
    if names_a_program(spec):
        key = next(key for key in ("command", "image", "pod") if key in top)
        # A template alone has no default algorithm.
        missing = "max_trials or algorithm" if spec.limits.max_trials is None and key != "pod" else "algorithm"
        walk.doubt(top[key].place, f"{nobody}: with {missing} in the file Katib runs this; {meant}")
    elif spec.limits.max_trials is not None:
        walk.doubt(top["max_trials"].place, f"{nobody}: with a command or an image in the file Katib runs it; {meant}")


def _placeholders(spec: StudySpec, top: Entries, walk: Walk) -> None:
    names = {name: p.name for p in spec.parameters for name in (p.name, p.name.lstrip("-"))}
    for i, word in enumerate(spec.command):
        for found in _PLACEHOLDER.finditer(word):
            name = names.get(found[1] or found[2])
            # A word with spaces is a program of its own, in which braces have a meaning.
            if name is None or (found[2] and any(c.isspace() for c in word)):
                continue
            walk.doubt(
                walk.places.get(f"command[{i}]", top["command"].place),
                f"nothing is put in the place of {found[0]!r}: parameters are appended to the command, this one as "
                f"'{name}=VALUE'; leave it out",
            )
