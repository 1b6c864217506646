"""The model store that a manager is told to use, and its deliveries."""

from contextlib import suppress
from typing import Final

from katib.domain.errors import InvalidArgumentError
from katib.manager.models import Deliveries, ModelStore
from katib.manager.modelstore.memory import MemoryDeliveries, MemoryModelStore
from katib.manager.modelstore.sql import SqlModelStore
from katib.manager.ports import Storage
from katib.manager.settings import hide_password
from katib.manager.storage.memory import MemoryStorage
from katib.manager.storage.sql.deliveries import SqlDeliveries
from katib.manager.storage.sql.storage import SqlStorage

DATABASE: Final = "database"
_MLFLOW: Final = "mlflow+"


def open_model_store(storage: Storage, where: str = DATABASE) -> ModelStore:
    """`database`: the storage's own; in memory where the storage is. `mlflow+http://HOST:PORT`, or `mlflow+https://…`: an
    MLflow tracking server, which need not be there yet.

    Raises InvalidArgumentError for anything else.
    """
    if where == DATABASE:
        return SqlModelStore(storage.database) if isinstance(storage, SqlStorage) else MemoryModelStore()
    if where.startswith((_MLFLOW + "http://", _MLFLOW + "https://")):
        from katib.manager.modelstore.mlflow import MlflowModelStore  # only where it is used

        # What else is wrong with the address, its reason may quote its password.
        with suppress(ValueError):
            return MlflowModelStore(where.removeprefix(_MLFLOW), storage)
    raise InvalidArgumentError.of(
        "--model-store",
        hide_password(where),
        "expected database, or mlflow+http://HOST:PORT (mlflow+https://… with TLS), with a path behind it at most",
    )


def open_deliveries(storage: Storage) -> Deliveries:
    """In the storage's database; in memory where the storage is."""
    if isinstance(storage, SqlStorage):
        return SqlDeliveries(storage.database)
    assert isinstance(storage, MemoryStorage)
    return MemoryDeliveries(storage)
