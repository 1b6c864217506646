"""A local worker that gives runs half a second to end, and its driver, which leaves none behind."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from katib.worker.local.worker import LocalWorker
from tests.worker.driving import Driver
from tests.worker.local import driver_of

GRACE_S = 0.5


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[LocalWorker]:
    it = LocalWorker(tmp_path, stop_grace_s=GRACE_S)
    yield it
    it.close()


@pytest.fixture
def driver(worker: LocalWorker) -> Iterator[Driver]:
    it = driver_of(worker)
    yield it
    for name in it.statuses():
        worker.delete(it.study_id, name)
    it.until("the runs never ended", lambda: not it.statuses())
