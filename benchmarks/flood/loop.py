"""A well-behaved client: its loop of three calls, with the token that it finds by its name in the folder of tokens."""

import os
from collections.abc import Callable
from pathlib import Path

from benchmarks.service.loop_katib_calls import calls
from katib.api.client import ManagerClient

TOKENS = "FLOOD_TOKENS"


def connect(address: str) -> Callable[[str, str], Callable[[], None]]:
    folder = Path(os.environ[TOKENS])
    connection = ManagerClient(address)
    return lambda study, name: calls(connection.with_token((folder / name).read_text()), study, name)
