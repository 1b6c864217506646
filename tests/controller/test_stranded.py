"""Studies whose machine or folder no manager alive looks after."""

from dataclasses import dataclass

import pytest

from katib.domain.errors import NotFoundError
from katib.domain.study import Intent, Study, StudyReason, StudyState
from katib.manager.controller.stranded import Stranded
from katib.manager.ports import ManagerRecord
from katib.manager.storage.memory import MemoryStorage
from tests.storage.builders import make_study

LEASE_S = 10.0


@dataclass
class Here:
    """A manager of another place, and its clock."""

    now: float = 0.0

    def __post_init__(self) -> None:
        self.storage = MemoryStorage()
        self.stranded = Stranded(self.storage, "here", LEASE_S, lambda: self.now)

    def create(self, **fields: object) -> str:
        return self.storage.create_study(make_study(placement="there", **fields)).id

    def study(self, study_id: str) -> Study:
        return self.storage.get_study(study_id)

    def after(self, leases: float) -> None:
        """Looks as often as it does while so much time passes."""
        end = self.now + leases * LEASE_S
        while self.now < end:
            self.now += 1.0
            self.stranded.look(())


@pytest.fixture
def here() -> Here:
    return Here()


def test_a_study_says_where_its_runs_are_and_what_to_start(here: Here) -> None:
    study_id = here.create()
    here.after(1)
    assert here.study(study_id).reason == ""
    here.after(2)
    study = here.study(study_id)
    assert (study.state, study.reason) == (StudyState.RUNNING, StudyReason.NO_MANAGER)
    assert "there" in study.message
    here.after(3)
    assert here.study(study_id).revision == study.revision


def test_a_manager_that_comes_back_in_time_is_not_missed(here: Here) -> None:
    study_id = here.create(manager="m")
    here.after(1.5)
    here.storage.heartbeat(ManagerRecord("m", "h", "1"))
    here.after(1)
    here.storage.release("m")
    here.after(1.5)
    assert here.study(study_id).reason == ""


def test_a_paused_study_needs_nobody_and_keeps_its_reason(here: Here) -> None:
    study_id = here.create(state=StudyState.PAUSED, reason=StudyReason.PAUSED)
    here.after(20)
    assert here.study(study_id).reason == StudyReason.PAUSED


def test_a_study_that_is_to_be_deleted_is_let_go_of_in_the_end(here: Here) -> None:
    deleted, kept = here.create(intent=Intent.DELETE), here.create()
    here.after(5)
    told = here.study(deleted)
    assert (told.reason, told.message) == (StudyReason.DELETING, here.study(kept).message)
    here.after(6)
    with pytest.raises(NotFoundError):
        here.study(deleted)
    assert here.study(kept).state is StudyState.RUNNING


def test_one_that_goes_away_meanwhile_leaves_the_others(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = sorted([here.create(), here.create()])
    look = here.storage.stranded_studies

    def deleted_meanwhile(placement: str, dead: tuple[str, ...], limit: int) -> list[str]:
        found = list(look(placement, dead, limit))
        if here.now > 2.5 * LEASE_S:
            here.storage.delete_study(first)
        return found

    monkeypatch.setattr(here.storage, "stranded_studies", deleted_meanwhile)
    here.after(4)
    assert here.study(second).reason == StudyReason.NO_MANAGER
