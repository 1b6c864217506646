"""Managers with limits that are soon reached, in this process, and callers over real sockets."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from katib.manager.server import Manager
from katib.manager.settings import Settings
from tests.auth.conftest import Guarded
from tests.e2e.harness import world

Limited = Callable[..., Guarded]


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[Limited]:
    with ExitStack() as stack:

        def start(**limits: Any) -> Guarded:
            it = stack.enter_context(world(tmp_path))
            it.suggestion("random")
            settings = {"auth": "tokens", "bootstrap_token_file": it.folder / "bootstrap"} | limits
            if settings["auth"] == "none":
                del settings["bootstrap_token_file"]
            manager = Manager(
                Settings(
                    listen=it.address,
                    http="",
                    database=f"sqlite:///{it.folder}/katib.db",
                    data=it.folder,
                    suggestion_address=f"unix:{it.sockets}/s-{{algorithm}}",
                    earlystopping_address=f"unix:{it.sockets}/e-{{algorithm}}",
                    **settings,
                )
            )
            stack.callback(manager.stop)
            manager.start()
            secrets = {"": ""}
            if settings["auth"] != "none":
                secrets["bootstrap"] = (it.folder / "bootstrap").read_text().strip()
            return Guarded(it, manager, secrets)

        yield start
