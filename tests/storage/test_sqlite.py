"""SQLite keeps the contract."""

import pytest

from katib.manager.storage.open import open_storage
from tests.storage.contract.all import StorageContract
from tests.storage.contract.shared import SharedDatabaseContract


class TestSqliteStorage(StorageContract):
    @pytest.fixture
    def storage(self, sqlite_url):
        storage = open_storage(sqlite_url)
        yield storage
        storage.close()


class TestSqliteShared(SharedDatabaseContract):
    @pytest.fixture
    def url(self, sqlite_url):
        return sqlite_url
