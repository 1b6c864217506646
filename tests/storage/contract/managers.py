"""What every storage does with managers: heartbeats, and who drives which study."""

from dataclasses import replace
from datetime import timedelta

from katib.domain.study import Intent, StudyState
from katib.manager.changes import StudyChanges, StudyMove
from katib.manager.ports import ManagerRecord
from tests.storage.builders import NOW, make_study


class ManagerContract:
    def _beat(self, storage, *names):
        for name in names:
            storage.heartbeat(ManagerRecord(name, f"host of {name}", "123"))

    def _study(self, storage, **fields):
        return storage.create_study(make_study(**fields)).id

    def test_a_heartbeat_has_an_age_by_the_storages_clock(self, storage):
        self._beat(storage, "m2", "m1")
        first, second = storage.managers()
        assert (first.id, first.host, first.process) == ("m1", "host of m1", "123")
        assert second.id == "m2"
        for manager in (first, second):
            assert timedelta(0) <= manager.age < timedelta(seconds=30)

    def test_a_heartbeat_renews_and_replaces(self, storage):
        self._beat(storage, "m1")
        storage.heartbeat(ManagerRecord("m1", "elsewhere", "456", age=timedelta(days=3)))
        storage.heartbeat(ManagerRecord("m1", "elsewhere", "456"))
        (manager,) = storage.managers()
        assert (manager.host, manager.process) == ("elsewhere", "456")
        assert manager.age < timedelta(seconds=30)

    def test_a_study_that_nobody_drives_is_claimed_once(self, storage):
        self._beat(storage, "m1", "m2")
        study = self._study(storage)
        assert list(storage.claim_studies("m1", "", (), 10)) == [study]
        assert storage.get_study(study).manager == "m1"
        assert list(storage.claim_studies("m2", "", (), 10)) == []
        assert list(storage.claim_studies("m1", "", (), 10)) == []
        assert storage.driven_studies("m1") == {study: storage.get_study(study).revision}
        assert storage.driven_studies("m2") == {}

    def test_the_studies_of_the_dead_and_of_the_unknown_are_claimed(self, storage):
        self._beat(storage, "alive", "dead", "me")
        of_alive = self._study(storage, manager="alive")
        of_dead = self._study(storage, manager="dead")
        of_unknown = self._study(storage, manager="unknown")
        assert set(storage.claim_studies("me", "", ["dead", "dead too"], 10)) == {of_dead, of_unknown}
        assert set(storage.driven_studies("me")) == {of_dead, of_unknown}
        assert storage.get_study(of_alive).manager == "alive"

    def test_only_what_is_not_finished_or_has_an_intent_needs_a_driver(self, storage):
        wanted = {
            self._study(storage, state=StudyState.RUNNING),
            self._study(storage, state=StudyState.PAUSED),
            self._study(storage, state=StudyState.COMPLETED, intent=Intent.DELETE),
        }
        for state in (StudyState.COMPLETED, StudyState.STOPPED, StudyState.FAILED):
            self._study(storage, state=state)
        self._beat(storage, "m")
        assert set(storage.claim_studies("m", "", (), 10)) == wanted
        assert set(storage.driven_studies("m")) == wanted

    def test_a_study_that_ends_is_driven_no_more_and_again_when_it_goes_on(self, storage):
        study = self._study(storage, manager="m")
        storage.apply(study, StudyChanges(study=StudyMove(StudyState.COMPLETED, "MaxTrialsReached", "", NOW)))
        assert storage.driven_studies("m") == {}
        storage.update_study(study, lambda s: replace(s, intent=Intent.DELETE))
        assert list(storage.driven_studies("m")) == [study]
        storage.update_study(study, lambda s: replace(s, intent=Intent.NONE))
        assert storage.driven_studies("m") == {}
        storage.update_study(study, lambda s: replace(s, state=StudyState.RUNNING, ended_at=None))
        assert list(storage.driven_studies("m")) == [study]

    def test_a_study_is_claimed_where_it_can_be_looked_after(self, storage):
        anywhere = self._study(storage, placement="")
        here = self._study(storage, placement="host a")
        self._study(storage, placement="host b")
        self._study(storage, placement="HOST A")
        assert set(storage.claim_studies("m", "host a", (), 10)) == {anywhere, here}

    def test_at_most_as_many_as_asked_for_are_claimed(self, storage):
        every = {self._study(storage) for _ in range(5)}
        first = storage.claim_studies("m", "", (), 2)
        assert len(first) == 2
        rest = storage.claim_studies("m", "", (), 10)
        assert {*first, *rest} == every

    def test_how_many_studies_each_manager_drives_is_told_of_those_that_can_be_looked_after_here(self, storage):
        self._beat(storage, "m1")
        for fields in (
            {"manager": "m1"},
            {"manager": "m1", "placement": "here"},
            {"manager": "m1", "placement": "elsewhere"},
            {"manager": "m1", "state": StudyState.COMPLETED},
            {"manager": "dead", "state": StudyState.STOPPED, "intent": Intent.DELETE},
            {"manager": ""},
        ):
            self._study(storage, **fields)
        assert storage.drivers("here") == {"m1": 2, "dead": 1, "": 1}
        assert storage.drivers("") == {"m1": 1, "dead": 1, "": 1}

    def test_a_manager_that_leaves_gives_up_its_studies(self, storage):
        self._beat(storage, "m1", "m2")
        mine = [self._study(storage, manager="m1") for _ in range(2)]
        mine.append(self._study(storage, manager="m1", state=StudyState.COMPLETED, intent=Intent.DELETE))
        other = self._study(storage, manager="m2")
        storage.release("m1")
        storage.release("m1")
        assert [manager.id for manager in storage.managers()] == ["m2"]
        assert {storage.get_study(study).manager for study in mine} == {""}
        assert storage.get_study(other).manager == "m2"

    def test_what_had_ended_when_its_manager_left_is_not_touched_and_has_a_driver_when_it_goes_on(self, storage):
        self._beat(storage, "m1", "m2")
        study = self._study(storage, manager="m1", state=StudyState.COMPLETED)
        revision = storage.get_study(study).revision
        heard = []
        storage.subscribe(heard.append)
        storage.release("m1")
        assert (storage.get_study(study).revision, heard) == (revision, [])
        assert list(storage.claim_studies("m2", "", (), 10)) == []
        storage.update_study(study, lambda s: replace(s, state=StudyState.RUNNING, ended_at=None))
        assert storage.drivers("") == {"m1": 1}
        assert list(storage.claim_studies("m2", "", (), 10)) == [study]
        assert storage.driven_studies("m1") == {}

    def test_a_deleted_study_is_claimed_by_nobody(self, storage):
        study = self._study(storage, manager="m")
        storage.delete_study(study)
        assert storage.driven_studies("m") == {}
        assert list(storage.claim_studies("m2", "", ["m"], 10)) == []

    def test_studies_of_another_place_that_nobody_alive_drives_are_stranded(self, storage):
        self._beat(storage, "alive", "silent")
        found = [
            self._study(storage, placement="there"),
            self._study(storage, placement="there", manager="silent"),
            self._study(storage, placement="there", manager="without a row"),
            self._study(storage, placement="there", state=StudyState.STOPPED, intent=Intent.DELETE),
        ]
        self._study(storage, placement="there", manager="alive")
        self._study(storage, placement="there", state=StudyState.STOPPED)
        self._study(storage, placement="here")
        self._study(storage, placement="")
        assert list(storage.stranded_studies("here", ["silent"], 10)) == sorted(found)
        assert list(storage.stranded_studies("here", ["silent"], 2)) == sorted(found)[:2]
