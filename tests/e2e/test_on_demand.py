"""katib-local's services: each begins when it is first called, and nothing else does."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from katib.local import _OnDemand, _Service
from tests.e2e.harness import World, finished, study, wait_until_serving

HALTON = Path(__file__).parents[2] / "examples" / "custom-suggestion" / "package" / "katib_halton.py"


@contextmanager
def on_demand(*names: str) -> Iterator[tuple[_OnDemand, dict[str, str]]]:
    reading, writing = os.pipe()
    with tempfile.TemporaryDirectory(prefix="kt-") as folder:
        services = [_Service("katib.suggestion.server", name, Path(folder) / name) for name in names]
        standby = _OnDemand(lambda: services, reading, "WARNING")
        try:
            yield standby, {service.name: service.address for service in services}
        finally:
            standby.end()
            os.close(reading)
            os.close(writing)


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


@pytest.mark.long
def test_a_service_begins_with_the_first_call_and_no_other_one_does() -> None:
    before = children()
    with on_demand("random", "grid") as (standby, addresses):
        assert standby.asleep(addresses["random"])
        assert children() == before

        standby.wake(addresses["random"])

        wait_until_serving(addresses["random"])
        assert not standby.asleep(addresses["random"])
        assert standby.asleep(addresses["grid"])
        assert len(children() - before) == 1

        standby.wake(addresses["random"])
        assert len(children() - before) == 1
    assert children() == before


@pytest.mark.long
def test_a_service_begins_although_the_folder_of_its_socket_was_tidied_away() -> None:
    with on_demand("random") as (standby, addresses):
        Path(addresses["random"].removeprefix("unix:")).parent.rmdir()
        standby.wake(addresses["random"])
        wait_until_serving(addresses["random"])


def test_an_address_that_is_none_of_them_is_left_alone() -> None:
    before = children()
    with on_demand("random") as (standby, _):
        standby.wake("unix:/no/such/socket")

        assert not standby.asleep("unix:/no/such/socket")
        assert children() == before


def test_none_begins_once_it_has_ended() -> None:
    before = children()
    with on_demand("random") as (standby, addresses):
        standby.end()
        standby.wake(addresses["random"])

        assert children() == before


@pytest.mark.long
def test_an_algorithm_that_is_installed_while_it_runs_is_listed_and_begins_with_the_first_call(katib: World) -> None:
    installed = katib.folder / "site-packages"
    installed.mkdir()
    katib.environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(installed), os.environ.get("PYTHONPATH"))))
    katib.local()
    with katib.client() as client:
        assert "halton" not in {service.name for service in client.list_algorithms()}

        # What pip leaves of examples/custom-suggestion/package.
        shutil.copy(HALTON, installed)
        (installed / "katib_halton-1.0.dist-info").mkdir()
        (installed / "katib_halton-1.0.dist-info" / "METADATA").write_text("Name: katib-halton\nVersion: 1.0\n")
        (installed / "katib_halton-1.0.dist-info" / "entry_points.txt").write_text(
            "[katib.suggestions]\nhalton = katib_halton:Halton\n"
        )

        assert [service.serving for service in client.list_algorithms() if service.name == "halton"] == [True]
        assert finished(client, client.create_study(study(algorithm="halton"))).completed == 4
