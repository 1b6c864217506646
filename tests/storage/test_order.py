"""Managers whose writes come together for the same studies, in another order each, lock these in one order."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import pymysql
import pytest

from katib.domain.errors import UnavailableError
from katib.manager.storage.open import open_storage
from katib.manager.storage.sql import kept, order
from tests.storage import servers
from tests.storage.builders import add, make_study
from tests.storage.test_held import calls, complete, give, report
from tests.storage.test_kept import Assumptions, begin, loop
from tests.storage.test_locked import locked

pytestmark = pytest.mark.slow


@pytest.fixture
def storage(server_url):
    with closing(open_storage(server_url)) as it:
        yield it


@pytest.fixture
def made(storage):
    """In the order of their ids."""
    return sorted((storage.create_study(make_study()) for _ in range(3)), key=lambda study: study.id)


def while_the_first_is_locked(url, studies, storage, *functions):
    """The ids of those studies that nobody has locked while these calls, of one group, wait for the first of them."""
    with ThreadPoolExecutor(1) as pool:
        with locked(url, studies[0]):
            coming = pool.submit(calls, storage, *functions)
            wait_for_a_lock(url)
            free = [study.id for study in studies[1:] if is_free(url, study)]
        found = coming.result(60)
    assert not [error for error in found if isinstance(error, Exception)]
    return free


def wait_for_a_lock(url):
    deadline = time.monotonic() + 10
    with servers.connect(url) as cursor:
        while time.monotonic() < deadline:
            # The server looks anew only for who has not asked for a tenth of a second.
            time.sleep(0.15)
            cursor.execute("SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'")
            if cursor.fetchone()[0]:
                return
            cursor.execute("COMMIT")
    pytest.fail("nobody waits for the study that is locked")


def is_free(url, study):
    with servers.connect(url) as cursor:
        try:
            cursor.execute("SELECT id FROM studies WHERE id = %s FOR UPDATE NOWAIT", (study.id,))
        except pymysql.OperationalError:
            return False
    return True


def rename(storage, study):
    return lambda: storage.update_study(study.id, lambda s: replace(s, message="other"))


def ids(studies):
    return [study.id for study in studies]


def test_who_waits_for_a_study_has_locked_none_that_follows_it(storage, server_url, made):
    writes = [rename(storage, made[2]), give(storage, made[1], "c"), rename(storage, made[0])]
    assert while_the_first_is_locked(server_url, made, storage, *writes) == ids(made[1:])


def test_a_trial_that_another_manager_gave_is_known_to_be_its_study_s_before_anything_is_locked(
    server_url, storage, made
):
    with closing(open_storage(server_url)) as other:
        trials = [add(other, study, client_id="c", running=True)[0] for study in made]
        writes = [report(storage, trial, 0.5) for trial in reversed(trials)]
        assert while_the_first_is_locked(server_url, made, storage, *writes) == ids(made[1:])


def test_studies_that_are_assumed_to_be_as_they_were_are_locked_in_that_order_too(server_url, storage, monkeypatch):
    monkeypatch.setattr(kept, "_FRESH_S", 60.0)
    begun = sorted((begin(storage) for _ in range(3)), key=lambda pair: pair[0].id)
    watched = Assumptions(storage)
    studies = [study for study, _ in begun]
    writes = [lambda t=trial: loop(storage, t) for _, trial in begun]
    assert while_the_first_is_locked(server_url, studies, storage, *writes) == ids(studies[1:])
    assert (watched.made, watched.right) == (1, 1)


def test_a_deletion_and_what_becomes_of_its_study_beside_it_wait_for_one_another(server_url, storage, made):
    writes = [rename(storage, made[1]), lambda: storage.delete_study(made[0].id)]
    assert while_the_first_is_locked(server_url, made, storage, *writes) == ids(made[1:])


def test_what_is_written_of_a_trial_that_is_not_there_is_refused_and_the_others_are_done(storage, made):
    (trial,) = add(storage, made[1], client_id="c", running=True)
    gone = replace(trial, id="t000000000000000")
    refused, done, renamed = calls(storage, complete(storage, gone), complete(storage, trial), rename(storage, made[0]))
    assert "there is no trial t000000000000000" in str(refused)
    assert (done.id, renamed.message) == (trial.id, "other")


def test_the_writes_to_one_study_stay_in_the_order_in_which_they_came(storage, made):
    writes = [
        lambda s=study, i=i: storage.update_study(s.id, lambda now: replace(now, message=f"{now.message}{i}"))
        for i in range(4)
        for study in made
    ]
    calls(storage, *writes)
    assert [storage.get_study(study.id).message for study in made] == ["0123"] * 3


def test_of_which_study_a_trial_is_is_asked_once_and_only_beside_another_study(server_url, storage, made, monkeypatch):
    asked = []
    looked = order._studies_of
    monkeypatch.setattr(order, "_studies_of", lambda size: asked.append(size) or looked(size))
    with closing(open_storage(server_url)) as other:
        (first,) = add(other, made[0], client_id="c", running=True)
        (second,) = add(other, made[1], client_id="c", running=True)
    report(storage, first, 0.1)()
    calls(storage, report(storage, first, 0.2), report(storage, first, 0.3))
    calls(storage, report(storage, first, 0.4), rename(storage, made[1]))
    assert asked == []
    calls(storage, report(storage, second, 0.5), rename(storage, made[0]))
    calls(storage, report(storage, second, 0.6), rename(storage, made[0]))
    assert asked == [1]


def test_one_that_is_locked_for_long_refuses_its_own_writes_alone(server_url, storage, made):
    with locked(server_url, made[0]):
        renamed, refused = calls(storage, rename(storage, made[1]), rename(storage, made[0]))
    assert renamed.message == "other"
    assert isinstance(refused, UnavailableError)
