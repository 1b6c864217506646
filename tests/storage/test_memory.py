"""The storage in memory keeps the contract."""

import pytest

from katib.manager.storage.open import open_storage
from tests.storage.contract.all import StorageContract


class TestMemoryStorage(StorageContract):
    @pytest.fixture
    def storage(self):
        storage = open_storage("memory://")
        yield storage
        storage.close()
