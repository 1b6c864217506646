"""Grid search: evenly spaced combinations, the last parameter fastest, 0.1's settings."""

import time

import pytest

from katib.domain.errors import InvalidArgumentError
from katib.suggestion.algorithms.grid import GridSearch
from katib.suggestion.service import Call, check, generate
from tests.suggestion.numbered import NumberedContract
from tests.suggestion.studies import (
    CATEGORICAL,
    DISCRETE,
    DOUBLE,
    INT,
    STUDY_ID,
    MiniManager,
    Scale,
    parameter,
    study,
    values,
)

LR = parameter("lr", DOUBLE, "0.01", "0.05")
UNITS = parameter("units", INT, 1, 9)
BATCH = parameter("batch", DISCRETE, values=("16", "32", "64"))
OPTIMIZER = parameter("optimizer", CATEGORICAL, values=("sgd", "adam", "ftrl"))


class TestGridKeepsTheContract(NumberedContract):
    name = "grid"
    settings = (("lr", 5), ("momentum", 4))
    by_chance = False

    # The finite spaces of the contract have no such parameters, and need no numbers of points.
    def manager(self, algorithm, space, *settings, **fields):  # type: ignore[no-untyped-def]
        names = {c.name for c in space}
        own = [s for s in self.settings if s[0] in names]
        return MiniManager(algorithm, study(space, *own, *settings, **fields))

    def test_trials_far_down_the_order_cost_no_more_than_the_first(self, algorithm) -> None:  # type: ignore[no-untyped-def]
        space = [parameter(f"p{i}", INT, 0, 9) for i in range(200)]

        reply = generate(algorithm, Call(STUDY_ID, study(space, ("MaxParallel", 2)), 10**9, 0, first_number=10**15))

        assert ["".join(v)[-16:] for v in values(reply)] == ["0999999999999999", "1000000000000000"]


def grid(space: list[object], *settings: tuple[str, object]) -> list[tuple[str, ...]]:
    return values(generate(GridSearch(), Call(STUDY_ID, study(space, *settings), 0, 0)))  # type: ignore[arg-type]


class TestPoints:
    def test_the_last_parameter_varies_fastest(self) -> None:
        assert grid([LR, OPTIMIZER], ("lr", 2)) == [
            ("0.01", "sgd"),
            ("0.01", "adam"),
            ("0.01", "ftrl"),
            ("0.05", "sgd"),
            ("0.05", "adam"),
            ("0.05", "ftrl"),
        ]

    def test_points_are_evenly_spaced_with_both_ends(self) -> None:
        assert [lr for (lr,) in grid([LR], ("lr", 5))] == ["0.01", "0.02", "0.03", "0.04", "0.05"]
        assert [u for (u,) in grid([UNITS], ("units", 3))] == ["1", "5", "9"]

    def test_on_a_log_scale_they_are_evenly_spaced_there(self) -> None:
        lr = parameter("lr", DOUBLE, "1e-4", "1", scale=Scale.LOG)
        units = parameter("units", INT, 1, 1024, scale=Scale.LOG)

        assert [v for (v,) in grid([lr], ("lr", 5))] == ["0.0001", "0.001", "0.01", "0.1", "1.0"]
        assert [v for (v,) in grid([units], ("units", 3))] == ["1", "32", "1024"]

    def test_one_point_is_the_minimum_or_the_first(self) -> None:
        assert grid([LR, UNITS, BATCH, OPTIMIZER], ("DefaultGrid", 1)) == [("0.01", "1", "16", "sgd")]

    def test_the_default_is_for_the_parameters_that_are_not_named(self) -> None:
        points = grid([LR, UNITS, OPTIMIZER], ("DefaultGrid", 2), ("optimizer", 3))

        assert len(points) == 12
        assert {u for _, u, _ in points} == {"1", "9"}

    def test_without_any_number_all_values_are_tried(self) -> None:
        stepped = parameter("x", DOUBLE, 0, "0.4", step="0.1")

        assert [v for (v,) in grid([stepped])] == ["0.0", "0.1", "0.2", "0.3", "0.4"]
        assert len(grid([UNITS, BATCH, OPTIMIZER])) == 81

    def test_no_point_is_repeated_where_there_are_fewer_than_asked_for(self) -> None:
        assert [v for (v,) in grid([UNITS], ("units", 100))] == [str(i) for i in range(1, 10)]
        assert len(grid([OPTIMIZER], ("DefaultGrid", 7))) == 3

    def test_a_parameter_may_bear_the_name_of_a_setting(self) -> None:
        space = [parameter("DefaultGrid", INT, 1, 9), parameter("MaxParallel", INT, 1, 9)]

        assert grid(space, ("DefaultGrid", 3), ("MaxParallel", 2)) == [("1", "1"), ("1", "5")]

    def test_a_million_million_points_cost_nothing(self) -> None:
        space = [parameter(f"p{i}", DOUBLE, 0, 1) for i in range(12)]
        spec = study(space, ("DefaultGrid", 10), ("MaxParallel", 3))
        begin = time.perf_counter()

        last = generate(GridSearch(), Call(STUDY_ID, spec, 5, 0, first_number=10**12 - 1))
        over = generate(GridSearch(), Call(STUDY_ID, spec, 5, 0, first_number=10**12 + 1))

        assert time.perf_counter() - begin < 1
        assert values(last) == [("1.0",) * 11 + (repr(8 / 9),), ("1.0",) * 12]
        assert over.completed

    def test_a_number_of_points_is_not_held_in_memory(self) -> None:
        assert len(grid([LR], ("lr", 2**31 - 1))) == 1000


class TestRefusals:
    def test_a_continuum_without_a_number_of_points_is_refused(self) -> None:
        with pytest.raises(InvalidArgumentError) as caught:
            check(GridSearch(), study([LR, UNITS, parameter("decay", DOUBLE, 0, 1)], max_trials=5))

        assert [v.field for v in caught.value.violations] == ["study_config.suggestion_parameters"] * 2
        assert caught.value.violations[1].expected == (
            "expected a setting decay or DefaultGrid that says how many points to try, or a step: "
            "decay has infinitely many values"
        )

    @pytest.mark.parametrize("text", ["0", "-1", "x", "1.5", ""])
    @pytest.mark.parametrize("name", ["lr", "DefaultGrid"])
    def test_a_number_of_points_is_whole_and_positive(self, name: str, text: str) -> None:
        with pytest.raises(InvalidArgumentError) as caught:
            check(GridSearch(), study([LR], ("DefaultGrid", 3), (name, text)))

        (violation,) = caught.value.violations
        assert violation.field == "study_config.suggestion_parameters[1].value"
        assert violation.expected == f"expected a whole number from 1 on for {name}"

    def test_a_parameter_that_is_not_there_is_refused_and_the_nearest_named(self) -> None:
        with pytest.raises(InvalidArgumentError) as caught:
            check(GridSearch(), study([UNITS], ("unit", 3)))

        (violation,) = caught.value.violations
        assert (violation.field, violation.value) == ("study_config.suggestion_parameters[0].name", "unit")
        assert violation.expected == (
            "did you mean units? grid knows the settings units, SuggestionNum, MaxParallel, Seed, DefaultGrid"
        )
