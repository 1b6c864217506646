from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import World, world


@pytest.fixture
def katib(tmp_path: Path) -> Iterator[World]:
    """Nothing is started yet."""
    with world(tmp_path) as it:
        yield it


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A katib-local that all tests share which leave it as it was: its services take seconds of a processor to start."""
    with world(tmp_path_factory.mktemp("running")) as it:
        it.local()
        yield it
