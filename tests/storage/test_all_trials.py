"""Lists of everybody's trials: what they pass over is gone through in pieces, however much it is."""

from contextlib import closing

import pytest

from katib.manager.ports import TrialFilter
from katib.manager.storage.open import open_storage
from katib.manager.storage.sql import all_trials
from tests.storage import servers
from tests.storage.builders import (
    COMPLETED,
    KILLED,
    RUNNING,
    add,
    completed,
    go,
    ids,
    later,
    make_spec,
    make_study,
    new_trials,
    running,
)
from tests.storage.test_cost import RowCounter


@pytest.fixture(params=["sqlite", *servers.KINDS])
def storage(request):
    with closing(open_storage(request.getfixturevalue(f"{request.param}_url"))) as storage:
        yield storage


def all_pages(storage, filter_, size):
    pages = [storage.list_trials(filter_, size, "")]
    while pages[-1].next_token:
        pages.append(storage.list_trials(filter_, size, pages[-1].next_token))
    return pages


@pytest.mark.parametrize("search_s", [0.0, 60.0])
def test_what_lies_pieces_apart_is_found_whole_once_and_in_order(storage, monkeypatch, search_s):
    monkeypatch.setattr(all_trials, "_PIECE", 4)
    monkeypatch.setattr(all_trials, "_SEARCH_S", search_s)
    mine, others = (storage.create_study(make_study(spec=make_spec(owner=name))) for name in ("ann", "bob"))
    for _ in range(3):
        completed(storage, others, *([0.1] * 9))
        go(storage, *running(storage, mine, 2), to=KILLED)
        add(storage, others)
    everybodys = [t for page in all_pages(storage, TrialFilter(), 100) for t in page.items]
    assert len(everybodys) == 36
    for filter_ in (
        TrialFilter(states=frozenset({KILLED})),
        TrialFilter(visible_to=frozenset({"ann"})),
        TrialFilter(states=frozenset({COMPLETED, KILLED}), visible_to=frozenset({"ann", "eve"})),
    ):
        for size in (1, 2, 100):
            found = [t for page in all_pages(storage, filter_, size) for t in page.items]
            assert ids(found) == ids(t for t in everybodys if t.state is KILLED)
    for filter_ in (TrialFilter(states=frozenset({RUNNING})), TrialFilter(visible_to=frozenset({"eve"}))):
        assert [t for page in all_pages(storage, filter_, 100) for t in page.items] == []


def test_a_search_that_takes_long_gives_what_it_has_found_and_where_to_go_on(server_url, monkeypatch):
    """A single statement would be given up after ten seconds, for everybody."""
    monkeypatch.setattr(all_trials, "_PIECE", 20)
    monkeypatch.setattr(all_trials, "_SEARCH_S", 0.0)
    counter = RowCounter(server_url)
    with closing(open_storage(server_url)) as storage:
        study = storage.create_study(make_study())
        oldest = running(storage, study)
        for i in range(40):
            storage.add_trials(study.id, 1 + 10 * i, new_trials(10), later(i))
        found = []
        cost, _ = counter.cost(
            lambda: found.append(storage.list_trials(TrialFilter(states=frozenset({RUNNING})), 10, ""))
        )
        (page,) = found
        assert list(page.items) == []
        assert page.next_token
        assert cost < 150
        assert ids(t for p in all_pages(storage, TrialFilter(states=frozenset({RUNNING})), 10) for t in p.items) == ids(
            oldest
        )
