"""Managers that share a MariaDB, one of which is frozen in the middle of a write, as by SIGSTOP."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from katib.domain.errors import KatibError, UnavailableError
from katib.manager.ports import ManagerRecord
from katib.manager.storage.open import open_storage
from katib.manager.storage.sql.session import Session
from katib.manager.storage.sql.storage import SqlStorage
from katib.manager.storage.sql.studies import lock_study, store_study
from tests.storage.builders import make_study

pytestmark = pytest.mark.slow


@pytest.fixture
def open_(server_url: str) -> Iterator[Callable[[], SqlStorage]]:
    opened: list[SqlStorage] = []

    def open_one() -> SqlStorage:
        storage = open_storage(server_url)
        assert isinstance(storage, SqlStorage)
        opened.append(storage)
        return storage

    yield open_one
    for storage in opened:
        storage.close()


class Frozen:
    """A write that has locked a study and changed it, and then says nothing more until it is thawed."""

    def __init__(self, storage: SqlStorage, study_id: str) -> None:
        self._storage = storage
        self._study_id = study_id
        self._holds = threading.Event()
        self._go_on = threading.Event()
        self.error: KatibError | None = None
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> "Frozen":
        self._thread.start()
        assert self._holds.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.thaw()

    def thaw(self) -> None:
        self._go_on.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _write(self) -> None:
        def change(session: Session) -> None:
            study = lock_study(session, self._study_id).study
            store_study(session, replace(study, message="late", revision=study.revision + 1))
            session.settle()
            self._holds.set()
            self._go_on.wait(60)

        try:
            self._storage.database.write(change)
        except KatibError as error:
            self.error = error


def test_a_claim_waits_for_nobodys_lock(open_: Callable[[], SqlStorage]) -> None:
    frozen, other = open_(), open_()
    held = frozen.create_study(make_study(manager="frozen")).id
    free = {frozen.create_study(make_study(manager="frozen")).id for _ in range(5)}
    other.heartbeat(ManagerRecord("other", "h", ""))
    with Frozen(frozen, held):
        began = time.monotonic()
        assert set(other.claim_studies("other", "", ["frozen"], 10)) == free
        other.heartbeat(ManagerRecord("other", "h", ""))
        # Far less than the frozen one is given.
        assert time.monotonic() - began < 2


def test_a_study_whose_driver_was_frozen_in_the_middle_of_a_write_is_let_go(open_: Callable[[], SqlStorage]) -> None:
    frozen, other = open_(), open_()
    study_id = frozen.create_study(make_study(manager="frozen")).id
    other.heartbeat(ManagerRecord("other", "h", ""))
    with Frozen(frozen, study_id) as write:
        began = time.monotonic()
        while not other.claim_studies("other", "", ["frozen"], 10):
            assert time.monotonic() - began < 30, "its lock is never let go"
            time.sleep(0.05)
        print(f"claimed {time.monotonic() - began:.1f} s after the freeze")
        assert time.monotonic() - began > 1, "it was never locked"
        write.thaw()
    # What it had written is undone, and it is told that nobody knows whether it was stored.
    assert isinstance(write.error, UnavailableError)
    study = other.get_study(study_id)
    assert (study.manager, study.message) == ("other", "")
