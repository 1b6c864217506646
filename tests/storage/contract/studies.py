"""What every storage does with studies."""

from dataclasses import replace
from datetime import timedelta

import pytest

from katib.domain.errors import (
    AbortedError,
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    UnavailableError,
)
from katib.domain.names import new_id
from katib.domain.study import Intent, Limits, StudyState
from katib.domain.trial import TrialState
from katib.manager.changes import StudyChanges, StudyMove
from katib.manager.ports import StudyFilter, TrialFilter
from tests.storage.builders import (
    NOW,
    add,
    completed,
    go,
    ids,
    later,
    make_spec,
    make_study,
    move,
    new_trials,
    observe,
)

# Ids that nobody has: wrong in length, in letters, in everything.
NO_IDS = ["a0123456789abcde", "", "x" * 300, "né 🎲", "a0123456789abcde ", "a'; DROP TABLE studies; --", "%", "a\0b"]


class StudyContract:
    def test_a_study_comes_back_as_it_was_stored(self, storage):
        study = make_study(
            reason="Waiting",
            message="für später 🎲",
            intent=Intent.STOP,
            revision=7,
            manager="m1",
            placement="host a",
            request_id="request 1",
            places=("here", "there"),
            suggester="grid",
            spec=make_spec(
                name="naïve 🎲",
                command=("python", "-c", "print('\\'\"\n')"),
                goal=float("inf"),
                limits=Limits(max_trials=5, trial_timeout=timedelta(microseconds=1500001)),
            ),
        )
        assert storage.create_study(study) == study
        assert storage.get_study(study.id) == study

    def test_times_keep_their_microseconds_and_their_zone(self, storage):
        study = storage.create_study(make_study(state=StudyState.COMPLETED, ended_at=later(0.000001)))
        read = storage.get_study(study.id)
        assert (read.created_at, read.ended_at) == (NOW, later(0.000001))
        assert read.created_at.utcoffset() == timedelta(0)

    def test_a_second_create_with_the_same_request_changes_nothing(self, storage):
        first = storage.create_study(make_study(request_id="r"))
        storage.update_study(first.id, lambda study: replace(study, message="since"))
        second = storage.create_study(make_study(request_id="r", spec=make_spec(name="other")))
        assert second.id == first.id
        assert second.message == "since"
        assert len(storage.list_studies(StudyFilter(), 10, "").items) == 1

    def test_studies_without_a_request_id_are_all_different(self, storage):
        storage.create_study(make_study())
        storage.create_study(make_study())
        assert len(storage.list_studies(StudyFilter(), 10, "").items) == 2
        assert storage.find_request("") is None

    def test_a_study_is_found_by_its_request(self, storage):
        study = storage.create_study(make_study(request_id="r"))
        assert storage.find_request("r") == study
        assert storage.find_request("R") is None
        assert storage.find_request("r ") is None

    def test_an_id_is_given_once(self, storage):
        study = storage.create_study(make_study())
        with pytest.raises(AlreadyExistsError):
            storage.create_study(make_study(id=study.id))
        assert storage.get_study(study.id) == study

    @pytest.mark.parametrize("bad", NO_IDS)
    def test_what_is_not_there_is_not_found(self, storage, bad):
        storage.create_study(make_study(id="a0123456789abcdf"))
        calls = [
            lambda: storage.get_study(bad),
            lambda: storage.update_study(bad, lambda study: study),
            lambda: storage.add_trials(bad, 0, new_trials(), NOW),
            lambda: storage.apply(bad, StudyChanges()),
            lambda: storage.report(bad, 0, [observe()]),
            lambda: storage.get_trial(bad),
            lambda: storage.unfinished_trials(bad),
            lambda: storage.finished_trials(bad),
            lambda: storage.hand_out(bad, "c", 1, timedelta(1), NOW),
            lambda: storage.changed_trials(bad, 0, 10),
            lambda: storage.changed_columns(bad, 0, 10),
            lambda: storage.list_observations(bad, 0, (), 10, ""),
            lambda: storage.latest_observations(bad, 10),
        ]
        if bad:
            calls.append(lambda: storage.list_trials(TrialFilter(study_id=bad), 10, ""))
        for call in calls:
            with pytest.raises(NotFoundError):
                call()
        assert storage.find_request(bad) is None
        storage.delete_study(bad)

    def test_a_snapshot_does_not_change_with_later_writes(self, storage):
        study = storage.create_study(make_study())
        page = storage.list_studies(StudyFilter(), 10, "")
        trials = storage.unfinished_trials(study.id)
        add(storage, study, 2)
        storage.update_study(study.id, lambda s: replace(s, state=StudyState.PAUSED))
        assert page.items[0] == study
        assert study.state is StudyState.RUNNING
        assert list(trials) == []

    def test_an_update_replaces_what_a_user_may_change_and_keeps_the_rest(self, storage):
        study = storage.create_study(make_study(manager="m"))
        completed(storage, study, 0.7)
        before = storage.get_study(study.id)
        wanted = replace(
            before,
            spec=make_spec(name="renamed", algorithm="grid"),
            state=StudyState.STOPPED,
            reason="StoppedByUser",
            message="enough",
            intent=Intent.DELETE,
            ended_at=later(9),
            suggested=99,
            completed=99,
            best_trial_id="",
            manager="thief",
            revision=1000,
        )
        updated = storage.update_study(study.id, lambda _: wanted)
        assert updated == replace(
            wanted,
            suggested=1,
            completed=1,
            best_trial_id=before.best_trial_id,
            manager="m",
            revision=before.revision + 1,
        )
        assert storage.get_study(study.id) == updated
        assert ids(storage.list_studies(StudyFilter(name="renamed"), 10, "").items) == [study.id]
        assert not storage.list_studies(StudyFilter(name="digits"), 10, "").items

    def test_an_update_that_changes_nothing_writes_nothing(self, storage):
        study = storage.create_study(make_study())
        assert storage.update_study(study.id, lambda s: replace(s)) == study
        assert storage.get_study(study.id).revision == study.revision

    def test_an_update_that_raises_changes_nothing(self, storage):
        study = storage.create_study(make_study())

        def refuse(_):
            raise FailedPreconditionError("no")

        with pytest.raises(FailedPreconditionError, match="no"):
            storage.update_study(study.id, refuse)
        with pytest.raises(ZeroDivisionError):
            storage.update_study(study.id, lambda _: 1 / 0)
        assert storage.get_study(study.id) == study

    def test_a_move_of_the_study_sets_and_clears_its_end(self, storage):
        study = storage.create_study(make_study(intent=Intent.STOP))
        ended = StudyMove(StudyState.STOPPED, "StoppedByUser", "by you", later(5))
        stopped = storage.apply(study.id, StudyChanges(study=ended)).study
        assert (stopped.state, stopped.ended_at, stopped.revision) == (StudyState.STOPPED, later(5), study.revision + 1)
        # What was asked has come about.
        assert stopped.intent is Intent.NONE
        again = storage.apply(study.id, StudyChanges(study=StudyMove(StudyState.RUNNING, "", ""))).study
        assert (again.state, again.ended_at) == (StudyState.RUNNING, None)
        assert storage.get_study(study.id) == again

    def test_a_move_to_a_finished_state_leaves_the_intent_to_delete(self, storage):
        study = storage.create_study(make_study(intent=Intent.DELETE))
        ended = storage.apply(study.id, StudyChanges(study=StudyMove(StudyState.STOPPED, "", "", NOW))).study
        assert ended.intent is Intent.DELETE

    def test_lists_are_newest_first_and_paged_without_gaps_or_repeats(self, storage):
        # Times are shared: the id decides then.
        made = [storage.create_study(make_study(created_at=later(i // 3))) for i in range(8)]
        expected = ids(sorted(made, key=lambda study: (study.created_at, study.id), reverse=True))
        seen, token = [], ""
        while True:
            page = storage.list_studies(StudyFilter(), 3, token)
            seen += ids(page.items)
            token = page.next_token
            if not token:
                break
            assert len(page.items) == 3
        assert seen == expected

    def test_a_list_that_fills_its_page_exactly_has_no_next(self, storage):
        for _ in range(2):
            storage.create_study(make_study())
        assert storage.list_studies(StudyFilter(), 2, "").next_token == ""

    def test_lists_are_filtered_by_name_state_and_id(self, storage):
        a = storage.create_study(make_study(id="a" + "1" * 15, spec=make_spec(name="one")))
        b = storage.create_study(make_study(id="a" + "2" * 15, spec=make_spec(name="two"), state=StudyState.PAUSED))
        c = storage.create_study(make_study(id="b" + "1" * 15, spec=make_spec(name="One"), created_at=later(1)))

        def found(**filter_):
            return set(ids(storage.list_studies(StudyFilter(**filter_), 10, "").items))

        assert found(name="one") == {a.id}
        assert found(name="one ") == set()
        assert found(id_prefix="a") == {a.id, b.id}
        assert found(id_prefix="a1") == {a.id}
        assert found(id_prefix="%") == found(id_prefix="_") == set()
        assert found(states=frozenset({StudyState.PAUSED})) == {b.id}
        assert found(states=frozenset({StudyState.PAUSED, StudyState.RUNNING}), id_prefix="a") == {a.id, b.id}
        assert found(name="One", id_prefix="b", states=frozenset({StudyState.RUNNING})) == {c.id}

    def test_made_up_page_tokens_are_refused(self, storage):
        study = storage.create_study(make_study())
        storage.create_study(make_study())
        trial, _ = add(storage, study, 2)
        storage.report(go(storage, trial, to=TrialState.RUNNING)[0].id, 0, [observe(), observe()])
        real = storage.list_studies(StudyFilter(), 1, "").next_token
        made_up = [
            "x",
            "🎲",
            real[:-1],
            real + "A",
            real.upper(),
            real + "=",
            "A" * 5000,
            "\0",
            " " + real,
            "-1",
            "W10",
        ]
        for token in made_up:
            for call in (
                lambda t: storage.list_studies(StudyFilter(), 1, t),
                lambda t: storage.list_trials(TrialFilter(), 1, t),
                lambda t: storage.list_trials(TrialFilter(study_id=study.id), 1, t),
                lambda t: storage.list_observations(trial.id, 0, (), 1, t),
            ):
                with pytest.raises(InvalidArgumentError) as caught:
                    call(token)
                assert caught.value.violations[0].field == "page_token"

    def test_a_token_belongs_to_the_filter_it_was_made_with(self, storage):
        for _ in range(2):
            storage.create_study(make_study())
        token = storage.list_studies(StudyFilter(), 1, "").next_token
        with pytest.raises(InvalidArgumentError):
            storage.list_studies(StudyFilter(name="digits"), 1, token)
        with pytest.raises(InvalidArgumentError):
            storage.list_trials(TrialFilter(), 1, token)

    def test_a_deleted_study_is_gone_with_its_trials_and_observations(self, storage):
        study, other = storage.create_study(make_study(request_id="r")), storage.create_study(make_study())
        done = completed(storage, study, 0.5, 0.6)
        kept = completed(storage, other, 0.7)
        pending = add(storage, study)
        storage.delete_study(study.id)
        storage.delete_study(study.id)
        for trial in (*done, *pending):
            with pytest.raises(NotFoundError):
                storage.get_trial(trial.id)
            with pytest.raises(NotFoundError):
                storage.list_observations(trial.id, 0, (), 10, "")
        with pytest.raises(NotFoundError):
            storage.get_study(study.id)
        assert ids(storage.list_studies(StudyFilter(), 10, "").items) == [other.id]
        assert ids(storage.list_trials(TrialFilter(), 10, "").items) == ids(kept)
        assert storage.find_request("r") is None
        assert len(storage.latest_observations(kept[0].id, 5)[0]) == 1
        # The request id is free again.
        assert storage.create_study(make_study(request_id="r")).id != study.id

    def test_it_is_known_that_a_study_was_deleted_and_not_of_one_that_was_never_there(self, storage):
        study, other = storage.create_study(make_study()), storage.create_study(make_study())
        assert not storage.was_deleted(study.id)
        storage.delete_study(study.id)
        storage.delete_study(study.id)
        storage.delete_study(new_id())
        assert storage.was_deleted(study.id)
        for there in (other.id, new_id(), *NO_IDS):
            assert not storage.was_deleted(there)

    def test_a_study_that_is_to_be_deleted_gives_up_its_request_and_is_there_until_it_is(self, storage):
        study = storage.create_study(make_study(request_id="r"))
        storage.update_study(study.id, lambda study: replace(study, intent=Intent.STOP))
        assert storage.find_request("r").id == study.id
        storage.update_study(study.id, lambda study: replace(study, intent=Intent.DELETE))
        assert storage.find_request("r") is None
        another = storage.create_study(make_study(request_id="r"))
        assert storage.get_study(study.id).intent is Intent.DELETE
        storage.delete_study(study.id)
        assert storage.find_request("r").id == another.id != study.id

    def test_the_algorithms_and_rules_of_stored_studies_are_known(self, storage):
        assert storage.algorithms_in_use() == (frozenset(), frozenset())
        storage.create_study(make_study(spec=make_spec(algorithm="grid", early_stopping="none")))
        gone = storage.create_study(make_study(spec=make_spec(algorithm="tpe", early_stopping="medianstopping")))
        storage.create_study(make_study(spec=make_spec(early_stopping="asha")))
        assert storage.algorithms_in_use() == (frozenset({"grid", "tpe"}), frozenset({"medianstopping", "asha"}))
        storage.delete_study(gone.id)
        assert storage.algorithms_in_use() == (frozenset({"grid"}), frozenset({"asha"}))

    def test_those_who_subscribed_hear_of_each_write_that_changed_something(self, storage):
        heard = []
        storage.subscribe(heard.append)

        def hears(write, *expected):
            heard.clear()
            result = write()
            assert heard == list(expected)
            return result

        study = make_study()
        hears(lambda: storage.create_study(study), study.id)
        (trial,) = hears(lambda: storage.add_trials(study.id, 0, new_trials(), NOW), study.id)
        hears(lambda: storage.apply(study.id, StudyChanges(moves=(move(trial, TrialState.RUNNING),))), study.id)
        hears(lambda: storage.apply(study.id, StudyChanges(moves=(move(trial, TrialState.RUNNING),))))
        seen = observe()
        hears(lambda: storage.report(trial.id, 0, [seen]), study.id)
        hears(lambda: storage.report(trial.id, 0, [seen]))
        hears(lambda: storage.update_study(study.id, lambda s: replace(s, message="m")), study.id)
        hears(lambda: storage.update_study(study.id, lambda s: s))
        with pytest.raises(AbortedError):
            hears(lambda: storage.add_trials(study.id, 7, new_trials(), NOW))
        assert heard == []
        hears(lambda: storage.claim_studies("m", "", (), 10), study.id)
        hears(lambda: storage.release("m"), study.id)
        hears(lambda: storage.delete_study(study.id), study.id)
        hears(lambda: storage.delete_study(study.id))

    def test_a_closed_storage_is_unavailable(self, storage):
        study = storage.create_study(make_study())
        storage.ping()
        storage.close()
        for call in (
            storage.ping,
            lambda: storage.get_study(study.id),
            lambda: storage.create_study(make_study()),
            lambda: storage.list_trials(TrialFilter(), 1, ""),
        ):
            with pytest.raises(UnavailableError):
                call()
        storage.close()
