"""How many suggestions a study has room for: the same arithmetic for every algorithm."""

from dataclasses import dataclass
from typing import Final

from katib.domain.settings import Values, whole
from katib.domain.study import MAX_PARALLEL as MAX_PARALLEL_NAME
from katib.domain.study import SUGGESTION_NUM as SUGGESTION_NUM_NAME
from katib.domain.study import StudySpec

SUGGESTION_NUM: Final = whole(
    SUGGESTION_NUM_NAME,
    None,
    "Trials in all. Katib sends the study's max_trials here.",
    least=1,
    default_text="no limit",
)
MAX_PARALLEL: Final = whole(
    MAX_PARALLEL_NAME,
    None,
    "Trials unfinished at once; 0 or less: everything at once. Katib sends the study's max_parallel here.",
    default_text="no limit",
)
# Everything at once comes in portions: the next call brings the next ones.
MAX_BATCH: Final = 1000


@dataclass(frozen=True, slots=True)
class Room:
    """`count` suggestions fit now; `completed`: as many trials as the study asked for have finished."""

    count: int
    completed: bool


def max_trials(spec: StudySpec, values: Values) -> int | None:
    """The setting counts before the study's own limit: a manager sends there what is in force."""
    own = values[SUGGESTION_NUM]
    return spec.limits.max_trials if own is None else own


def room(spec: StudySpec, values: Values, finished: int, unfinished: int) -> Room:
    total = max_trials(spec, values)
    if total is not None and finished >= total:
        return Room(0, completed=True)
    parallel = values[MAX_PARALLEL]
    if parallel is None:
        parallel = spec.limits.max_parallel
    counts = [MAX_BATCH]
    if parallel is not None and parallel > 0:
        counts.append(parallel - unfinished)
    if total is not None:
        counts.append(total - finished - unfinished)
    return Room(max(0, min(counts)), completed=False)
