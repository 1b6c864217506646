"""Databases for the tests of storages."""

import shutil
import socket
from contextlib import closing

import pytest

from katib.manager.storage.open import open_storage
from tests.storage import mariadb


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory):
    """Making the schema takes longer than most tests."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    open_storage(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def sqlite_url(_sqlite_template, tmp_path):
    """The address of an empty database with its schema."""
    path = tmp_path / "katib.db"
    shutil.copyfile(_sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(scope="session")
def mariadb_server():
    """The address of a database that may be emptied."""
    with mariadb.database_url() as url:
        mariadb.drop_tables(url)
        open_storage(url).close()
        yield url


@pytest.fixture
def mariadb_url(mariadb_server):
    """The address of an empty database with its schema."""
    yield mariadb_server
    mariadb.empty(mariadb_server)


@pytest.fixture
def unused_port():
    """A port of this host where nobody listens."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(params=["sqlite", "mariadb"])
def empty_url(request, tmp_path):
    """A database without a schema."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/empty.db"
        return
    url = request.getfixturevalue("mariadb_url")
    mariadb.drop_tables(url)
    yield url
    # The next test finds the schema again.
    mariadb.drop_tables(url)
    open_storage(url).close()


def pytest_collection_modifyitems(items):
    """What needs a server of its own is not for all day: `make test-slow` has it."""
    for item in items:
        if "mariadb" in item.nodeid.lower() and "tests/storage/" in item.nodeid:
            item.add_marker(pytest.mark.slow)
