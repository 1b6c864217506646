"""The model store that goes with a storage."""

from katib.manager.models import ModelStore
from katib.manager.modelstore.memory import MemoryModelStore
from katib.manager.modelstore.sql import SqlModelStore
from katib.manager.ports import Storage
from katib.manager.storage.sql.storage import SqlStorage


def open_model_store(storage: Storage) -> ModelStore:
    """In the storage's database; in memory where the storage is."""
    return SqlModelStore(storage.database) if isinstance(storage, SqlStorage) else MemoryModelStore()
