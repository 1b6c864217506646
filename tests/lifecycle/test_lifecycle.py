"""Every promise of the lifecycle, against random interleavings of calls, events, failures and restarts.

`make test` looks at a few; the slow ones are many. To hunt, raise `max_examples`; an example that failed is kept in
`.hypothesis` and tried first the next time.
"""

import itertools
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from katib.api import rpc
from katib.api.api_pb2_grpc import add_ManagerServicer_to_server
from katib.api.client import ManagerClient
from katib.domain import names
from katib.domain.errors import UnavailableError
from katib.manager.controller import output
from katib.manager.ports import Storage
from katib.manager.server import SERVICE
from katib.manager.servicer import ManagerServicer
from katib.manager.storage.open import open_storage
from tests.examples import examples
from tests.lifecycle.machine import Lifecycle
from tests.lifecycle.world import Crash, Manager

EVERYTHING = settings(
    stateful_step_count=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


class InMemory(Lifecycle):
    def open_storage(self) -> Storage:
        return open_storage("memory://")


class OnDisk(Lifecycle):
    """`copy` gives the path of an empty database with its schema."""

    copy: Callable[[], Path]

    def open_storage(self) -> Storage:
        self.path = type(self).copy()
        return open_storage(f"sqlite:///{self.path}")

    def nothing_left(self) -> bool:
        self.close()
        database = sqlite3.connect(self.path)
        try:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            assert {"studies", "trials", "observations"} <= tables
            rows = {t: database.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in tables}
        finally:
            database.close()
        return {t for t, count in rows.items() if count} <= {"managers", "alembic_version", "deleted_studies"}


class Called:
    """The service of the manager whose turn it is."""

    def __init__(self) -> None:
        self.manager: Manager | None = None

    def __getattr__(self, name: str) -> Any:
        manager = self.manager
        assert manager is not None

        def call(*arguments: Any, **named: Any) -> Any:
            try:
                return getattr(manager.service, name)(*arguments, **named)
            except Crash:
                manager.world.crash(manager)
                raise UnavailableError("the manager was killed in the middle of it") from None

        return call


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Output is taken in line by line, so that a pass finds the end of a run and not the end of what it printed."""
    monkeypatch.setattr(output, "OUTPUT_BYTES", 8)


@pytest.fixture(autouse=True)
def ids_that_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hypothesis begins each example with the same state of `random`: an example that failed fails again."""
    monkeypatch.setattr(names, "os", SimpleNamespace(urandom=random.randbytes))


@pytest.fixture
def on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[OnDisk]:
    template = tmp_path / "template.db"
    open_storage(f"sqlite:///{template}").close()
    numbers = itertools.count()
    monkeypatch.setattr(
        OnDisk, "copy", lambda: Path(shutil.copyfile(template, tmp_path / f"{next(numbers)}.db")), raising=False
    )
    return OnDisk


@pytest.fixture
def over_the_wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[type[Lifecycle]]:
    """Managers that are called through `ManagerClient`; they stand at its other end by turns."""
    address = f"unix:{tmp_path_factory.mktemp('wire')}/m"
    called = Called()
    server = rpc.Server((SERVICE,))
    add_ManagerServicer_to_server(ManagerServicer(called), server.grpc)  # type: ignore[arg-type, no-untyped-call]
    server.listen(address)
    server.start()
    with ManagerClient(address) as client:

        class OverTheWire(InMemory):
            def api(self, manager: Manager) -> Any:
                called.manager = manager
                return client

        yield OverTheWire
    server.drain(1)


def check(machine: type[Lifecycle], count: int) -> None:
    run_state_machine_as_test(machine, settings=settings(EVERYTHING, max_examples=count))


@pytest.mark.long
def test_whatever_comes_the_promises_hold_in_memory() -> None:
    check(InMemory, examples(150))


@pytest.mark.long
def test_whatever_comes_the_promises_hold_on_disk(on_disk: type[OnDisk]) -> None:
    check(on_disk, examples(30))


@pytest.mark.long
def test_whatever_comes_the_promises_hold_over_the_wire(over_the_wire: type[Lifecycle]) -> None:
    check(over_the_wire, examples(30))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_in_many_more_ways_in_memory() -> None:
    check(InMemory, 350)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_in_many_more_ways_on_disk(on_disk: type[OnDisk]) -> None:
    check(on_disk, 70)
