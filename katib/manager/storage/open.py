"""From an address to a storage."""

from katib.manager.ports import Storage
from katib.manager.storage.memory import MemoryStorage
from katib.manager.storage.sql.database import Database
from katib.manager.storage.sql.deletion import finish_deletions
from katib.manager.storage.sql.engine import create_folder, make_engine, parse_url, shown_url
from katib.manager.storage.sql.migrate import prepare
from katib.manager.storage.sql.storage import SqlStorage

MEMORY_URL = "memory://"


def open_storage(url: str, *, upgrade: bool = True) -> Storage:
    """Opens `sqlite:///PATH` (created with its folder), `mysql+pymysql://USER:PASSWORD@HOST:PORT/DATABASE` or `memory://`.

    An older schema is brought to this program's, or with `upgrade=False` refused.

    Raises InvalidArgumentError for any other address, UnavailableError when the database cannot be reached now, and
    FailedPreconditionError when it can, but is none that this program may use. A password never appears in an error.
    """
    if url == MEMORY_URL:
        return MemoryStorage()
    address = parse_url(url)
    shown = shown_url(address)
    if address.drivername == "sqlite":
        create_folder(address)
    prepare(address, shown, upgrade=upgrade)
    database = Database(make_engine(address), shown)
    finish_deletions(database)
    return SqlStorage(database)
