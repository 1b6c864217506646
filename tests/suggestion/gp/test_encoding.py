"""Rows and points of the space: there and back, every value its place."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from katib.domain.search_space import Parameter, ParameterConfig, Scale
from katib.suggestion.gp import encoding as module
from katib.suggestion.gp.encoding import Encoding
from tests.suggestion.gp.spaces import MIXED, encoding_of
from tests.suggestion.studies import DOUBLE, FINITE, FINITE_LOG, INFINITE, INT, parameter

HUGE = (
    parameter("steps", INT, 1, 10**6, scale=Scale.LOG),
    parameter("fine", DOUBLE, 0, 1, step="0.0001"),
    parameter("x", DOUBLE, 0, 1),
)


class TestRows:
    @pytest.mark.long
    @pytest.mark.parametrize("space", [INFINITE, FINITE, FINITE_LOG, MIXED, HUGE])
    @given(seed=st.integers(0, 2**32 - 1))
    def test_a_points_row_leads_back_to_the_point(self, space: Sequence[ParameterConfig], seed: int) -> None:
        encoding = encoding_of(space)
        unit = np.random.default_rng(seed).random(len(encoding.space))
        parameters = encoding.space.from_unit(unit.tolist())

        rows, which = encoding.rows([parameters])
        again = encoding.space.to_unit(encoding.parameters(rows[0]))

        assert which == [0]
        assert rows.shape == (1, len(encoding))
        assert again == pytest.approx(encoding.space.to_unit(parameters), abs=1e-12)
        numbers = rows[0][encoding.numeric]
        assert ((numbers >= 0) & (numbers <= 1)).all()

    @pytest.mark.parametrize("space", [INFINITE, FINITE, FINITE_LOG, MIXED, HUGE])
    def test_rows_from_the_cube_and_snapped_ones_are_those_of_points(self, space: Sequence[ParameterConfig]) -> None:
        encoding = encoding_of(space)
        cube = np.random.default_rng(1).random((200, len(encoding)))
        high = [max(c.choices - 1, 1) for c in encoding.columns]

        for rows in (encoding.from_cube(cube), encoding.snap(cube * high)):
            assert (encoding.snap(rows) == rows).all()
            canonical = np.array([encoding.canonical(row) for row in rows])
            # Steps finer than a model can tell are not snapped to until a point is suggested.
            assert np.abs(canonical - rows).max() < 1.0 / module.MAX_LEVELS

    def test_values_come_from_the_cube_in_the_shares_that_the_space_gives_them(self) -> None:
        encoding = encoding_of(FINITE)
        cube = np.random.default_rng(0).random((500, len(encoding)))

        rows = encoding.from_cube(cube)

        assert [encoding.parameters(row) for row in rows] == [
            encoding.space.from_unit([*u, 0.5]) for u in cube.tolist()
        ]

    def test_a_finite_space_is_listed_whole(self) -> None:
        encoding = encoding_of(FINITE)

        points = {encoding.parameters(row) for row in encoding.every_row()}

        assert points == {encoding.space.at(i) for i in range(36)}

    def test_trials_of_another_space_are_left_out(self) -> None:
        encoding = encoding_of(FINITE_LOG)
        good = encoding.space.at(5)

        rows, which = encoding.rows([good[:1], good, ()])

        assert which == [1]
        assert encoding.parameters(rows[0]) == good

    @pytest.mark.parametrize(("off", "kept"), [("0.4", True), ("0.4000001", False), ("0.35", False)])
    def test_a_number_beside_the_steps_is_none_of_the_space(self, off: str, kept: bool) -> None:
        encoding = encoding_of([parameter("x", DOUBLE, 0, 1, step="0.1"), parameter("n", INT, 1, 3)])

        trials = [(Parameter("x", DOUBLE, off), Parameter("n", INT, n)) for n in ("2", "2.4", "2.0")]

        assert encoding.rows(trials)[1] == ([0, 2] if kept else [])
        # As a program writes it that counts by itself.
        assert encoding.rows([(Parameter("x", DOUBLE, repr(0.1 * 3)), Parameter("n", INT, "1"))])[1] == [0]

    @pytest.mark.parametrize(
        ("low", "high", "step"),
        [
            ("2400000000", "2500000000", "0.1"),
            ("1000000", "1000001", "0.00001"),
            ("0", "1", "1e-12"),
            ("0", "1e6", "1e-9"),
        ],
    )
    def test_the_spaces_own_numbers_are_on_their_steps_however_fine_these_are(
        self, low: str, high: str, step: str
    ) -> None:
        encoding = encoding_of([parameter("x", DOUBLE, low, high, step=step), parameter("y", DOUBLE, 0, 1)])
        points = [encoding.space.from_unit([u, 0.5]) for u in np.random.default_rng(0).random(200)]

        rows, which = encoding.rows(points)

        assert which == list(range(200))
        assert [encoding.canonical(row).tolist() for row in rows[:20]] == rows[:20].tolist()

    def test_the_largest_whole_numbers_are_on_their_steps(self) -> None:
        encoding = encoding_of([parameter("n", INT, 0, 2**50 - 1)])

        assert encoding.rows([(Parameter("n", INT, str(2**50 - 1 - i)),) for i in range(5)])[1] == [0, 1, 2, 3, 4]

    @pytest.mark.parametrize("value", ["1", "abc", None])
    def test_another_value_of_what_has_only_one_is_of_another_space(self, value: str | None) -> None:
        encoding = encoding_of([parameter("n", INT, 1, 3), parameter("epochs", INT, 10, 10)])
        n = Parameter("n", INT, "2")

        other = (n,) if value is None else (n, Parameter("epochs", INT, value))
        assert encoding.rows([other, (n, Parameter("epochs", INT, "10"))])[1] == [1]

    def test_two_categories_are_as_far_apart_as_any_other_two_and_numbers_as_their_places(self) -> None:
        encoding = encoding_of(MIXED)
        rows = np.array([[0.0, 0.0, 0.0, 0.0, c] for c in range(3)] + [[0.0, 0.25, 0.0, 0.0, 0.0]])

        features, owners = encoding.features(rows)

        distances = ((features[:, None] - features) ** 2).sum(axis=-1)
        assert distances[:3, :3] == pytest.approx(1 - np.eye(3))
        assert distances[0, 3] == pytest.approx(0.0625)
        assert owners.tolist() == [0, 1, 2, 3, 4, 4, 4]

    def test_parameters_with_one_value_have_no_column(self) -> None:
        encoding = encoding_of(INFINITE)

        assert [c.dimension.name for c in encoding.columns] == [p.name for p in INFINITE[:9]]

    def test_discrete_values_lie_by_their_size(self) -> None:
        encoding = encoding_of(MIXED)
        names = [c.dimension.name for c in encoding.columns]

        places = [encoding.rows([_with(encoding, "batch", v)])[0][0][names.index("batch")] for v in ("64", "16", "32")]

        assert places == [1.0, 0.0, 0.5]


def _with(encoding: Encoding, name: str, value: str) -> list[Parameter]:
    return [
        replace(p, value=value) if p.name == name else p for p in encoding.space.from_unit([0.5] * len(encoding.space))
    ]
