"""The controller's threads, on a real database and real processes."""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from katib.domain.names import new_id
from katib.domain.study import Study
from katib.manager.changes import Applied
from katib.manager.controller import loop
from katib.manager.controller.claims import Identity
from katib.manager.controller.loop import THREADS, Controller
from katib.manager.ports import ManagerRecord
from katib.worker.base import RunStatus
from tests.controller.desk import ME, Desk
from tests.e2e.harness import study, until


class Unreadable:
    """A storage in which the studies named cannot be read, as when a newer program wrote them."""

    def __init__(self, storage: Any) -> None:
        self._storage = storage
        self.studies: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def get_study(self, study_id: str) -> Study:
        if study_id in self.studies:
            raise ValueError("a state that this program does not know")
        found: Study = self._storage.get_study(study_id)
        return found


def controller_of(desk: Desk, storage: Any, lease_s: float = loop.LEASE_S) -> Controller:
    """Of the desk's parts, but for the storage."""
    return Controller(Identity(ManagerRecord(ME, "host", "")), replace(desk.outside, storage=storage), lease_s=lease_s)


def test_studies_that_cannot_be_read_do_not_keep_the_others_from_their_end(desk: Desk) -> None:
    storage = Unreadable(desk.storage)
    controller = controller_of(desk, storage)
    controller.start()
    try:
        for _ in range(THREADS * 2):
            bad = new_id()
            storage.studies.add(bad)
            controller.wake(bad)
        good = desk.create(study(limits={"max_trials": 3}))
        controller.wake(good)
        until(lambda: desk.storage.get_study(good).state.finished)
    finally:
        controller.stop()


def test_a_study_that_another_manager_removes_in_the_middle_of_a_pass_is_no_failure(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    study_id = desk.create(study(limits={"max_trials": 3}))
    apply = desk.storage.apply

    def removed(*arguments: Any) -> Applied:
        desk.storage.delete_study(study_id)
        return apply(*arguments)

    monkeypatch.setattr(desk.storage, "apply", removed)
    controller = controller_of(desk, desk.storage)
    controller.start()
    try:
        controller.wake(study_id)
        until(lambda: [r for r in caplog.records if r.getMessage() == "dropped a pass: the study is deleted"])
    finally:
        controller.stop()
    assert [r.getMessage() for r in caplog.records if r.levelno > logging.INFO] == []


class SlowHeartbeats:
    """A storage whose first heartbeats each take longer than the lease, by the controller's clock."""

    def __init__(self, storage: Any) -> None:
        self._storage = storage
        self.passed = 0.0
        self.heartbeats = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def heartbeat(self, record: ManagerRecord) -> None:
        self._storage.heartbeat(record)
        self.heartbeats += 1
        if self.heartbeats <= 3:
            self.passed += 9000

    def monotonic(self) -> float:
        return time.monotonic() + self.passed


@pytest.mark.long
def test_a_heartbeat_that_took_longer_than_its_lease_is_followed_by_another_at_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = SlowHeartbeats(desk.storage)
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=storage.monotonic))
    # By its interval alone the next would come in a quarter of an hour.
    monkeypatch.setattr(loop, "LEASE_S", 3600.0)
    controller = controller_of(desk, storage, lease_s=3600.0)
    controller.start()
    try:
        until(lambda: storage.heartbeats >= 3)
    finally:
        controller.stop()


@pytest.mark.long
def test_a_pass_that_hangs_does_not_keep_a_manager_from_its_end_and_is_told_in_the_log(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loop, "STOP_S", 0.5)
    hangs, free = threading.Event(), threading.Event()
    listed = desk.worker.list

    def hang(study_id: str) -> Sequence[RunStatus]:
        hangs.set()
        assert free.wait(60)
        return listed(study_id)

    desk.worker.list = hang  # type: ignore[method-assign]
    study_id = desk.create(study(limits={"max_trials": 1}))
    controller = controller_of(desk, desk.storage, lease_s=4.0)
    controller.start()
    try:
        controller.wake(study_id)
        assert hangs.wait(30)
        controller.stop()
        (left,) = [thread for thread in controller._threads if thread.is_alive()]
        (said,) = [record for record in caplog.records if "left behind" in record.getMessage()]
        assert f"{left.name} has not ended" in said.getMessage()
        # Where, and over which study.
        assert " hang" in said.getMessage()
        assert said.__dict__["study_id"] == study_id
        # Its studies are given up, and it touches them no more.
        assert desk.storage.get_study(study_id).manager == ""
        free.set()
        left.join(30)
        assert not left.is_alive()
        assert desk.trials(study_id) == ()
    finally:
        free.set()
        desk.worker.list = listed  # type: ignore[method-assign]
        controller.stop()
