"""Sobol search: even, by seed and number, each point of a finite space once."""

import time
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from katib.domain.search_space import ParameterConfig, Scale, SearchSpace
from katib.domain.study import StudySpec
from katib.suggestion.algorithms.random import RandomSearch
from katib.suggestion.algorithms.sobol import LENGTH, Cube, SobolSearch
from katib.suggestion.base import Algorithm
from katib.suggestion.service import Call, generate
from tests.suggestion.numbered import NumberedContract
from tests.suggestion.programs import modules_after
from tests.suggestion.studies import (
    CATEGORICAL,
    DOUBLE,
    FINITE_LOG,
    INFINITE,
    INT,
    STUDY_ID,
    parameter,
    study,
    values,
)


class TestSobolKeepsTheContract(NumberedContract):
    name = "sobol"
    settings = (("Seed", 1),)


SQUARE = (parameter("x", DOUBLE, 0, 1), parameter("y", DOUBLE, "1e-4", 1, scale=Scale.LOG))


def many(spec: StudySpec, count: int, begin: int = 0, algorithm: Algorithm | None = None) -> list[tuple[str, ...]]:
    call = Call(STUDY_ID, spec, 0, 0)
    found = []
    for i in range(begin, begin + count, 1000):
        found += values(generate(algorithm or SobolSearch(), replace(call, finished_count=i)))
    return found[:count]


def units(configs: tuple[ParameterConfig, ...], points: list[tuple[str, ...]]) -> list[list[float]]:
    space = SearchSpace.of(configs)
    return [[d.to_unit(v) for d, v in zip(space, point, strict=True)] for point in points]


class TestPoints:
    @pytest.mark.parametrize("begin", [0, 256, LENGTH, 5 * LENGTH + 512])
    def test_a_power_of_two_of_them_is_spread_evenly(self, begin: int) -> None:
        points = units(SQUARE, many(study(SQUARE, ("Seed", 3), max_trials=10**6), 256, begin))

        for columns, rows in ((256, 1), (16, 16), (1, 256), (4, 64)):
            cells = Counter((int(x * columns), int(y * rows)) for x, y in points)
            # One each; the text of a value on a log scale may fall over the border of its cell.
            assert sum(count == 1 for count in cells.values()) >= 254

    def test_they_are_more_even_than_random_ones(self) -> None:
        """By the greatest gap of 200 points in each direction, for every one of ten seeds."""
        for seed in range(10):
            spec = study(SQUARE, ("Seed", seed), max_trials=200)
            own, random = (units(SQUARE, many(spec, 200, 0, a)) for a in (SobolSearch(), RandomSearch()))
            assert _greatest_gap(own) < _greatest_gap(random)

    def test_the_seed_determines_them(self) -> None:
        def of(seed: int, study_id: str = STUDY_ID) -> list[tuple[str, ...]]:
            return values(generate(SobolSearch(), Call(study_id, study(INFINITE, ("Seed", seed), max_trials=9), 0, 0)))

        assert of(7) == of(7, "a" * 16)
        assert of(7) != of(8)
        assert of(2**63 - 1)

    def test_without_a_seed_every_study_has_its_own(self) -> None:
        spec = study(INFINITE, max_trials=9)

        assert generate(SobolSearch(), Call("a" * 16, spec, 0, 0)) != generate(
            SobolSearch(), Call("b" * 16, spec, 0, 0)
        )

    def test_an_odd_number_of_categories_gets_its_shares(self) -> None:
        space = (parameter("x", DOUBLE, 0, 1), parameter("y", CATEGORICAL, values="abc"))

        counts = Counter(y for _, y in many(study(space, max_trials=999), 999))

        assert all(abs(n - 333) <= 3 for n in counts.values())

    def test_a_finite_space_begins_with_the_sequence(self) -> None:
        """A quarter of the values of each parameter in every four trials."""
        space = (parameter("x", INT, 0, 63), parameter("y", INT, 0, 63))
        points = [(int(x), int(y)) for x, y in many(study(space, ("Seed", 5), max_trials=64), 64)]

        assert {x for x, _ in points} == set(range(64))
        assert {y for _, y in points} == set(range(64))
        assert Counter((x // 8, y // 8) for x, y in points).most_common(1)[0][1] == 1

    def test_no_point_of_one_parameter_comes_twice_from_several_sequences(self) -> None:
        cube = Cube(1, 1)
        points = [cube.at(i)[0] for start in range(0, 8 * LENGTH, LENGTH) for i in range(start, start + 2048)]

        assert len(set(points)) == len(points)

    def test_the_next_sequence_is_another_one(self) -> None:
        cube = Cube(1, 2)

        assert all(abs(cube.at(i)[0] - cube.at(LENGTH + i)[0]) > 1e-8 for i in range(32))

    def test_points_may_be_asked_for_in_any_order(self) -> None:
        cube, again = Cube(1, 3), Cube(1, 3)
        order = [0, 5, 4, LENGTH + 1, 1, LENGTH - 1, LENGTH, 2, 3, 3]

        there = {i: cube.at(i) for i in sorted(set(order))}

        assert [again.at(i) for i in order] == [there[i] for i in order]

    def test_these_are_the_trials_for_ever(self) -> None:
        """A release that suggests others changes what running studies get after an update."""
        space = (parameter("x", DOUBLE, 0, 1), parameter("y", INT, 1, 100))

        assert many(study(space, ("Seed", 42), max_trials=3), 3) == [
            ("0.2051980933055953", "67"),
            ("0.6663575907579534", "7"),
            ("0.8723325325283685", "88"),
        ]
        assert many(study(FINITE_LOG, ("Seed", 42), max_trials=3), 3) == [("1", "adam"), ("4", "sgd"), ("8", "adam")]


@pytest.mark.parametrize("history", [100, 5_000, LENGTH * 1000 - 1])
def test_a_suggestion_takes_no_longer_after_a_long_history(history: int) -> None:
    space = tuple(parameter(f"p{i}", DOUBLE, 0, 1) for i in range(8))
    spec = study(space, ("MaxParallel", 1))
    spec = replace(spec, goal=0.1)
    times = []
    for i in range(20):
        begin = time.perf_counter()
        generate(SobolSearch(), Call(STUDY_ID, spec, history + i, 0))
        times.append(time.perf_counter() - begin)

    # 0.2 ms on a machine with nothing else to do. The least of them: others may be at work.
    assert min(times) < 0.002


@pytest.mark.long
def test_a_service_that_nobody_asks_imports_no_numerics() -> None:
    imported = modules_after("import katib.suggestion.server, katib.suggestion.algorithms.sobol")

    assert not {"numpy", "scipy"} & imported


def _greatest_gap(points: list[list[float]]) -> float:
    axes = [[0.0, *sorted(axis), 1.0] for axis in zip(*points, strict=True)]
    return float(max(b - a for axis in axes for a, b in pairwise(axis)))
