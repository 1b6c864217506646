"""SQLite keeps the contract."""

import pytest

from katib.manager.storage.open import open_storage
from tests.storage.contract.all import StorageContract


class TestSqliteStorage(StorageContract):
    @pytest.fixture
    def storage(self, sqlite_url):
        storage = open_storage(sqlite_url)
        yield storage
        storage.close()
