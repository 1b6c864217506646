from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.certificates import Authority
from tests.e2e.harness import World, world


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
def stranger(tmp_path: Path) -> Authority:
    """Another one, which vouches for nobody that matters."""
    return Authority(tmp_path / "stranger")


@pytest.fixture
def katib(tmp_path: Path) -> Iterator[World]:
    """Nothing is started yet."""
    with world(tmp_path) as it:
        yield it
