"""Katib: hyperparameter tuning as a service.

In the program of a trial: `import katib`, `katib.report(accuracy=0.93, step=4)`, `katib.report_model(path)`,
`katib.should_stop()`.

In a program that drives a study itself: `katib.create_study`, `katib.open_study`; see katib.sdk.study. What they raise is a
`katib.KatibError`; those of its kinds that a program may want to catch by themselves are here too.
"""

from typing import TYPE_CHECKING, Final

# Now, and not with what needs it: the order of handlers of the program's end is that of their registration.
from katib import leaving as _leaving  # noqa: F401

if TYPE_CHECKING:
    from katib.domain.errors import (
        AbortedError,
        DeadlineExceededError,
        FailedPreconditionError,
        InvalidArgumentError,
        KatibError,
        NotFoundError,
        PermissionDeniedError,
        ResourceExhaustedError,
        UnauthenticatedError,
        UnavailableError,
    )
    from katib.sdk.in_hand import Trial
    from katib.sdk.space import Categorical, Discrete, Double, Int
    from katib.sdk.study import Study, TrialResult, create_study, open_study
    from katib.sdk.trial import report, report_model, should_stop

__all__ = [
    "AbortedError",
    "Categorical",
    "DeadlineExceededError",
    "Discrete",
    "Double",
    "FailedPreconditionError",
    "Int",
    "InvalidArgumentError",
    "KatibError",
    "NotFoundError",
    "PermissionDeniedError",
    "ResourceExhaustedError",
    "Study",
    "Trial",
    "TrialResult",
    "UnauthenticatedError",
    "UnavailableError",
    "create_study",
    "open_study",
    "report",
    "report_model",
    "should_stop",
]

_HOMES: Final = {
    "report": "katib.sdk.trial",
    "report_model": "katib.sdk.trial",
    "should_stop": "katib.sdk.trial",
    **dict.fromkeys(
        (
            "AbortedError",
            "DeadlineExceededError",
            "FailedPreconditionError",
            "InvalidArgumentError",
            "KatibError",
            "NotFoundError",
            "PermissionDeniedError",
            "ResourceExhaustedError",
            "UnauthenticatedError",
            "UnavailableError",
        ),
        "katib.domain.errors",
    ),
    **dict.fromkeys(("Categorical", "Discrete", "Double", "Int"), "katib.sdk.space"),
    **dict.fromkeys(("Study", "TrialResult", "create_study", "open_study"), "katib.sdk.study"),
    "Trial": "katib.sdk.in_hand",
}


def __getattr__(name: str) -> object:
    # Loaded when it is used: every program of Katib's imports this package, and few report.
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    # Completion in a notebook asks: what has not been used yet is no attribute of the module so far.
    return sorted({*globals(), *__all__})
