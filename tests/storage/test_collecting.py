"""What a failed call leaves behind is collected by any thread, at any moment: that must not wait for the call's connection."""

import gc
import threading
import time
from contextlib import closing, suppress

import pytest
from sqlalchemy import insert

from katib.domain.errors import AlreadyExistsError
from katib.manager.storage.open import open_storage
from katib.manager.storage.sql.statement import Statement
from katib.manager.storage.sql.tables import secrets

# Less than a wait for the lock of a file.
SOON_S = 5
_INSERT = Statement(insert(secrets))


def put(session):
    session.write(_INSERT, name="a", value="b")


def fail_in_write(storage):
    storage.database.write(put)


def fail_in_read(storage):
    storage.database.read(put)


@pytest.fixture
def _nothing_is_collected():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.long
@pytest.mark.parametrize("fail", [fail_in_write, fail_in_read])
@pytest.mark.usefixtures("_nothing_is_collected")
def test_collecting_while_one_holds_the_files_lock_waits_for_nobody_who_waits_for_it(sqlite_url, fail):
    with closing(open_storage(sqlite_url)) as holder, closing(open_storage(sqlite_url)) as other:
        other.database.write(put)
        try:
            fail(other)
        except AlreadyExistsError as error:
            # As of an error that somebody keeps with what it leads to.
            cycle = [error]
            cycle.append(cycle)
            del error, cycle
        else:
            pytest.fail("it has not failed")

        def again():
            with suppress(AlreadyExistsError):
                fail(other)

        waits = threading.Thread(target=again, daemon=True)
        took = []

        def hold(_session):
            waits.start()
            # Until it waits for the lock.
            time.sleep(0.3)
            began = time.monotonic()
            gc.collect()
            took.append(time.monotonic() - began)

        holder.database.write(hold)
        waits.join(30)
        assert took[0] < SOON_S
