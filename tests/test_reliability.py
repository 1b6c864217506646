"""docs/reliability.md names the test of each promise: every one of them is there."""

import ast
import re
from pathlib import Path

import pytest

from tests.faults.studies import KINDS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/reliability.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/.]+\.py)(?:::(\w+))?`", PAGE)))


def test_the_page_says_how_many_kinds_of_studies_a_campaign_has() -> None:
    (said,) = re.findall(r"(\w+) kinds of studies", PAGE)
    assert ("Six", "Seven", "Eight", "Nine", "Ten").index(said) + 6 == len(KINDS)


def test_the_page_names_tests() -> None:
    assert len(NAMED) > 30


@pytest.mark.long
@pytest.mark.parametrize(("path", "name"), NAMED)
def test_a_test_that_the_page_names_is_there(path: str, name: str) -> None:
    tree = ast.parse((ROOT / path).read_text())
    tests = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert not name or name in tests
    assert any(test.startswith("test_") for test in tests)
