"""The states of a trial and the moves between them."""

import dataclasses
from datetime import UTC, datetime
from itertools import product

import pytest

from katib.domain.search_space import Parameter, ParameterType
from katib.domain.trial import FINISHED, MOVES, UNFINISHED, NewTrial, Tag, Trial, TrialReason, TrialState

# Written out by hand, row by row what may follow: the table in the code must say the same.
MAY_FOLLOW = {
    "PENDING": {"RUNNING", "KILLED", "ERROR"},
    "RUNNING": {"PENDING", "COMPLETED", "KILLED", "ERROR"},
    "COMPLETED": set(),
    "KILLED": set(),
    "ERROR": set(),
}
REASONS = {name: word for name, word in vars(TrialReason).items() if name.isupper()}


class TestMoves:
    @pytest.mark.parametrize(("before", "after"), list(product(TrialState, TrialState)))
    def test_a_move_is_allowed_or_it_is_not(self, before: TrialState, after: TrialState) -> None:
        assert ((before, after) in MOVES) == (after.name in MAY_FOLLOW[before.name])

    def test_a_finished_trial_never_changes(self) -> None:
        assert not [move for move in MOVES if move[0].finished]

    def test_no_move_leads_nowhere(self) -> None:
        assert not [move for move in MOVES if move[0] is move[1]]

    def test_every_unfinished_state_can_end_in_every_way_but_completing_without_a_run(self) -> None:
        ends = {state: {after for before, after in MOVES if before is state and after.finished} for state in UNFINISHED}
        assert ends[TrialState.RUNNING] == FINISHED
        assert ends[TrialState.PENDING] == FINISHED - {TrialState.COMPLETED}


class TestStates:
    def test_each_state_is_finished_or_unfinished(self) -> None:
        assert frozenset(TrialState) == FINISHED | UNFINISHED
        assert frozenset() == FINISHED & UNFINISHED
        assert {state for state in TrialState if state.finished} == FINISHED

    def test_states_are_stored_by_their_names(self) -> None:
        assert all(state.value == state.name for state in TrialState)


class TestReasons:
    @pytest.mark.parametrize("word", list(REASONS.values()))
    def test_a_reason_is_one_camel_case_word(self, word: str) -> None:
        assert word.isascii()
        assert word.isalpha()
        assert word[0].isupper()
        assert len(word) <= 40

    def test_no_two_reasons_share_a_word(self) -> None:
        assert len(set(REASONS.values())) == len(REASONS)


class TestTrial:
    def test_a_trial_that_was_read_cannot_be_changed(self) -> None:
        trial = Trial(
            id="a000000000000001",
            study_id="b000000000000001",
            number=1,
            attempt=1,
            state=TrialState.PENDING,
            parameters=(Parameter("--lr", ParameterType.DOUBLE, "0.030"),),
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
            revision=1,
        )
        with pytest.raises(dataclasses.FrozenInstanceError):
            trial.state = TrialState.RUNNING  # type: ignore[misc]

    def test_a_suggestion_has_its_parameters_and_tags_as_they_came(self) -> None:
        parameters = (Parameter("--lr", ParameterType.DOUBLE, "0.030"),)
        suggestion = NewTrial("a000000000000001", parameters, (Tag("bracket", "3"),))
        assert suggestion.parameters == parameters
        assert suggestion.tags == (Tag("bracket", "3"),)
