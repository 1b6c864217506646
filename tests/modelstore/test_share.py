"""Of several managers one keeps a study's models, whoever of them its clients speak to."""

import threading
from collections import Counter
from contextlib import ExitStack, closing
from datetime import timedelta

import pytest

from katib.domain.errors import UnavailableError
from katib.manager.controller.claims import Identity
from katib.manager.keeper import Keeper
from katib.manager.modelstore.open import open_deliveries, open_model_store
from katib.manager.ports import ManagerRecord
from katib.manager.share import Patience, Share
from katib.manager.storage.open import open_storage
from tests.modelstore.keeping import QUICK, end, kept, worker
from tests.modelstore.test_keeper import until
from tests.storage.builders import make_spec, make_study

__all__ = ["worker"]

LONG_S = 60.0


class Manager:
    """What one has of the store, and for how many trials it has given that a record."""

    def __init__(self, id_, url, worker, stack, lease_s=LONG_S):
        self.id = id_
        self.storage = stack.enter_context(closing(open_storage(url)))
        self.store = open_model_store(self.storage)
        self.given = Counter()
        self.fails = False
        keep = self.store.keep

        def counting(study, finished):
            if self.fails:
                raise UnavailableError("not from here")
            keep(study, finished)
            self.given.update(of.trial.id for of in finished)

        self.store.keep = counting
        self.identity = Identity(ManagerRecord(id_, f"host of {id_}", ""))
        self.share = Share(self.identity, self.storage, lease_s)
        self.storage.heartbeat(self.identity.record)
        self.keeper = Keeper(self.storage, self.store, open_deliveries(self.storage), worker, self.share, pace=QUICK)
        stack.callback(self.keeper.close)

    def study(self, **fields):
        return self.storage.create_study(make_study(manager=self.id, **fields))


@pytest.fixture
def managers(sqlite_url, worker):
    with ExitStack() as stack:
        yield [Manager(letter * 16, sqlite_url, worker, stack) for letter in "abc"]


def test_what_the_clients_of_several_managers_have_ended_is_kept_by_the_study_s_driver_alone(managers, worker):
    driver = managers[1]
    study = driver.study()
    for it in managers:
        # However long that one takes.
        it.keeper._left_to_others = Patience(LONG_S)
        it.keeper.start()
    ended = []
    threads = [
        threading.Thread(target=lambda it=it: ended.extend(end(it.storage, worker, study, *[0.5] * 5)))
        for it in managers
    ]
    # One after the other: clients that ask at the same moment are refused by each other's numbers.
    for thread in threads:
        thread.start()
        thread.join()
    # Its controller tells it of what others have written.
    driver.keeper.wake(study.id)
    until(lambda: driver.store.saved_studies() and len(kept(driver.store)) == 15)
    until(lambda: open_deliveries(driver.storage).behind(driver.store.name, worker.placement, 9) == [])
    assert driver.given == Counter(trial.id for trial in ended)
    assert [it.given.total() for it in managers] == [0, 15, 0]


def test_a_study_whose_driver_has_gone_has_one_manager_among_those_that_live(managers):
    gone = [make_study(manager="gone") for _ in range(60)]
    ours = [[study.id for study in gone if it.share.is_ours(study)] for it in managers]
    assert sorted(study_id for some in ours for study_id in some) == sorted(study.id for study in gone)
    assert all(len(some) >= 5 for some in ours)
    # Their order is nobody's word: whoever goes leaves its part to the others, and these keep their own.
    managers[2].storage.release(managers[2].id)
    left = Share(managers[0].identity, managers[0].storage, LONG_S)
    assert {study.id for study in gone if left.is_ours(study)} > set(ours[0])


def test_a_manager_that_has_been_silent_for_a_lease_has_no_part(sqlite_url, worker):
    with ExitStack() as stack:
        silent = Manager("a" * 16, sqlite_url, worker, stack)
        study = silent.study()
        other = Manager("b" * 16, sqlite_url, worker, stack, lease_s=0.2)
        until(lambda: other.storage.managers()[0].age > timedelta(seconds=0.2))
        assert other.share.is_ours(study)


def test_what_the_one_whose_part_it_is_cannot_keep_another_one_does(managers, worker):
    driver, *others = managers
    driver.fails = True
    study = driver.study(spec=make_spec(name="left"))
    trials = end(driver.storage, worker, study, 0.5, 0.25)
    for it in managers:
        it.keeper.start()
    until(lambda: others[0].store.saved_studies() and len(kept(others[0].store, "left")) == 2)
    assert sum((it.given for it in others), Counter()).keys() == {trial.id for trial in trials}
    assert not driver.given


def test_as_long_as_another_one_comes_forward_it_is_left_to_it():
    now = [0.0]
    patience = Patience(10.0, lambda: now[0])
    said = []
    for at, done in ((0, 1), (9, 1), (9.5, 2), (19, 2), (19.5, 2), (30, 3)):
        now[0] = at
        said.append(patience.is_over("s", done))
    assert said == [False, False, False, False, True, False]
    patience.only({"s"})
    now[0] = 40.0
    assert patience.is_over("s", 3)
    patience.only(set())
    assert not patience.is_over("s", 3)
