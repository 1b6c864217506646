"""A curve in a terminal: it shows where the values went, and fits whatever the terminal and the values are."""

import math
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from katib.cli.curve import ROWS, Curve, curves_of, draw
from katib.cli.terminal import width_of
from katib.domain.metrics import Observation

NOW = datetime(2026, 5, 4, tzinfo=UTC)


def observation(value: float, position: int, name: str = "acc", step: int | None = None) -> Observation:
    return Observation(name, value, NOW, 1, "output", position, step=step)


def rising(count: int = 50) -> Curve:
    return Curve("acc", [(i, i / count) for i in range(count + 1)])


def test_a_rising_curve_rises_from_the_lower_left_to_the_upper_right() -> None:
    title, *rows, axis = draw(rising(), 60)
    assert title == "acc: 1 (lowest 0, highest 1)"
    assert len(rows) == ROWS
    filled = [[i for i, c in enumerate(row) if "\u2800" < c <= "\u28ff"] for row in rows]
    assert all(filled)
    assert all(upper[0] >= lower[0] for upper, lower in pairwise(filled))
    assert rows[0].lstrip().startswith("1 ┤")
    assert rows[-1].lstrip().startswith("0 ┤⣀")
    assert axis.split() == ["step", "0", "50"]


def test_a_flat_curve_is_a_line() -> None:
    rows = draw(Curve("acc", [(0, 0.5), (9, 0.5)]), 40)[1:-1]
    assert sum(any("\u2800" < c <= "\u28ff" for c in row) for row in rows) == 1


def test_metrics_come_in_the_study_s_order_and_one_value_is_no_curve() -> None:
    seen = [observation(float(i), i, name) for i in (1, 2) for name in ("other", "loss", "acc")]
    assert [c.name for c in curves_of([*seen, observation(1.0, 9, "single")], ("acc", "loss"))] == [
        "acc",
        "loss",
        "other",
    ]


def test_steps_count_where_every_value_has_one_and_order_else() -> None:
    (by_step,) = curves_of([observation(0.1, 1, step=10), observation(0.2, 2, step=5)], ())
    assert (by_step.by_step, by_step.points) == (True, [(5, 0.2), (10, 0.1)])
    (by_order,) = curves_of([observation(0.1, 1, step=10), observation(0.2, 2)], ())
    assert (by_order.by_step, by_order.points) == (False, [(1, 0.1), (2, 0.2)])


def test_what_is_not_finite_is_counted_and_left_out() -> None:
    (curve,) = curves_of([observation(v, i) for i, v in enumerate([1.0, math.nan, math.inf, 2.0])], ())
    assert curve.points == [(1, 1.0), (4, 2.0)]
    assert "2 not finite" in draw(curve, 80)[0]


def test_a_narrow_terminal_gets_bars_and_an_old_one_numbers() -> None:
    assert draw(rising(), 12)[1] == "▁▂▃▃▄▄▅▆▆▇▇█"
    assert draw(rising(), 80, unicode=False) == ["acc: 1 (lowest 0, highest 1)"]


def test_a_name_is_shown_without_what_a_terminal_obeys() -> None:
    assert draw(Curve("\x1b[31m", [(0, 0.0), (1, 1.0)]), 80)[0].startswith(r"\x1b[31m: ")


@pytest.mark.long
@pytest.mark.parametrize("unicode", [True, False])
@given(
    st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False)), min_size=2),
    st.integers(1, 200),
    st.text(min_size=1, max_size=30),
)
def test_any_curve_fits_any_terminal(unicode: bool, points: list[tuple[int, float]], columns: int, name: str) -> None:
    lines = draw(Curve(name, sorted(points)), columns, unicode=unicode)
    assert all(width_of(line) <= columns for line in lines)
    assert all(line.isprintable() for line in lines)
