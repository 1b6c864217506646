"""A well-behaved client: its loop of three calls, with the token that it finds by its name in the folder of tokens."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from benchmarks.service.work import METRICS
from katib.api.client import ManagerClient
from katib.domain.metrics import Observation

TOKENS = "FLOOD_TOKENS"


def connect(address: str) -> Callable[[str, str], Callable[[], None]]:
    folder = Path(os.environ[TOKENS])
    connection = ManagerClient(address)

    def make(study: str, name: str) -> Callable[[], None]:
        client = connection.with_token((folder / name).read_text())
        positions = count(1)

        def loop() -> None:
            (trial,), _ = client.suggest_trials(study, client_id=name)
            now = datetime.now(UTC)
            client.report_metrics(
                trial.id, [Observation(m, value, now, trial.attempt, "", next(positions)) for m, value in METRICS]
            )
            client.complete_trial(study, trial.id)

        return loop

    return make
