"""What the driver has written on a Pod comes before what Kubernetes says of it."""

from datetime import UTC, datetime, timedelta

import pytest

from katib.worker.base import RunPhase
from katib.worker.kubernetes import marks
from katib.worker.kubernetes.policy import Waits

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
ENDED = {"terminated": {"exitCode": 137, "reason": "Error", "finishedAt": NOW.isoformat()}}


@pytest.mark.parametrize(
    ("status", "phase"),
    [
        ({"phase": "Running"}, RunPhase.STOPPING),
        ({"phase": "Failed", "containerStatuses": [{"name": "trial", "state": ENDED}]}, RunPhase.FAILED),
    ],
)
def test_a_pod_that_was_stopped_and_then_deleted_keeps_the_reason_of_its_stop(status, phase):
    pod = {
        "metadata": {"name": "x", "uid": "u", "deletionTimestamp": (NOW + timedelta(seconds=1)).isoformat()},
        "spec": {"nodeName": "node-1", "containers": [{"name": "trial"}]},
        "status": status,
    }
    assert marks.judge(pod, NOW, Waits()).reason == "PodDeleted"
    pod["metadata"] |= marks.stop_change(pod, "Stopped", "it was asked to end", NOW)["metadata"]
    found = marks.judge(pod, NOW, Waits())
    assert (found.phase, found.reason, found.message) == (phase, "Stopped", "it was asked to end")
