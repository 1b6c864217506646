from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.controller.desk import OTHER, Desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    it = Desk(tmp_path)
    yield it
    it.close()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Desk]:
    """Another manager of the same database and the same runs."""
    it = Desk(tmp_path, OTHER)
    yield it
    it.close()
