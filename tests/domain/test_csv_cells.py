"""What a spreadsheet makes of a cell."""

import pytest

from katib.domain.csv_cells import text_cell


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1+1", "-1+1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "  =1", "\ufeff=1", "\xa0@x", "＝1", "-x|y", "-SUM(1)"],
)
def test_what_would_be_a_formula_is_text(text: str) -> None:
    assert text_cell(text).startswith("'")


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("a;=1+1", "a;'=1+1"),
        ("a\t=1+1", "a\t'=1+1"),
        ("a\n@SUM(1)", "a\n'@SUM(1)"),
        ('a; "=1+1"', 'a;\' "=1+1"'),
        ("=1;=2", "'=1;'=2"),
        ("a;-1;--lr", "a;-1;--lr"),
        ("a; b", "a; b"),
        ("=", "="),
    ],
)
def test_neither_does_one_begin_behind_what_stands_between_cells_elsewhere(text: str, cell: str) -> None:
    assert text_cell(text) == cell


@pytest.mark.parametrize("text", ["", "a", "-1", "+1e-3", "-inf", "-Infinity", "--lr", "-x", "a=b", "1@2"])
def test_numbers_and_names_of_parameters_stay(text: str) -> None:
    assert text_cell(text) == text
