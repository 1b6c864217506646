"""Finished trials are read once: what is remembered is what a fresh reader reads."""

import random
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from katib.domain.errors import NotFoundError
from katib.domain.names import new_id
from katib.domain.parameters import Parameter, ParameterType
from katib.domain.trial import Tag, Trial
from katib.manager.storage.open import open_storage
from katib.manager.storage.sql.history import History, memory_of
from tests.storage import servers
from tests.storage.builders import (
    COMPLETED,
    KILLED,
    NOW,
    add,
    completed,
    go,
    ids,
    make_study,
    new_trials,
    recount,
    running,
)
from tests.storage.execute import execute


@pytest.fixture(params=["sqlite", *servers.KINDS])
def url(request):
    return request.getfixturevalue(f"{request.param}_url")


@pytest.fixture
def storage(url):
    with closing(open_storage(url)) as storage:
        yield storage


def test_trials_that_finish_anywhere_are_seen_at_once_and_in_order(url, storage):
    study = storage.create_study(make_study())
    trials = running(storage, study, 6)
    with closing(open_storage(url)) as other:
        for i, finisher in ((4, storage), (1, other), (5, storage), (0, other)):
            go(finisher, trials[i], to=KILLED if i % 2 else COMPLETED)
            for reader in (storage, other):
                found = reader.finished_trials(study.id)
                assert [t.number for t in found] == sorted(t.number for t in found)
                assert found == tuple(storage.get_trial(t.id) for t in found)
        with closing(open_storage(url)) as fresh:
            assert storage.finished_trials(study.id) == fresh.finished_trials(study.id)
            assert [t.number for t in storage.finished_trials(study.id)] == [1, 2, 5, 6]


def test_what_was_given_out_does_not_grow(storage):
    study = storage.create_study(make_study())
    completed(storage, study, 0.1)
    before = storage.finished_trials(study.id)
    completed(storage, study, 0.2)
    assert len(before) == 1


def test_a_study_that_is_gone_is_forgotten(storage):
    study = storage.create_study(make_study())
    completed(storage, study, 0.1)
    assert len(storage.finished_trials(study.id)) == 1
    storage.delete_study(study.id)
    with pytest.raises(NotFoundError):
        storage.finished_trials(study.id)
    storage.create_study(make_study(id=study.id))
    assert list(storage.finished_trials(study.id)) == []


def test_a_study_that_another_process_deleted_is_not_found(url, storage):
    study = storage.create_study(make_study())
    completed(storage, study, 0.1)
    storage.finished_trials(study.id)
    with closing(open_storage(url)) as other:
        other.delete_study(study.id)
    with pytest.raises(NotFoundError):
        storage.finished_trials(study.id)


def test_what_a_copy_that_was_put_back_does_not_have_is_forgotten(url, storage):
    """Though the study has gone on to the same revision and the same number of trials."""
    study = storage.create_study(make_study())
    completed(storage, study, 0.1)
    before = storage.get_study(study.id)
    forgotten = completed(storage, study, 0.2, 0.3)
    assert len(storage.finished_trials(study.id)) == 3
    there = storage.get_study(study.id).revision
    for trial in forgotten:
        execute(
            url,
            f"DELETE FROM observations WHERE trial_id = '{trial.id}'",
            f"DELETE FROM trials WHERE id = '{trial.id}'",
        )
    counters = f"revision = {before.revision}, suggested = 1, completed = 1, observed = {before.observed}"
    execute(url, f"UPDATE studies SET {counters} WHERE id = '{study.id}'")
    with closing(open_storage(url)) as other:
        again = completed(other, study, 0.4, 0.5)
        assert other.get_study(study.id).revision == there
        assert ids(storage.finished_trials(study.id)) == ids(other.finished_trials(study.id))
    assert ids(storage.finished_trials(study.id))[1:] == ids(again)
    completed(storage, study, 0.6)
    assert len(storage.finished_trials(study.id)) == 4


def test_more_than_it_may_remember_is_still_right(storage):
    most = 10_000
    history = History(storage.database, most=most)
    studies = [storage.create_study(make_study()) for _ in range(4)]
    made = {
        study.id: ids(completed(storage, study, *([0.5] * n))) for study, n in zip(studies, (2, 3, 4, 9), strict=True)
    }
    for study_id in (*made, *reversed(made), *made):
        assert ids(history.finished_trials(study_id)) == made[study_id]
        remembered = [known.trials for known in history._studies.values()]
        assert 0 < len(remembered) < 4
        assert sum(memory_of(trial) for trials in remembered for trial in trials) <= most


@pytest.mark.parametrize(
    "large",
    [
        {"parameters": tuple(Parameter(f"p{i}", ParameterType.DOUBLE, "0.25") for i in range(200))},
        {"tags": (Tag("memory", "x" * 30_000),)},
    ],
    ids=["parameters", "tags"],
)
def test_fewer_trials_are_remembered_where_they_are_large(storage, large):
    history = History(storage.database, most=100_000)
    for fields, remembered in (({}, True), (large, False)):
        study = storage.create_study(make_study())
        added = storage.add_trials(study.id, 0, new_trials(10, **fields), NOW)
        go(storage, *added, to=KILLED)
        assert len(history.finished_trials(study.id)) == 10
        assert (study.id in history._studies) is remembered


def test_what_a_trial_takes_is_known_well_enough():
    for count in (4, 100):
        numbers = range(count)
        tracemalloc.start()
        try:
            made = [
                Trial(
                    *(new_id(), "s" * 16, n, 1, COMPLETED),
                    tuple(Parameter(f"p{i}", ParameterType.DOUBLE, str(random.random())) for i in numbers),
                    *(NOW, n),
                )
                for n in range(200)
            ]
            taken, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert taken / 2 < sum(map(memory_of, made)) < 2 * taken


@pytest.mark.long
def test_readers_while_others_finish_trials_miss_none(storage):
    study = storage.create_study(make_study())
    ended = threading.Event()

    def finish():
        for _ in range(40):
            (trial,) = running(storage, study)
            go(storage, trial, to=COMPLETED)

    def read():
        seen = []
        while not ended.is_set():
            found = ids(storage.finished_trials(study.id))
            assert set(seen) <= set(found)
            seen = found

    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        finish()
        ended.set()
        for reader in readers:
            reader.result(60)
    assert len(storage.finished_trials(study.id)) == 40
    add(storage, study)
    recount(storage, study.id)
