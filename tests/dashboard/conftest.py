"""The pages in this process, in front of a katib-local that runs beside the tests."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from katib.dashboard.app import create_app
from tests.e2e.harness import World, finished, study, world

# Markup that would run, or break a page, if it were ever taken for any.
HOSTILE = "<script>alert('x')</script><b a=\"1\">&amp;"


@pytest.fixture(scope="session")
def katib(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("katib")) as it:
        it.local("--dashboard", "127.0.0.1:0")
        yield it


@pytest.fixture(scope="session")
def ended(katib: World) -> str:
    """A study of four trials that has ended, under a hostile name and owner; the first trial's log is hostile too."""
    script = "echo \"<script>alert('log')</script>\"; echo acc=0.1; echo loss=2; echo acc=$x"
    with katib.client() as client:
        spec = study(HOSTILE, script, owner=HOSTILE, metrics=("loss",), limits={"max_trials": 4, "max_parallel": 2})
        study_id = client.create_study(spec)
        finished(client, study_id)
    return study_id


@pytest.fixture
def pages(katib: World) -> Iterator[TestClient]:
    with TestClient(create_app(katib.address), base_url="http://localhost") as client:
        yield client
