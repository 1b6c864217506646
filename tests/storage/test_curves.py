"""What trials have reported is read a piece at a time."""

from contextlib import closing

import pytest

from katib.manager.changes import StudyChanges
from katib.manager.storage.open import open_storage
from katib.manager.storage.sql import observations
from tests.storage import servers
from tests.storage.builders import COMPLETED, curves_of, go, intake, make_study, observe, running

TAKEN = (4, 4, 4, 25, 1, 0, 10)


@pytest.fixture
def storage(tmp_path):
    with closing(open_storage(f"sqlite:///{tmp_path}/katib.db")) as it:
        yield it


@pytest.fixture
def trials(storage, monkeypatch):
    """With so many values each; ten are read at once."""
    monkeypatch.setattr(observations, "VALUES_AT_ONCE", 10)
    made = running(storage, storage.create_study(make_study()), len(TAKEN))
    for trial, taken in zip(made, TAKEN, strict=True):
        storage.report(trial.id, 0, [observe(float(i), position=i) for i in range(taken)])
    return [storage.get_trial(trial.id) for trial in made]


def test_no_more_values_are_in_memory_than_are_looked_at(storage, trials):
    pieces = list(storage.curves(trials, ["accuracy"]))

    assert sum(len(values) for _, values in pieces) == sum(TAKEN)
    assert max(len(values) for _, values in pieces) == 10
    # Of a trial that has more than fit at once, they come one after the other.
    long = trials[3].id
    assert [len(values) for trial_id, values in pieces if trial_id == long] == [10, 10, 5]
    places = [place for place, (trial_id, _) in enumerate(pieces) if trial_id == long]
    assert places == list(range(places[0], places[0] + 3))
    whole = curves_of(storage, trials, ["accuracy"])
    assert {i: [v.value for v in whole.get(t.id, ())] for i, t in enumerate(trials)} == {
        i: [float(value) for value in range(taken)] for i, taken in enumerate(TAKEN)
    }


def test_what_is_not_looked_at_is_not_read(storage, trials, monkeypatch):
    read = []
    make = observations.observation_from_row
    monkeypatch.setattr(observations, "observation_from_row", lambda row: read.append(1) or make(row))

    next(iter(storage.curves(trials, ["accuracy"])))

    assert 0 < len(read) <= 10


def test_a_server_whose_statistics_are_old_does_not_go_through_all_values(server_url):
    """As after a copy was put back: a table of which it believes that it is empty is read from its beginning to its end."""
    with closing(open_storage(server_url)) as storage, servers.connect(server_url) as cursor:
        made = running(storage, storage.create_study(make_study()), 20)
        for trial in made:
            storage.report(trial.id, 0, [observe(float(i)) for i in range(20)])
        cursor.execute("UPDATE mysql.innodb_table_stats SET n_rows = 0 WHERE table_name IN ('observations', 'trials')")
        cursor.execute(
            "UPDATE mysql.innodb_index_stats SET stat_value = 1 WHERE table_name IN ('observations', 'trials')"
        )
        cursor.connection.commit()
        cursor.execute("FLUSH TABLES observations, trials")
        cursor.execute("SELECT VERSION()")
        # MySQL's own is a tree, which MariaDB has not.
        form = "" if "MariaDB" in cursor.fetchone()[0] else "FORMAT=TRADITIONAL "
        dialect = storage.database._connections.dialect
        found = {}
        for statement in (
            *(make(size) for make in (observations._last_values, observations._taken) for size in (1, 256, 1024)),
            *(observations._curves(size, 1) for size in (1, 256)),
        ):
            sql, names, _ = statement.compiled(dialect)
            values = [made[0].id if name.startswith("trial") else "accuracy" for name in names]
            cursor.execute(f"EXPLAIN {form}{sql}", values)
            columns = [column[0] for column in cursor.description]
            rows = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
            found[sql] = [row["type"] for row in rows if row["table"] in ("observations", "trials")]
        assert len(found) == 8
        assert all(found.values())
        assert {sql: kinds for sql, kinds in found.items() if {"ALL", "index"} & set(kinds)} == {}


def test_a_trial_that_ends_while_the_curves_are_read_is_in_them_once(storage, trials):
    found = storage.curves(trials, ["accuracy"])
    pieces = [next(found)]
    go(storage, *trials, to=COMPLETED)
    pieces += found

    # The one with 25 values comes in three pieces, and may be the first: the order is that of the ids.
    read = {t.id: [v.value for trial_id, values in pieces if trial_id == t.id for v in values] for t in trials}
    assert read == {t.id: [float(i) for i in range(taken)] for t, taken in zip(trials, TAKEN, strict=True)}


def test_a_long_study_s_curves_take_a_statement_for_some_hundred_trials(storage, monkeypatch):
    made = running(storage, storage.create_study(make_study()), 600)
    intakes = tuple(intake(trial, observe(0.5), observe(0.1, "loss")) for trial in made)
    storage.apply(made[0].study_id, StudyChanges(intakes=intakes))
    asked = []
    read = storage.database.read
    monkeypatch.setattr(storage.database, "read", lambda function: asked.append(1) or read(function))

    assert len(curves_of(storage, made, ["accuracy"])) == 600

    # How many values each has, and 256 at once.
    assert len(asked) == 1 + 3
