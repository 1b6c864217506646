"""A MariaDB in which somebody else holds a lock for long: on a study's row, as in an administrator's open transaction, or on
all tables, as a backup does."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest
from sqlalchemy import make_url, text

from katib.domain.errors import NotFoundError, UnavailableError
from katib.domain.study import StudyState
from katib.manager.changes import StudyChanges, StudyMove
from katib.manager.ports import ManagerRecord
from katib.manager.storage.open import open_storage
from katib.manager.storage.sql import engine, studies
from tests.storage import servers
from tests.storage.builders import make_study
from tests.storage.test_held import calls, report
from tests.storage.test_kept import Assumptions, begin, loop
from tests.storage.test_writer import together

pytestmark = pytest.mark.slow

# Far more than one wait for a lock, and far less than one for each of those who wait.
SOON_S = 9
ME = ManagerRecord("me", "h", "1")


@pytest.fixture
def storage(server_url):
    with closing(open_storage(server_url)) as it:
        yield it


@contextmanager
def locked(url, *studies):
    """Somebody holds the studies' rows."""
    with servers.connect(url) as cursor:
        for study in studies:
            cursor.execute("SELECT id FROM studies WHERE id = %s FOR UPDATE", (study.id,))
        yield


@contextmanager
def backup(url):
    with servers.connect(url) as cursor:
        cursor.execute("FLUSH TABLES WITH READ LOCK")
        yield
        cursor.execute("UNLOCK TABLES")


def touch(storage, study):
    """A pass's write."""
    storage.apply(study.id, StudyChanges(study=StudyMove(StudyState.RUNNING, f"{time.monotonic()}", "m")))


def test_a_study_that_is_locked_costs_its_manager_no_heartbeat(storage, server_url):
    study = storage.create_study(make_study(manager="me"))
    storage.heartbeat(ME)
    storage.create_study(make_study(manager="gone"))
    end, refused = threading.Event(), []

    def passes():
        while not end.is_set():
            try:
                touch(storage, study)
            except UnavailableError as error:
                refused.append(error)

    with ThreadPoolExecutor(3) as pool, locked(server_url, study):
        for _ in range(3):
            pool.submit(passes)
        try:
            took = []
            while len(refused) < 3:
                began = time.monotonic()
                storage.heartbeat(ME)
                storage.claim_studies("me", "", (), 10)
                storage.release("gone")
                took.append(time.monotonic() - began)
                time.sleep(0.1)
        finally:
            end.set()
    # Less than a wait for the lock.
    assert max(took) < engine._ROW_LOCK_TIMEOUT_S, took


def test_who_finds_its_study_locked_is_told_so_soon_and_runs_once(storage, server_url):
    study = storage.create_study(make_study())
    runs = []

    def function(session):
        runs.append(1)
        studies.lock_study(session, study.id)

    with locked(server_url, study):
        began = time.monotonic()
        with pytest.raises(UnavailableError, match="locked by another client"):
            storage.database.write(function)
        assert time.monotonic() - began < SOON_S
    assert len(runs) == 1
    touch(storage, study)


def test_writes_to_other_studies_in_the_same_batch_take_place(storage, server_url):
    held, free = (storage.create_study(make_study()) for _ in range(2))
    made = make_study()
    with locked(server_url, held):
        first, second, third = together(
            storage,
            lambda session: studies.create_study(session, made),
            lambda session: studies.lock_study(session, held.id),
            lambda session: studies.lock_study(session, free.id),
        )
    assert (first, third.study.id) == (made, free.id)
    assert isinstance(second, UnavailableError)
    assert storage.get_study(made.id) == made


def test_where_everything_is_locked_a_whole_batch_is_refused_soon(storage, server_url):
    held = [storage.create_study(make_study()) for _ in range(12)]
    with locked(server_url, *held):
        began = time.monotonic()
        errors = together(storage, *(lambda session, s=s: studies.lock_study(session, s.id) for s in held))
        assert time.monotonic() - began < SOON_S
    assert {isinstance(error, UnavailableError) for error in errors} == {True}


def test_while_a_backup_has_locked_all_tables_writes_are_refused_and_the_database_is_not_taken_to_be_away(
    storage, server_url
):
    study = storage.create_study(make_study())
    storage.heartbeat(ME)
    with backup(server_url):
        for write in (lambda: touch(storage, study), lambda: storage.heartbeat(ME)):
            began = time.monotonic()
            with pytest.raises(UnavailableError, match="backup"):
                write()
            assert time.monotonic() - began < SOON_S
            assert storage.database.presence.there
            assert storage.get_study(study.id) == study
        # None of ours is left waiting in the server.
        with servers.connect(server_url) as cursor:
            cursor.execute("SELECT state FROM information_schema.processlist WHERE state LIKE 'Waiting for%lock%'")
            assert cursor.fetchall() == ()
    touch(storage, study)
    storage.heartbeat(ME)


def test_what_could_not_commit_for_a_backup_is_undone(storage, server_url):
    study, written, go_on = make_study(), threading.Event(), threading.Event()

    def create(session):
        studies.create_study(session, study)
        written.set()
        assert go_on.wait(30)

    with ThreadPoolExecutor(1) as pool:
        creating = pool.submit(storage.database.write, create)
        assert written.wait(30)
        with backup(server_url):
            go_on.set()
            with pytest.raises(UnavailableError, match="backup"):
                creating.result(30)
    with pytest.raises(NotFoundError):
        storage.get_study(study.id)
    assert storage.create_study(study) == study


def test_a_migration_waits_for_its_tables_as_long_as_the_server_lets_it(server_url):
    def limit(migrating):
        it = engine.make_engine(make_url(server_url), migrating=migrating)
        with it.connect() as connection:
            seconds = connection.execute(text("SELECT @@lock_wait_timeout")).scalar_one()
        it.dispose()
        return seconds

    assert limit(migrating=False) == engine._TABLE_LOCK_TIMEOUT_S
    assert limit(migrating=True) >= 3600


def test_what_a_writer_knows_of_a_study_that_is_locked_makes_nobody_wait_twice(storage, server_url):
    study, trial = begin(storage)
    writer = storage.database._writer
    begun = []
    begin_transaction = writer._begin
    writer._begin = lambda: begun.append(time.monotonic()) or begin_transaction()
    watched = Assumptions(storage)
    with locked(server_url, study):
        refused = calls(storage, lambda: loop(storage, trial), report(storage, trial, 0.5))
        assert all(isinstance(error, UnavailableError) for error in refused)
        with pytest.raises(UnavailableError):
            loop(storage, trial)
    assert watched.made == 1
    # That which held them up until both had come, one for the two, and one for the last.
    assert len(begun) == 3
    assert [t.number for t in loop(storage, trial).given] == [2]
