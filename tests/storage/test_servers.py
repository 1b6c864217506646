"""MariaDB and MySQL keep the contract."""

from contextlib import closing

import pytest
from sqlalchemy import make_url

from katib.domain.errors import UnavailableError
from katib.manager.ports import StudyFilter
from katib.manager.storage.open import open_storage
from tests.storage import servers
from tests.storage.builders import add, make_spec, make_study
from tests.storage.contract.all import StorageContract
from tests.storage.contract.shared import SharedDatabaseContract

PASSWORD = "p@ss/w:rd%'\"#?éł"


class TestServerStorage(StorageContract):
    @pytest.fixture
    def storage(self, server_url):
        storage = open_storage(server_url)
        yield storage
        storage.close()


class TestServerShared(SharedDatabaseContract):
    @pytest.fixture
    def url(self, server_url):
        return server_url


@pytest.mark.parametrize("kind", servers.KINDS)
def test_each_kind_is_what_it_is_called(kind, request):
    with servers.connect(request.getfixturevalue(f"{kind}_url")) as cursor:
        cursor.execute("SELECT VERSION()")
        (version,) = cursor.fetchone()
        assert ("MariaDB" in version) == (kind == "mariadb"), version


@pytest.mark.parametrize("kind", servers.KINDS)
def test_a_user_with_a_password_is_let_in_without_encryption(kind):
    """MySQL's own way of asking for a password sends it encrypted with the server's key then."""
    with servers.started(kind) as server:
        url = make_url(server.create_database("katib"))
        with closing(server.connect()) as root, root.cursor() as cursor:
            # Of what a password may have in it, some have a meaning in an address or a statement.
            cursor.execute("CREATE USER katib@'%%' IDENTIFIED BY %s", (PASSWORD,))
            cursor.execute("GRANT ALL ON katib.* TO katib@'%'")
        for _ in range(2):
            # The second time the server remembers the password.
            address = url.set(username="katib", password=PASSWORD)
            with closing(open_storage(address.render_as_string(hide_password=False))) as storage:
                storage.ping()
        wrong = address.set(password="other")
        with pytest.raises(UnavailableError, match="correct user and password"):
            open_storage(wrong.render_as_string(hide_password=False))


@pytest.mark.parametrize("kind", servers.KINDS)
def test_what_a_server_is_set_to_for_others_changes_nothing(kind):
    settings = {"sql_mode": "ANSI,NO_BACKSLASH_ESCAPES", "completion_type": "CHAIN", "autocommit": "0"}
    name = "a\\\"b'"
    with servers.started(kind, **settings) as server, closing(open_storage(server.create_database("katib"))) as storage:
        study = storage.create_study(make_study(spec=make_spec(name=name)))
        add(storage, study)
        (found,) = storage.list_studies(StudyFilter(), 9, "").items
        assert (found.spec.name, found.suggested) == (name, 1)
