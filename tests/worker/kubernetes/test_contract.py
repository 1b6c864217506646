"""The Kubernetes worker keeps the contract: at an API server of our own, whose node runs Pods as processes."""

from dataclasses import replace

import pytest

from tests.worker.contract import WorkerContract


@pytest.mark.long
class TestKubernetesWorker(WorkerContract):
    def study(self):
        return replace(super().study(), image="image")

    @pytest.fixture
    def new_worker(self, node, new_worker):
        return new_worker

    def test_another_worker_does_not_list_what_was_deleted(self, driver, new_worker):
        """It does, once: that a run was let go of stands on no Pod, which would be a request more for each trial. Whoever
        looks after the study lets go of it again."""
        gone, kept = driver.start("true"), driver.start("true")
        for name in (gone, kept):
            driver.ended(name)
        driver.worker.delete(driver.study_id, gone)
        other = new_worker()
        assert {status.name for status in other.list(driver.study_id)} == {gone, kept}
        other.delete(driver.study_id, gone)
        assert [status.name for status in other.list(driver.study_id)] == [kept]
