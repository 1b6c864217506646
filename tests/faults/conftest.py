"""Worlds and database servers for the tests of faults."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import World, world
from tests.storage import servers


@pytest.fixture
def katib(tmp_path: Path) -> Iterator[World]:
    """Nothing is started yet."""
    with world(tmp_path) as it:
        yield it


@pytest.fixture
def server() -> Iterator[servers.Server]:
    """A database server of this test's own, which it may stop, kill and freeze."""
    with servers.started() as it:
        yield it
