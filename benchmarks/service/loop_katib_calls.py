"""A client of Katib's manager that makes the three calls one by one."""

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count

from benchmarks.service.work import METRICS
from katib.api.client import ManagerClient
from katib.domain.metrics import Observation


def calls(client: ManagerClient, study: str, name: str) -> Callable[[], None]:
    positions = count(1)

    def loop() -> None:
        (trial,), _ = client.suggest_trials(study, client_id=name)
        now = datetime.now(UTC)
        client.report_metrics(
            trial.id, [Observation(m, value, now, trial.attempt, "", next(positions)) for m, value in METRICS]
        )
        client.complete_trial(study, trial.id)

    return loop


def connect(address: str) -> Callable[[str, str], Callable[[], None]]:
    client = ManagerClient(address)
    return lambda study, name: calls(client, study, name)
