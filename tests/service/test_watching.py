"""Whoever watches a study while the database is put back from a copy."""

import time

from katib.manager.service.watch import Watcher, WatchUseCase
from tests.deltas.database import Database
from tests.storage.builders import completed, ids, make_study


def test_who_watches_while_a_copy_is_put_back_sees_what_it_has_and_what_comes_after() -> None:
    database = Database()
    study = database.create_study(make_study())
    (kept,) = completed(database, study, 0.1)
    copy = database.copy()
    completed(database, study, 0.2, 0.3)
    end = time.monotonic() + 10
    events = WatchUseCase(database, lambda: time.monotonic() > end).watch_study(
        study.id, 0, Watcher(), lambda event: event
    )
    assert next(events).study.completed == 3
    database.restore(copy)
    again = next(events)
    assert (again.study.completed, ids(again.trials)) == (1, [kept.id])
    (new,) = completed(database, study, 0.4)
    event = next(events)
    assert (event.study.completed, ids(event.trials)) == (2, [new.id])
