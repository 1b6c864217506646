"""What every search algorithm says of a study that it cannot do, and of its settings."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import pytest

from katib.domain.errors import InvalidArgumentError
from katib.domain.search_space import ParameterConfig
from katib.domain.study import Limits, StudyReason
from katib.suggestion.base import Algorithm
from katib.suggestion.room import MAX_PARALLEL, SUGGESTION_NUM
from katib.suggestion.service import Call, check, generate
from tests.suggestion.studies import INFINITE, STUDY_ID, study


class RefusalsContract:
    name: ClassVar[str]
    # What the algorithm needs to accept the studies of this contract.
    settings: ClassVar[Sequence[tuple[str, object]]] = ()
    # The parameters that they name, beside those of this contract.
    extra: ClassVar[Sequence[ParameterConfig]] = ()

    def refused(self, algorithm: Algorithm, *settings: tuple[str, object], **fields: object) -> tuple[str, str, str]:
        spec = study((*INFINITE, *self.extra), *self.settings, *settings)
        spec = replace(spec, **fields)  # type: ignore[arg-type]
        with pytest.raises(InvalidArgumentError) as caught:
            check(algorithm, spec)
        with pytest.raises(InvalidArgumentError) as again:
            generate(algorithm, Call(STUDY_ID, spec, 0, 0))
        assert again.value.violations == caught.value.violations
        (violation,) = caught.value.violations
        return violation.field, violation.value, violation.expected

    def at(self, index: int, field: str) -> str:
        return f"study_config.suggestion_parameters[{len(self.settings) + index}].{field}"

    @pytest.mark.parametrize("text", ["0", "-1", "abc", "", "1.5", "1_0", "１", "99999999999999999999", "nan"])
    def test_a_number_of_trials_is_whole_and_positive(self, algorithm: Algorithm, text: str) -> None:
        field, value, expected = self.refused(algorithm, ("MaxParallel", 2), ("SuggestionNum", text))

        assert (field, value) == (self.at(1, "value"), text)
        allowed = "from 1 to 2147483647" if text.isdigit() and int(text) > 1 else "from 1 on"
        assert expected == f"expected a whole number {allowed} for SuggestionNum"

    def test_parallelism_is_a_whole_number(self, algorithm: Algorithm) -> None:
        field, value, expected = self.refused(algorithm, ("SuggestionNum", 2), ("MaxParallel", "many"))

        assert (field, value) == (self.at(1, "value"), "many")
        assert expected == "expected a whole number for MaxParallel"

    def test_an_unknown_setting_is_refused_and_the_nearest_known_one_named(self, algorithm: Algorithm) -> None:
        field, value, expected = self.refused(algorithm, ("SuggestionNum", 2), ("MaxParrallel", 3))

        assert (field, value) == (self.at(1, "name"), "MaxParrallel")
        assert expected.startswith(f"did you mean MaxParallel? {self.name} knows the settings ")
        assert "SuggestionNum" in expected

    def test_a_setting_like_no_other_is_refused_with_those_that_there_are(self, algorithm: Algorithm) -> None:
        field, value, expected = self.refused(algorithm, ("SuggestionNum", 2), ("x" * 1000, 3))

        assert field == self.at(1, "name")
        assert len(value) == 80
        assert expected.startswith(f"{self.name} knows the settings ")

    def test_what_is_wrong_with_the_search_space_is_named(self, algorithm: Algorithm) -> None:
        field, _, expected = self.refused(algorithm, parameters=())

        assert field == "study_config.parameter_configs.configs"
        assert expected == "expected at least one parameter"

    def test_limits_out_of_range_are_named(self, algorithm: Algorithm) -> None:
        field, value, _ = self.refused(algorithm, limits=Limits(max_trials=-1))

        assert (field, value) == ("study_config.max_trials", "-1")

    def test_counts_are_not_negative(self, algorithm: Algorithm) -> None:
        spec = study((*INFINITE, *self.extra), *self.settings, max_trials=5)
        call = Call(STUDY_ID, spec, -1, -2, -3)

        with pytest.raises(InvalidArgumentError) as caught:
            generate(algorithm, call)

        assert [(v.field, v.value) for v in caught.value.violations] == [
            ("completed_count", "-1"),
            ("running_count", "-2"),
            ("first_number", "-3"),
        ]

    def test_a_first_number_beyond_any_studys_costs_nothing(self, algorithm: Algorithm) -> None:
        spec = study((*INFINITE, *self.extra), *self.settings, max_trials=5)

        reply = generate(algorithm, Call(STUDY_ID, spec, 0, 0, first_number=2**62))

        assert reply.suggestions or reply.reason == StudyReason.EXHAUSTED

    # The table of settings

    def test_every_setting_is_described(self, algorithm: Algorithm) -> None:
        rows = [*algorithm.options.rows, *filter(None, [algorithm.options.per_parameter])]

        assert algorithm.options.owner == algorithm.name == self.name
        assert {SUGGESTION_NUM, MAX_PARALLEL} <= set(algorithm.options.rows)
        for row in rows:
            assert row.meaning.endswith(".")
            assert row.expected
            assert row.default_text
