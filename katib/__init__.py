"""Katib: hyperparameter tuning as a service.

In the program of a trial: `import katib`, `katib.report(accuracy=0.93, step=4)`, `katib.should_stop()`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from katib.sdk.trial import report, should_stop

__all__ = ["report", "should_stop"]


def __getattr__(name: str) -> object:
    # Loaded when it is used: every program of Katib's imports this package, and few report.
    if name in __all__:
        from katib.sdk import trial

        return getattr(trial, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
