"""Controllers that share the studies of one database: who takes what over, and when."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from katib.domain.names import new_id
from katib.domain.study import Study, StudyState
from katib.manager.controller.claims import Identity
from katib.manager.controller.loop import Controller
from katib.manager.ports import ManagerRecord
from tests.controller.desk import Desk
from tests.e2e.harness import study, until

A, B, C = "a" * 16, "b" * 16, "c" * 16
LEASE_S = 2.0
# Long enough that twice of it leaves room for a loaded machine: a lease and a look are needed, five seconds of eight.
TAKEOVER_LEASE_S = 4.0


@dataclass
class Manager:
    """A controller, and what it works with."""

    desk: Desk
    controller: Controller
    started: bool = False

    @property
    def driven(self) -> int:
        return len(self.desk.storage.driven_studies(self.desk.manager_id))

    def start(self) -> None:
        self.controller.start()
        self.started = True

    def stop(self) -> None:
        """As on SIGTERM."""
        if self.started:
            self.controller.stop()
        self.started = False


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Callable[[str], Manager]]:
    made: list[Manager] = []

    def make(id_: str, gone: str = "", lease_s: float = LEASE_S) -> Manager:
        desk = Desk(tmp_path, id_)
        # None can look whether another's process has ended, as on hosts of their own.
        identity = Identity(ManagerRecord(id_, f"host of {id_}", ""), lambda other: other.id == gone)
        made.append(Manager(desk, Controller(identity, desk.outside, lease_s)))
        return made[-1]

    yield make
    for it in made:
        it.stop()
    for it in made:
        it.desk.close()


def studies(desk: Desk, count: int, driver: str) -> list[str]:
    """Client-driven ones, of which nothing but their driver changes."""
    made = [
        Study(
            new_id(), study(algorithm="", limits={}), StudyState.RUNNING, datetime.now(UTC), revision=1, manager=driver
        )
        for _ in range(count)
    ]
    return [desk.storage.create_study(it).id for it in made]


def driver_of(desk: Desk, study_id: str) -> str:
    found: Study = desk.storage.get_study(study_id)
    return found.manager


def beat(desk: Desk, *ids: str) -> None:
    """Managers on hosts of their own that are there, or were until now."""
    for id_ in ids:
        desk.storage.heartbeat(ManagerRecord(id_, f"host of {id_}", ""))


@pytest.mark.slow
def test_a_manager_on_another_host_that_falls_silent_loses_its_studies_within_two_leases(
    manager: Callable[..., Manager],
) -> None:
    one = manager(B, lease_s=TAKEOVER_LEASE_S)
    held = studies(one.desk, 5, driver=A)
    one.start()
    beat(one.desk, A)
    silent = time.monotonic()
    until(lambda: {driver_of(one.desk, s) for s in held} == {B}, poll=0.02)
    took = time.monotonic() - silent
    print(f"{took:.2f} s with a lease of {TAKEOVER_LEASE_S:g} s")
    # The database's clock has a resolution of its own.
    assert took >= TAKEOVER_LEASE_S * 0.9
    assert took < 2 * TAKEOVER_LEASE_S


def test_those_that_live_share_the_studies_of_the_one_that_died(manager: Callable[[str], Manager]) -> None:
    one, two = manager(A), manager(B)
    studies(one.desk, 10, driver=C)
    # Both are there before either looks.
    beat(one.desk, A, B)
    for it in (one, two):
        it.start()
    until(lambda: one.driven + two.driven == 10)
    assert (one.driven, two.driven) == (5, 5)


def test_who_drives_more_already_takes_less(manager: Callable[[str], Manager]) -> None:
    one, two = manager(A), manager(B)
    studies(one.desk, 4, driver=A)
    studies(one.desk, 6, driver=C)
    beat(one.desk, A, B)
    for it in (one, two):
        it.start()
    until(lambda: one.driven + two.driven == 10)
    assert (one.driven, two.driven) == (5, 5)


@pytest.mark.long
def test_what_the_others_do_not_take_is_taken_all_the_same(manager: Callable[[str], Manager]) -> None:
    one = manager(A)
    studies(one.desk, 10, driver="")
    # It lives as far as anybody can tell, and takes nothing.
    beat(one.desk, B)
    one.start()
    until(lambda: one.driven >= 5)

    def look() -> bool:
        beat(one.desk, B)
        return one.driven == 10

    until(look, poll=0.2)


@pytest.mark.long
def test_a_manager_that_is_told_to_end_hands_its_studies_over_at_once(manager: Callable[[str], Manager]) -> None:
    one, two, three = manager(A), manager(B), manager(C)
    for it in (one, two, three):
        it.start()
    held = studies(one.desk, 6, driver=A)
    assert one.driven == 6
    began = time.monotonic()
    one.stop()
    until(lambda: {driver_of(one.desk, s) for s in held} <= {B, C}, poll=0.02)
    took = time.monotonic() - began
    print(f"{took:.2f} s")
    # Without the hand-over it would be a lease and more.
    assert took < LEASE_S
    assert (two.driven, three.driven) == (3, 3)


def test_a_manager_whose_process_is_known_to_have_ended_is_not_waited_for(tmp_path: Path) -> None:
    desk = Desk(tmp_path, B)
    held = studies(desk, 3, driver=A)
    beat(desk, A)
    identity = Identity(ManagerRecord(B, "h", ""), lambda other: other.id == A)
    controller = Controller(identity, desk.outside, lease_s=3600)
    controller.start()
    try:
        until(lambda: {driver_of(desk, s) for s in held} == {B})
        until(lambda: [m.id for m in desk.storage.managers()] == [B])
    finally:
        controller.stop()
        desk.close()


def test_what_another_manager_s_client_changed_is_told_and_that_a_study_is_no_longer_driven(
    tmp_path: Path, manager: Callable[[str], Manager]
) -> None:
    told: list[str] = []
    desk = Desk(tmp_path, A)
    controller = Controller(
        Identity(ManagerRecord(A, "h", "")), replace(desk.outside, noticed=told.append), lease_s=LEASE_S
    )
    other = manager(B).desk
    (study_id,) = studies(desk, 1, driver=A)
    controller.start()
    try:
        until(lambda: study_id in told)
        told.clear()
        other.storage.update_study(study_id, lambda s: replace(s, message="said by another manager's client"))
        until(lambda: study_id in told)
        told.clear()
        other.storage.update_study(study_id, lambda s: replace(s, state=StudyState.STOPPED))
        until(lambda: study_id in told)
    finally:
        controller.stop()
        desk.close()
