"""Databases for the tests of storages."""

import shutil
from contextlib import contextmanager

import pytest

from katib.manager.storage.open import open_storage
from tests.ports import free_port
from tests.storage import servers


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
    with _with_schema("mariadb") as url:
        yield url


@pytest.fixture(scope="session")
def mysql_server():
    with _with_schema("mysql") as url:
        yield url


@contextmanager
def _with_schema(kind):
    with servers.database_url(kind) as url:
        servers.drop_tables(url)
        open_storage(url).close()
        yield url


@pytest.fixture
def mariadb_url(mariadb_server):
    """The address of an empty database with its schema."""
    yield mariadb_server
    servers.empty(mariadb_server)


@pytest.fixture
def mysql_url(mysql_server):
    yield mysql_server
    servers.empty(mysql_server)


@pytest.fixture(params=servers.KINDS)
def server_url(request):
    """Of each kind of server."""
    return request.getfixturevalue(f"{request.param}_url")


@pytest.fixture
def unused_port():
    """A port of this host where nobody listens."""
    return free_port()


@pytest.fixture(params=["sqlite", *servers.KINDS])
def empty_url(request, tmp_path):
    """A database without a schema."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/empty.db"
        return
    url = request.getfixturevalue(f"{request.param}_url")
    servers.drop_tables(url)
    yield url
    # The next test finds the schema again.
    servers.drop_tables(url)
    open_storage(url).close()


def pytest_collection_modifyitems(items):
    """What needs a server of its own is not for all day: `make test-slow` has it."""
    for item in items:
        if "tests/storage/" in item.nodeid and any(kind in item.nodeid.lower() for kind in servers.KINDS):
            item.add_marker(pytest.mark.slow)
