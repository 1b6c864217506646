"""What a user reads when something is wrong: where, what came, what would be accepted; and it can always be shown."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from katib.domain import errors
from katib.domain.errors import FieldViolation, InvalidArgumentError, KatibError, violation

KINDS = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, KatibError) and c is not KatibError]


class TestViolation:
    def test_it_names_field_value_and_what_is_expected(self) -> None:
        found = violation("configs[2].feasible.min", "abc", "expected a finite number")
        assert found == FieldViolation("configs[2].feasible.min", "abc", "expected a finite number")
        assert str(found) == "configs[2].feasible.min: 'abc': expected a finite number"

    def test_without_a_value_there_is_nothing_to_show(self) -> None:
        assert str(violation("name", "", "expected a name for the study")) == "name: expected a name for the study"

    def test_a_value_that_is_no_text_is_shown_as_python_writes_it(self) -> None:
        assert violation("gpu", -1, "expected 0 to 1000").value == "-1"
        assert violation("gpu", 1e-5, "").value == "1e-05"
        assert violation("gpu", None, "").value == "None"

    def test_a_value_of_80_characters_is_shown_whole(self) -> None:
        assert violation("name", "x" * 80, "").value == "x" * 80

    def test_a_longer_one_is_cut_and_says_so(self) -> None:
        assert violation("name", "x" * 81, "").value == "x" * 77 + "..."
        assert violation("name", "x" * 10_000_000, "").value == "x" * 77 + "..."
        assert len(violation("name", list(range(1000)), "").value) == 80

    @given(st.text(alphabet=st.characters(), max_size=120))
    def test_any_value_can_be_sent_and_printed(self, value: str) -> None:
        found = violation("name", value, "expected a name")
        assert len(found.value) <= 80
        found.value.encode()
        assert str(found).isprintable()

    def test_a_lone_surrogate_is_shown_as_an_escape(self) -> None:
        assert violation("name", "a\udcffb", "").value == "a\\udcffb"


class TestInvalidArgument:
    def test_one_violation_is_its_message(self) -> None:
        error = InvalidArgumentError.of("max_trials", 0, "expected a whole number from 1 on")
        assert str(error) == error.message == "max_trials: '0': expected a whole number from 1 on"
        assert error.violations == (FieldViolation("max_trials", "0", "expected a whole number from 1 on"),)

    def test_several_are_told_at_once(self) -> None:
        error = InvalidArgumentError([violation("a", "1", "expected x"), violation("b", "", "expected y")])
        assert str(error) == "a: '1': expected x; b: expected y"

    def test_of_very_many_the_first_are_told_and_the_rest_counted(self) -> None:
        error = InvalidArgumentError(violation(f"f{i}", "", "bad") for i in range(23))
        assert [v.field for v in error.violations] == [f"f{i}" for i in range(20)]
        assert str(error).endswith("f19: bad; and 3 more")

    def test_twenty_are_told_in_full(self) -> None:
        error = InvalidArgumentError(violation(f"f{i}", "", "bad") for i in range(20))
        assert str(error).endswith("f19: bad")

    def test_a_sentence_alone_has_no_violations(self) -> None:
        error = InvalidArgumentError("study_config is required")
        assert str(error) == "study_config is required"
        assert error.violations == ()


class TestHierarchy:
    def test_every_kind_is_a_katib_error(self) -> None:
        assert len(KINDS) == 12
        assert all(issubclass(kind, KatibError) for kind in KINDS)

    @pytest.mark.parametrize("kind", KINDS)
    def test_no_kind_is_caught_as_another(self, kind: type[KatibError]) -> None:
        assert [other for other in KINDS if issubclass(kind, other)] == [kind]

    @pytest.mark.parametrize("kind", KINDS)
    def test_the_message_is_the_sentence(self, kind: type[KatibError]) -> None:
        error = kind("there is no study a000000000000000")
        assert error.message == str(error) == "there is no study a000000000000000"

    @pytest.mark.parametrize(
        "error", [errors.NotFoundError("gone"), InvalidArgumentError.of("a.b", "x", "expected y")], ids=repr
    )
    def test_it_can_cross_a_process_boundary(self, error: KatibError) -> None:
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is type(error)
        assert str(copy) == str(error)
        assert getattr(copy, "violations", None) == getattr(error, "violations", None)
