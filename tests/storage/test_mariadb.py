"""MariaDB keeps the contract."""

import pytest

from katib.manager.storage.open import open_storage
from tests.storage.contract.all import StorageContract


class TestMariaDbStorage(StorageContract):
    @pytest.fixture
    def storage(self, mariadb_url):
        storage = open_storage(mariadb_url)
        yield storage
        storage.close()
