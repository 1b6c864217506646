"""The writer: what shares a commit, and what becomes of the others when one fails."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import pytest
from sqlalchemy import make_url

from katib.domain.errors import AbortedError, FailedPreconditionError, UnavailableError
from katib.domain.study import Study
from katib.manager.ports import StudyFilter
from katib.manager.storage.open import open_storage
from katib.manager.storage.sql import engine, studies
from tests.e2e.harness import until
from tests.storage import servers
from tests.storage.builders import NOW, make_study, new_trials
from tests.storage.proxy import cutting_proxy


@pytest.fixture(params=["sqlite", *servers.KINDS])
def url(request):
    return request.getfixturevalue(f"{request.param}_url")


@pytest.fixture
def storage(url):
    storage = open_storage(url)
    yield storage
    storage.close()


def stored(storage, study: Study) -> bool:
    page = storage.list_studies(StudyFilter(id_prefix=study.id), 1, "")
    return bool(page.items)


def together(storage, *functions, through=None):
    """Queues the functions while the writer is at another one, so that they come to it in one batch. What each gave back or
    raised. `through`: what makes a write of one, in place of `Database.write`."""
    entered, go_on = threading.Event(), threading.Event()

    def hold(_session):
        entered.set()
        assert go_on.wait(30)

    def write(function):
        try:
            return (through or storage.database.write)(function)
        except Exception as error:  # noqa: BLE001  # it is what the test looks at
            return error

    with ThreadPoolExecutor(len(functions) + 1) as pool:
        held = pool.submit(storage.database.write, hold)
        assert entered.wait(30)
        futures = []
        group = storage.database._writer._group
        for i, function in enumerate(functions, start=1):
            futures.append(pool.submit(write, function))
            for _ in range(10000):
                if group.waiting == i:
                    break
                threading.Event().wait(0.001)
        go_on.set()
        held.result(30)
        return [future.result(60) for future in futures]


def create(study: Study):
    return lambda session: studies.create_study(session, study)


def test_what_is_queued_together_is_committed_together(storage):
    made = [make_study() for _ in range(5)]
    transactions = []

    def remember(study):
        def function(session):
            transactions.append(session)
            return studies.create_study(session, study)

        return function

    assert together(storage, *map(remember, made)) == made
    assert len(set(map(id, transactions))) == 1
    assert all(stored(storage, study) for study in made)


def test_one_that_refuses_before_it_writes_costs_the_others_nothing(storage):
    made = [make_study() for _ in range(2)]
    calls = []

    def refuse(_session):
        calls.append(1)
        raise FailedPreconditionError("not now")

    first, refused, second = together(storage, create(made[0]), refuse, create(made[1]))
    assert (first, second) == tuple(made)
    assert isinstance(refused, FailedPreconditionError)
    # Nothing had to be run again.
    assert len(calls) == 1


@pytest.mark.parametrize("error", [ZeroDivisionError, FailedPreconditionError, AbortedError])
def test_one_that_fails_after_it_has_written_fails_alone(storage, error):
    made = [make_study() for _ in range(3)]
    calls = []

    def fail(session):
        calls.append(1)
        studies.create_study(session, made[1])
        raise error("after the fact")

    first, failed, second = together(storage, create(made[0]), fail, create(made[2]))
    assert (first, second) == (made[0], made[2])
    assert isinstance(failed, error)
    assert [stored(storage, study) for study in made] == [True, False, True]
    assert len(calls) == 2


def test_a_broken_constraint_fails_only_the_one_that_broke_it(storage):
    there = storage.create_study(make_study())
    made = [make_study() for _ in range(2)]
    first, failed, second = together(storage, create(made[0]), create(replace(made[0], id=there.id)), create(made[1]))
    assert (first, second) == tuple(made)
    assert "there is one of that id already" in str(failed)
    assert all(stored(storage, study) for study in made)


def test_those_who_subscribed_hear_of_a_batch_before_anybody_goes_on(storage):
    made = [make_study() for _ in range(4)]
    heard = []
    storage.subscribe(heard.append)
    together(storage, *map(create, made))
    assert sorted(heard) == sorted(study.id for study in made)


def test_a_listener_that_raises_stops_nothing(storage, caplog):
    heard = []

    def bad(_):
        raise ZeroDivisionError

    storage.subscribe(bad)
    storage.subscribe(heard.append)
    first, second = (storage.create_study(make_study()) for _ in range(2))
    assert heard == [first.id, second.id]
    assert "a listener" in caplog.text


def test_a_write_within_a_write_is_a_mistake_that_is_told(storage):
    study = storage.create_study(make_study())
    with pytest.raises(RuntimeError, match="must not wait"):
        storage.update_study(study.id, lambda s: storage.update_study(study.id, lambda t: t))


def test_closing_finishes_what_is_queued(storage):
    made = [make_study() for _ in range(20)]
    with ThreadPoolExecutor(20) as pool:
        futures = [pool.submit(storage.create_study, study) for study in made]
        for future in futures:
            future.result(30)
        storage.close()
    with pytest.raises(UnavailableError):
        storage.create_study(make_study())


class TestSqlite:
    def test_a_writer_of_another_process_is_waited_for(self, sqlite_url):
        storage = open_storage(sqlite_url)
        other = sqlite3.connect(make_url(sqlite_url).database, isolation_level=None, check_same_thread=False)
        with closing(other), closing(storage):
            other.execute("BEGIN IMMEDIATE")
            timer = threading.Timer(0.3, lambda: other.execute("ROLLBACK"))
            timer.start()
            study = storage.create_study(make_study())
            timer.join()
            assert stored(storage, study)

    def test_one_who_never_lets_go_makes_it_unavailable_and_nothing_is_stored(self, sqlite_url, monkeypatch):
        monkeypatch.setattr(engine, "_LOCK_TIMEOUT_S", 0.2)
        storage = open_storage(sqlite_url)
        other = sqlite3.connect(make_url(sqlite_url).database, isolation_level=None)
        made = [make_study() for _ in range(2)]
        with closing(other), closing(storage):
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(UnavailableError, match="busy"):
                storage.create_study(made[0])
            # Readers do not mind.
            assert not stored(storage, made[0])
            other.execute("ROLLBACK")
            storage.create_study(made[1])
        with closing(open_storage(sqlite_url)) as again:
            assert [stored(again, study) for study in made] == [False, True]


class TestMariaDb:
    @pytest.fixture
    def url(self, server_url):
        return server_url

    def test_a_connection_that_was_killed_while_idle_is_replaced(self, url, storage):
        study = storage.create_study(make_study())
        for kind in (storage.database.write, storage.database.read):
            ids = {kind(connection_id) for _ in range(3)}
            with servers.connect(url) as cursor:
                for id_ in ids:
                    cursor.execute(f"KILL {id_}")
        assert storage.update_study(study.id, lambda s: replace(s, message="after")).message == "after"
        assert storage.get_study(study.id).message == "after"

    def test_a_connection_that_is_lost_in_a_transaction_is_replaced_and_the_write_done_once(self, url, storage):
        study = make_study()
        runs = []

        def lose(session):
            runs.append(1)
            studies.create_study(session, study)
            if len(runs) == 1:
                with servers.connect(url) as cursor:
                    cursor.execute(f"KILL {connection_id(session)}")
            return studies.get_study(session, study.id)

        assert storage.database.write(lose) == study
        assert len(runs) == 2

    def test_a_deadlock_is_tried_again(self, url, storage):
        a, b = (storage.create_study(make_study()) for _ in range(2))
        other = open_storage(url)
        first_locks = threading.Barrier(2)
        runs = []

        def lock(first, second):
            waited = []

            def function(session):
                runs.append(1)
                studies.update_study(session, first.id, lambda s: replace(s, message=s.message + "."))
                if not waited:
                    waited.append(1)
                    first_locks.wait(10)
                studies.update_study(session, second.id, lambda s: replace(s, message=s.message + "."))

            return function

        with closing(other), ThreadPoolExecutor(2) as pool:
            futures = [
                pool.submit(storage.database.write, lock(a, b)),
                pool.submit(other.database.write, lock(b, a)),
            ]
            for future in futures:
                future.result(60)
        assert len(runs) == 3
        assert [storage.get_study(study.id).message for study in (a, b)] == ["..", ".."]

    @pytest.mark.parametrize("cut", ["before", "after"])
    def test_nothing_is_done_twice_when_the_connection_is_lost_during_commit(self, url, cut):
        address = make_url(url)
        with cutting_proxy(address.port) as proxy:
            storage = open_storage(str(address.set(port=proxy.port).render_as_string(hide_password=False)))
            with closing(storage):
                study = storage.create_study(make_study())
                heard = []
                storage.subscribe(heard.append)
                proxy.cut = cut
                with pytest.raises(UnavailableError, match="unknown"):
                    storage.add_trials(study.id, 0, new_trials(2), NOW)
                # It may have taken place, so who subscribed looks.
                assert heard == [study.id]
                assert storage.get_study(study.id).suggested == (2 if cut == "after" else 0)
                assert len(storage.unfinished_trials(study.id)) == (2 if cut == "after" else 0)
                # The next write has another connection.
                storage.update_study(study.id, lambda s: replace(s, message="on"))

    def test_a_server_that_goes_away_is_unavailable_and_used_again_when_it_is_back(self, url):
        address = make_url(url)
        with cutting_proxy(address.port) as proxy:
            storage = open_storage(str(address.set(port=proxy.port).render_as_string(hide_password=False)))
            with closing(storage):
                study = storage.create_study(make_study())
                writer, reader = storage.database.write(connection_id), storage.database.read(connection_id)
                proxy.refuse = True
                with servers.connect(url) as cursor:
                    for id_ in (writer, reader):
                        cursor.execute(f"KILL {id_}")
                for call in (
                    storage.ping,
                    lambda: storage.get_study(study.id),
                    lambda: storage.update_study(study.id, lambda s: replace(s, message="x")),
                ):
                    with pytest.raises(UnavailableError):
                        call()
                proxy.refuse = False
                until(lambda: answers(storage))
                assert storage.update_study(study.id, lambda s: replace(s, message="y")).message == "y"

    def test_what_does_not_fit_is_refused_and_never_cut_off(self, storage):
        study = storage.create_study(make_study())
        with pytest.raises(Exception, match="Data too long"):
            storage.update_study(study.id, lambda s: replace(s, reason="x" * 256))
        assert storage.get_study(study.id) == study


def answers(storage) -> bool:
    try:
        storage.ping()
    except UnavailableError:
        return False
    return True


def connection_id(session) -> int:
    session.execute("SELECT CONNECTION_ID()")
    return int(session._cursor.fetchone()[0])
