"""From an address to a storage."""

from collections.abc import Callable
from typing import Final

from sqlalchemy import URL

from katib.manager.ports import Storage
from katib.manager.storage.memory import MemoryStorage
from katib.manager.storage.sql.database import Database
from katib.manager.storage.sql.engine import make_engine, parse_url, shown_url, with_password_file
from katib.manager.storage.sql.file import OpenFile, prepare_file
from katib.manager.storage.sql.migrate import prepare
from katib.manager.storage.sql.storage import SqlStorage

MEMORY_URL: Final = "memory://"


def open_storage(url: str, *, upgrade: bool = True) -> Storage:
    """Opens `sqlite:///PATH` (created with its folder), `mysql+pymysql://USER:PASSWORD@HOST:PORT/DATABASE` or `memory://`.

    An older schema is brought to this program's, or with `upgrade=False` refused.

    Raises InvalidArgumentError for any other address, and else as `Opening.open` does.
    """
    opening = Opening(url)
    try:
        opening.open(upgrade=upgrade)
    except BaseException:
        opening.storage.close()
        raise
    return opening.storage


class Opening:
    """A storage from the moment when its address is known: it may be handed round at once, and every call of it is an
    UnavailableError with the reason until its database has been opened."""

    def __init__(self, url: str, told: Callable[[], None] | None = None, password_file: str = "") -> None:
        """`told()` is called, from any thread, when the database is found or lost, and must return at once. `password_file` has
        what the address then does not.

        Raises InvalidArgumentError for an address of nothing that we know, and for a file that cannot be read.
        """
        self._sql = None if url == MEMORY_URL else _Sql(_address(url, password_file), told)
        self.storage: Final[Storage] = MemoryStorage() if self._sql is None else self._sql.storage

    @property
    def there(self) -> bool:
        """Whether the database can be used, as far as is known."""
        return self._sql is None or self._sql.database.presence.there

    def open(self, *, upgrade: bool = True) -> None:
        """Tries once; opened already: nothing happens.

        Raises UnavailableError when the database cannot be reached or used now, which may mend itself; FailedPreconditionError
        when it is none that this program may use, or a file that cannot be had. A password never appears in an error.
        """
        if self._sql is not None:
            self._sql.open(upgrade)

    def wait(self, then: Callable[[], None]) -> bool:
        """Tries `open` and `then` until neither raises UnavailableError, without end but for `close` of the storage: False
        then. Raises what else they raise."""

        if self._sql is None:
            then()
            return True
        presence = self._sql.database.presence

        def both() -> None:
            self.open()
            # What `then` could not do is a reason that only somebody who looks takes back, and nobody else looks meanwhile.
            if not presence.there:
                presence.look()
            then()

        return presence.seek(both)


def _address(url: str, password_file: str) -> URL:
    address = parse_url(url)
    return with_password_file(address, password_file) if password_file else address


class _Sql:
    def __init__(self, address: URL, told: Callable[[], None] | None) -> None:
        self._address = address
        self._where = shown_url(address)
        self._opened = False
        self._told = told or (lambda: None)
        self.database: Final = Database(make_engine(address), self._where, self._tell)
        self.storage: Final = SqlStorage(self.database)
        self.database.presence.awaited()

    def open(self, upgrade: bool) -> None:
        if self._opened:
            return
        if self._address.drivername == "sqlite":
            prepare_file(self._address)
        prepare(self._address, self._where, upgrade=upgrade)
        if self._address.drivername == "sqlite":
            self.database.watch(OpenFile(self._address, self._where))
        self.database.presence.found()
        self.storage.deletions.finish()
        self.storage.deletions.begin()
        self._opened = True

    def _tell(self) -> None:
        if self.database.presence.there:
            # Removals that the database's absence has broken off.
            self.storage.deletions.look()
        self._told()
