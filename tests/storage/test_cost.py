"""What a call costs does not grow with the study: every statement finds its rows by an index."""

import inspect
import time
import types
from contextlib import closing
from datetime import timedelta

import pytest
from sqlalchemy import bindparam, event, update

from katib.domain.study import StudyState
from katib.manager.changes import Giving, StudyChanges
from katib.manager.ports import ManagerRecord, StudyFilter, TrialFilter
from katib.manager.storage.open import open_storage
from katib.manager.storage.sql import (
    all_trials,
    changes,
    deletion,
    deliveries,
    locking,
    managers,
    models,
    observations,
    studies,
    tables,
    trials,
)
from katib.manager.storage.sql.database import Database
from katib.manager.storage.sql.engine import make_engine, parse_url
from katib.manager.storage.sql.rows import study_to_row
from katib.manager.storage.sql.statement import Statement
from katib.manager.storage.sql.storage import SqlStorage
from tests.storage import servers
from tests.storage.builders import (
    COMPLETED,
    NOW,
    PENDING,
    RUNNING,
    add,
    completed,
    go,
    intake,
    make_study,
    move,
    observe,
    running,
)


class RowCounter:
    """Rows and index entries that the server has read, by its own account."""

    def __init__(self, url):
        self._url = url

    def _read(self):
        with servers.connect(self._url) as cursor:
            cursor.execute("SHOW GLOBAL STATUS LIKE 'Handler\\_read\\_%'")
            # Not `rnd_next`: showing the status counts there.
            return sum(int(value) for name, value in cursor.fetchall() if not name.endswith("rnd_next"))

    def cost(self, call):
        before = self._read()
        call()
        return self._read() - before, 0


class Counter:
    """Steps of SQLite's virtual machine, and statements."""

    def __init__(self):
        self.steps = 0
        self.statements = []

    def watch(self, connection, _entry):
        connection.set_progress_handler(self.step, 1)
        connection.set_trace_callback(self.statements.append)

    def step(self):
        self.steps += 1

    def cost(self, call):
        self.steps = 0
        self.statements.clear()
        call()
        return self.steps, len(self.statements)


@pytest.fixture
def counter():
    return Counter()


@pytest.fixture
def storage(sqlite_url, counter):
    engine = make_engine(parse_url(sqlite_url))
    event.listen(engine, "connect", counter.watch)
    storage = SqlStorage(Database(engine, "test"))
    yield storage
    storage.close()


def costs(storage, counter, finished):
    """By name: the steps and the statements of each call to a study with so many finished trials."""
    study = storage.create_study(make_study(manager="m"))
    for start in range(0, finished, 250):
        oldest, *_ = completed(storage, study, *([0.1] * min(250, finished - start)))
    first, second, third = add(storage, study, 3)
    (first,) = go(storage, first, to=RUNNING)
    (left,) = add(storage, study, client_id="gone", running=True, lease=timedelta(milliseconds=1))
    time.sleep(0.02)
    revision = storage.get_study(study.id).revision
    storage.finished_trials(study.id)
    ended = StudyChanges(intakes=(intake(first, observe()),), moves=(move(first, COMPLETED), move(second, RUNNING)))
    found = {
        "apply": counter.cost(lambda: storage.apply(study.id, ended)),
        "report": counter.cost(lambda: storage.report(second.id, 0, [observe()] * 3)),
        "add": counter.cost(lambda: add(storage, study)),
        "finished, but for the first time": counter.cost(lambda: storage.finished_trials(study.id)),
        "get": counter.cost(lambda: storage.get_trial(third.id)),
        "unfinished": counter.cost(lambda: storage.unfinished_trials(study.id)),
        "whether there are some for a client": counter.cost(lambda: storage.has_trials_for(study.id, "c")),
        "whether some may be handed on": counter.cost(lambda: storage.has_leases(study.id)),
        "hand out": counter.cost(lambda: storage.hand_out(study.id, "c", 1, timedelta(hours=1), NOW)),
        "changed": counter.cost(lambda: storage.changed_trials(study.id, revision, 10)),
        "changed columns": counter.cost(lambda: storage.changed_columns(study.id, revision, 10)),
        "page": counter.cost(lambda: storage.list_trials(TrialFilter(study.id), 5, "")),
        "newest": counter.cost(lambda: storage.list_trials(TrialFilter(study.id, newest_first=True), 5, "")),
        "newest of all": counter.cost(lambda: storage.list_trials(TrialFilter(), 5, "")),
        "few states": counter.cost(
            lambda: storage.list_trials(TrialFilter(study.id, states=frozenset({RUNNING, PENDING})), 5, "")
        ),
        "number": counter.cost(lambda: storage.list_trials(TrialFilter(study.id, number=oldest.number), 5, "")),
        "number and states": counter.cost(
            lambda: storage.list_trials(
                TrialFilter(study.id, states=frozenset({COMPLETED}), number=second.number), 5, ""
            )
        ),
        "prefix": counter.cost(lambda: storage.list_trials(TrialFilter(study.id, oldest.id[:8]), 5, "")),
        "prefix and states": counter.cost(
            lambda: storage.list_trials(TrialFilter(study.id, oldest.id[:8], frozenset({RUNNING, COMPLETED})), 5, "")
        ),
        "prefix of all": counter.cost(lambda: storage.list_trials(TrialFilter(id_prefix=oldest.id[:8]), 5, "")),
        "observations": counter.cost(lambda: storage.list_observations(second.id, 0, (), 5, "")),
        "latest": counter.cost(lambda: storage.latest_observations(second.id, 5)),
        "renewal": counter.cost(lambda: storage.report(left.id, 2, [])),
        "driven": counter.cost(lambda: storage.driven_studies("m")),
        "studies": counter.cost(lambda: storage.list_studies(StudyFilter(), 5, "")),
        "algorithms": counter.cost(storage.algorithms_in_use),
    }
    storage.delete_study(study.id)
    return found


def test_what_a_client_is_given_costs_the_same_however_many_clients_have_died(storage, counter):
    study = storage.create_study(make_study())

    def cost(dead):
        add(storage, study, dead, client_id="gone", running=True, lease=timedelta(milliseconds=1))
        time.sleep(0.02)
        hand_out = counter.cost(lambda: storage.hand_out(study.id, f"c{dead}", 1, timedelta(hours=1), NOW))
        giving = Giving(study.id, f"d{dead}", 1, timedelta(hours=1), NOW, lambda _study, _lacking: ())
        give = counter.cost(lambda: storage.give_trials(giving))
        return hand_out, give

    (hand_out, give), (hand_out_of_many, give_of_many) = cost(100), cost(2000)
    assert hand_out_of_many[0] <= 1.2 * hand_out[0]
    assert give_of_many[0] <= 1.2 * give[0]


def test_a_lease_that_an_older_manager_has_left_to_a_trial_that_has_ended_is_none(storage):
    study = storage.create_study(make_study())
    (trial,) = add(storage, study, client_id="gone", running=True, lease=timedelta(milliseconds=1))
    time.sleep(0.02)
    go(storage, trial, to=COMPLETED)
    storage.database.write(
        lambda session: session.write_all(
            Statement(update(tables.trials).where(tables.trials.c.id == bindparam("trial")), ("lease_ends",)),
            [{"trial": trial.id, "lease_ends": 1}],
        )
    )
    assert not storage.has_leases(study.id)
    assert not storage.has_trials_for(study.id, "another")
    assert storage.hand_out(study.id, "another", 1, timedelta(hours=1), NOW) == ()


@pytest.mark.long
def test_no_call_costs_more_in_a_large_study(storage, counter):
    small, large = costs(storage, counter, 20), costs(storage, counter, 2000)
    grown = {
        name: (small[name], large[name])
        for name in small
        # Some steps more: deeper trees.
        if large[name][0] > small[name][0] * 1.2 + 30 or large[name][1] != small[name][1]
    }
    assert grown == {}


def test_no_call_reads_more_rows_of_a_large_study_on_a_server(server_url):
    counter = RowCounter(server_url)
    with closing(open_storage(server_url)) as storage:
        small, large = costs(storage, counter, 20), costs(storage, counter, 2000)
    grown = {name: (small[name][0], large[name][0]) for name in small if large[name][0] > small[name][0] + 30}
    assert grown == {}


def test_a_page_of_changes_reads_no_more_where_many_follow_it(server_url):
    counter = RowCounter(server_url)
    with closing(open_storage(server_url)) as storage:
        small, large = (storage.create_study(make_study()) for _ in range(2))
        for study, changes_ in ((small, 4), (large, 60)):
            for _ in range(changes_):
                completed(storage, study, *([0.1] * 10))
        for read in (storage.changed_trials, storage.changed_columns):
            few, many = (
                counter.cost(lambda read=read, study=study: read(study.id, 0, 15))[0] for study in (small, large)
            )
            assert many <= few + 10


def managers_costs(storage, counter, ended):
    """By name: the steps and statements of a manager's calls when so many studies that it or another one drove have ended."""
    for driver in ("m", "gone"):
        rows = [study_to_row(make_study(manager=driver, state=StudyState.COMPLETED)) for _ in range(ended)]
        storage.database.write(lambda session, rows=rows: session.write_all(studies._INSERT, rows))
        storage.create_study(make_study(manager=driver))
    storage.heartbeat(ManagerRecord("gone", "h", "1"))
    return {
        "heartbeat": counter.cost(lambda: storage.heartbeat(ManagerRecord("m", "h", "1"))),
        "driven": counter.cost(lambda: storage.driven_studies("m")),
        "drivers": counter.cost(lambda: storage.drivers("")),
        "release": counter.cost(lambda: storage.release("gone")),
        "claim": counter.cost(lambda: storage.claim_studies("m", "", (), 1)),
    }


@pytest.mark.long
def test_what_has_ended_costs_a_manager_nothing(storage, counter):
    few, many = managers_costs(storage, counter, 5), managers_costs(storage, counter, 2000)
    # The first study of the first round is still there.
    assert {n: (few[n], many[n]) for n in few if many[n][0] > few[n][0] * 1.5 + 60 or many[n][1] > few[n][1] + 2} == {}


def test_what_has_ended_costs_a_manager_nothing_on_a_server(server_url):
    counter = RowCounter(server_url)
    with closing(open_storage(server_url)) as storage:
        few, many = managers_costs(storage, counter, 5), managers_costs(storage, counter, 2000)
    assert {name: (few[name][0], many[name][0]) for name in few if many[name][0] > few[name][0] + 30} == {}


def test_a_trials_end_and_the_next_ones_begin_are_few_statements(storage, counter):
    found = costs(storage, counter, 5)
    # BEGIN, the study, the trials, the observation, two moves, the study, COMMIT.
    assert found["apply"][1] <= 8
    assert found["report"][1] <= 10
    assert found["get"][1] == 1
    # A client that has none, where none are left by others, costs the others nothing.
    assert found["whether there are some for a client"][1] == 1
    assert found["renewal"][1] <= 5
    # BEGIN, the study, the client's own, those of others; for the first time its leases; the attempt before, the trial, the
    # study, COMMIT.
    assert found["hand out"][1] <= 9


def test_a_statement_for_last_values_goes_through_no_more_values_than_it_may(storage, counter, monkeypatch):
    monkeypatch.setattr(observations, "VALUES_AT_ONCE", 10)
    study = storage.create_study(make_study())
    trials_ = running(storage, study, 6)
    for trial, values in zip(trials_, (4, 4, 4, 25, 1, 0), strict=True):
        given = [observe(float(i), f"m{i % 3}", position=i) for i in range(1, values + 1)]
        storage.report(trial.id, 0, given)
    found = {}
    # How many have values at all and which; then 4 and 4, 4, 25, 1: in which order, is the database's affair.
    statements_ = counter.cost(lambda: found.update(storage.last_values(trials_)))[1]
    assert {i: len(found.get(t.id, ())) for i, t in enumerate(trials_)} == {0: 3, 1: 3, 2: 3, 3: 3, 4: 1, 5: 0}
    assert found[trials_[3].id] == {"m0": 24.0, "m1": 25.0, "m2": 23.0}
    assert 4 <= statements_ <= 6


def statements():
    """Every statement of the storage: those of the modules, and of each builder its simplest and its fullest."""
    for module in (all_trials, changes, deletion, deliveries, locking, managers, models, observations, studies, trials):
        for name, value in vars(module).items():
            if isinstance(value, Statement):
                yield f"{module.__name__}.{name}", value
            elif not isinstance(value, types.FunctionType) and hasattr(value, "cache_info") and name.startswith("_"):
                shape = [int if p.annotation is int else bool for p in inspect.signature(value).parameters.values()]
                yield f"{module.__name__}.{name}", value(*(kind(1) for kind in shape))
                yield f"{module.__name__}.{name} (2)", value(*(2 if kind is int else False for kind in shape))


def test_no_statement_searches_through_a_table(storage):
    def scans(session, statement):
        sql, names, _ = statement.compiled(storage.database._connections.dialect)
        session._cursor.execute(f"EXPLAIN QUERY PLAN {sql}", [1] * len(names))
        return [row[-1] for row in session._cursor.fetchall() if "SCAN" in row[-1]]

    checked = dict(statements())
    found = {name: storage.database.read(lambda s, x=statement: scans(s, x)) for name, statement in checked.items()}
    assert len(checked) > 40
    prefix = "katib.manager.storage.sql."
    assert {name.removeprefix(prefix): lines for name, lines in found.items() if lines} == {
        # All of them, which are few.
        "managers._ALL": ["SCAN managers USING INDEX sqlite_autoindex_managers_1"],
        "models._STUDIES": ["SCAN saved_studies USING INDEX sqlite_autoindex_saved_studies_1"],
        # Once a minute.
        "deliveries._BEHIND": ["SCAN studies"],
        # Of the names of a few trials' metrics.
        "observations._last_values": ["SCAN newest"],
        "observations._last_values (2)": ["SCAN newest"],
        # Of the index only.
        "studies._ALGORITHMS": ["SCAN studies USING COVERING INDEX ix_studies_algorithm_rule"],
        # From the newest on until the page is full.
        "studies._page (2)": ["SCAN studies USING INDEX ix_studies_created_at_id"],
        "all_trials._page (2)": ["SCAN trials USING INDEX ix_trials_created_at_number_id"],
        "all_trials._last_of_piece (2)": ["SCAN trials USING COVERING INDEX ix_trials_created_at_number_id"],
    }
