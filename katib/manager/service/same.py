"""Whether a study that is asked for again is the one that there is."""

from collections.abc import Callable, Sequence
from typing import Final

from katib.domain.asked import algorithm_of
from katib.domain.study import Setting, StudySpec


def difference(known: StudySpec, wanted: StudySpec) -> str:
    """A sentence about the first thing in which they differ; empty where they do not. What may be changed later, as limits and
    the goal, may differ."""
    if known.parameters != wanted.parameters:
        return "it has other parameters"
    for what, of in _COMPARED:
        if of(known) != of(wanted):
            return f"its {what} is {of(known)}, not {of(wanted)}"
    return ""


def _objective(spec: StudySpec) -> str:
    return f"to {'optimize' if spec.optimization is None else spec.optimization.value} {spec.objective_name}"


def _settings(spec: StudySpec) -> str:
    return _told(spec.settings, "left to the algorithm")


def _told(settings: Sequence[Setting], none: str) -> str:
    return ", ".join(sorted(f"{setting.name}={setting.value}" for setting in settings)) or none


_COMPARED: Final[tuple[tuple[str, Callable[[StudySpec], str]], ...]] = (
    ("name", lambda spec: repr(spec.name)),
    ("objective", _objective),
    ("algorithm", algorithm_of),
    ("setting", _settings),
    ("early stopping", lambda spec: spec.rule or "none"),
    ("early-stopping setting", lambda spec: _told(spec.early_stopping_settings, "left to the rule")),
)
