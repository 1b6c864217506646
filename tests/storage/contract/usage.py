"""What every storage does to count what there is."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from katib.domain.errors import ResourceExhaustedError
from katib.manager.changes import StudyChanges
from katib.manager.ports import Usage
from tests.storage.builders import add, intake, make_spec, make_study, observe, running
from tests.storage.contract.grants import owned


class UsageContract:
    def test_studies_and_trials_are_counted_by_owner(self, storage):
        assert storage.usage() == {}
        first, _ = owned(storage, "ann"), owned(storage, "ann", "reader:bob")
        add(storage, first, 3)
        for nobody in ("", "*", "group:team"):
            owned(storage, nobody)
        gone = owned(storage, "bob")
        add(storage, gone)
        storage.delete_study(gone.id)
        assert storage.usage() == {"ann": Usage(2, 3), "": Usage(3)}

    def test_what_trials_report_and_print_is_counted_by_owner_once(self, storage):
        study, other = owned(storage, "ann"), owned(storage, "ann")
        (trial, printing), (late,) = running(storage, study, 2), running(storage, other)
        storage.report(trial.id, 1, [observe(position=i) for i in (1, 2, 3)])
        storage.report(trial.id, 1, [observe(position=i) for i in (2, 3, 4)])
        storage.apply(study.id, StudyChanges(intakes=(intake(printing, observe(position=7), observe(position=8)),)))
        storage.report(late.id, 1, [observe(position=1)])
        assert storage.usage() == {"ann": Usage(2, 3, 7)}
        assert [storage.get_study(s.id).observed for s in (study, other)] == [6, 1]
        storage.delete_study(study.id)
        assert storage.usage() == {"ann": Usage(1, 1, 1)}

    def test_whoever_allows_observations_is_asked_with_the_new_ones_and_may_refuse(self, storage):
        (trial,) = running(storage, storage.create_study(make_study()))
        asked = []

        def allow(study, new):
            asked.append((study.id, new))
            if new > 2:
                raise ResourceExhaustedError("too many")

        storage.report(trial.id, 1, [observe(position=i) for i in (1, 2)], allow=allow)
        storage.report(trial.id, 1, [observe(position=i) for i in (1, 2)], allow=allow)
        with pytest.raises(ResourceExhaustedError, match="too many"):
            storage.report(trial.id, 1, [observe(position=i) for i in range(1, 6)], allow=allow)
        storage.report(trial.id, 1, [observe(position=i) for i in (2, 3)], allow=allow)
        assert asked == [(trial.study_id, 2), (trial.study_id, 3), (trial.study_id, 1)]
        assert storage.get_study(trial.study_id).observed == 3

    def test_a_study_beyond_the_most_is_not_stored(self, storage):
        def make(owner, **most):
            return storage.create_study(make_study(spec=replace(make_spec(), owner=owner)), **most)

        first = make("ann", most=2, most_of_owner=1)
        with pytest.raises(ResourceExhaustedError, match="ann has 1 studies"):
            make("ann", most=2, most_of_owner=1)
        make("bob", most=2, most_of_owner=1)
        with pytest.raises(ResourceExhaustedError, match="there are 2 studies"):
            make("carl", most=2, most_of_owner=1)
        assert sum(usage.studies for usage in storage.usage().values()) == 2
        storage.delete_study(first.id)
        make("ann", most=2, most_of_owner=1)
        make("carl")

    def test_those_that_come_at_the_same_time_do_not_go_beyond_it_together(self, storage):
        def make(_):
            try:
                storage.create_study(make_study(spec=replace(make_spec(), owner="ann")), most_of_owner=3)
            except ResourceExhaustedError:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(make, range(12))) == 3

    def test_a_request_that_comes_again_is_answered_though_there_is_no_more_room(self, storage):
        study = storage.create_study(make_study(request_id="r"), most=1)
        assert storage.create_study(make_study(request_id="r"), most=1) == study

    def test_observations_beyond_the_most_of_a_trial_are_not_stored(self, storage):
        (trial,) = running(storage, storage.create_study(make_study()))
        storage.report(trial.id, 1, [observe(position=i) for i in (1, 2)], most=3)
        with pytest.raises(ResourceExhaustedError, match="has reported 2 values, and 2 more would be beyond 3"):
            storage.report(trial.id, 1, [observe(position=i) for i in (3, 4)], most=3)
        storage.report(trial.id, 1, [observe(position=i) for i in (1, 2, 3)], most=3)
        assert len(storage.list_observations(trial.id, 1, (), 9, "").items) == 3
