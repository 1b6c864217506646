"""The local worker keeps the contract, with pidfds and without."""

import pytest

from katib.worker.local.worker import LocalWorker
from tests.worker.contract import WorkerContract


@pytest.fixture(params=[True, False], ids=["pidfd", "polling"])
def pidfds(request):
    return request.param


class TestLocalWorker(WorkerContract):
    @pytest.fixture
    def new_worker(self, tmp_path, pidfds):
        made = []

        def make():
            made.append(LocalWorker(tmp_path, stop_grace_s=0.5, pidfds=pidfds))
            return made[-1]

        yield make
        for worker in made:
            worker.close()
