"""Model stores of every kind, each with the storage that it goes with."""

import os
import uuid
from contextlib import closing

import pytest

from katib.manager.modelstore.open import open_model_store
from katib.manager.storage.open import open_storage
from tests.modelstore import mlflow
from tests.storage import servers
from tests.storage.conftest import (  # noqa: F401  # fixtures
    _sqlite_template,
    mariadb_server,
    mariadb_url,
    mysql_server,
    mysql_url,
    sqlite_url,
    unused_port,
)

KINDS = ["memory", "sqlite", *servers.KINDS, "mlflow"]


@pytest.fixture(scope="session")
def mlflow_address():
    given = os.environ.get("KATIB_TEST_MLFLOW")
    if given:
        yield given
        return
    with mlflow.started() as server:
        yield server.address


@pytest.fixture
def storage_url(request, kind):
    if kind in ("memory", "mlflow"):
        return "memory://" if kind == "memory" else request.getfixturevalue("sqlite_url")
    return request.getfixturevalue(f"{kind}_url")


@pytest.fixture
def storage(storage_url):
    with closing(open_storage(storage_url)) as storage:
        yield storage


@pytest.fixture
def where(request, kind):
    """The setting that names the store."""
    return f"mlflow+{request.getfixturevalue('mlflow_address')}" if kind == "mlflow" else "database"


@pytest.fixture
def store(storage, where):
    with closing(open_model_store(storage, where)) as store:
        yield store


@pytest.fixture
def project():
    """A name of its own: an MLflow server serves many tests."""
    return f"digits-{uuid.uuid4().hex[:12]}"


def pytest_generate_tests(metafunc):
    if "kind" in metafunc.fixturenames:
        slow = {*servers.KINDS, "mlflow"}
        kinds = [pytest.param(kind, marks=pytest.mark.slow) if kind in slow else kind for kind in KINDS]
        metafunc.parametrize("kind", kinds)
