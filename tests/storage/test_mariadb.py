"""MariaDB keeps the contract."""

import pytest

from katib.manager.storage.open import open_storage
from tests.storage.contract.all import StorageContract
from tests.storage.contract.shared import SharedDatabaseContract


class TestMariaDbStorage(StorageContract):
    @pytest.fixture
    def storage(self, mariadb_url):
        storage = open_storage(mariadb_url)
        yield storage
        storage.close()


class TestMariaDbShared(SharedDatabaseContract):
    @pytest.fixture
    def url(self, mariadb_url):
        return mariadb_url
