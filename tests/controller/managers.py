"""Two managers of one database, of which one is held up in the middle of what it does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from katib.domain.trial import Trial, TrialState
from tests.controller.desk import ME, Desk
from tests.waiting import Value, until


def take_over(desk: Desk, study_id: str, from_: str = ME) -> None:
    """As the controller does it when a lease has run out."""
    assert list(desk.storage.claim_studies(desk.manager_id, "", [from_], 10)) == [study_id]
    desk.reconciler.forget(study_id)


def once(desk: Desk, method: str, meanwhile: Callable[[], object], *, before: bool = True) -> None:
    """The next call of a method of the worker or the storage: frozen right before it begins, or right after it has returned."""
    owner: Any = desk.worker if hasattr(desk.worker, method) else desk.storage
    real = getattr(owner, method)

    def frozen(*arguments: Any, **named: Any) -> Any:
        setattr(owner, method, real)
        if before:
            meanwhile()
        result = real(*arguments, **named)
        if not before:
            meanwhile()
        return result

    setattr(owner, method, frozen)


def work_until(desk: Desk, study_id: str, what: Callable[[], Value | None]) -> Value:
    def look() -> Value | None:
        desk.work(study_id)
        return what()

    return until(look, poll=0.01)


def asked(desk: Desk, study_id: str) -> None:
    """Goes on until the service has been asked for suggestions, which have not come yet."""
    desk.service.hold = True
    work_until(desk, study_id, lambda: desk.service.held)


def counting(folder: Path, script: str = "echo acc=1") -> str:
    return f'echo "$TRIAL_ID-$KATIB_ATTEMPT" >> {folder}/begun; {script}'


def begun(folder: Path) -> list[str]:
    path = folder / "begun"
    return path.read_text().split() if path.exists() else []


def running_at(desk: Desk, study_id: str, attempt: int) -> list[Trial]:
    def look() -> list[Trial] | None:
        desk.work(study_id)
        found = desk.storage.unfinished_trials(study_id)
        return [t for t in found if t.state is TrialState.RUNNING and t.attempt == attempt] or None

    return until(look, poll=0.01)
