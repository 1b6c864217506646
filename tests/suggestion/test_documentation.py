"""docs/algorithms.md says of each algorithm's settings what its table says; a failing test prints the table that is wanted."""

import re
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from katib.api import plugins
from katib.domain.settings import Option
from katib.suggestion.base import Algorithm
from katib.suggestion.randomness import SEED
from katib.suggestion.room import MAX_PARALLEL, SUGGESTION_NUM
from katib.suggestion.server import GROUP

PAGE = Path(__file__).resolve().parents[2] / "docs" / "algorithms.md"
NAMES = sorted(entry.name for entry in entry_points(group=GROUP) if entry.value.startswith("katib."))
# Described once for all.
COMMON = (SUGGESTION_NUM, MAX_PARALLEL, SEED)


def section(title: str) -> str:
    """What stands between a heading of the second level and the next."""
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found, f"docs/algorithms.md has no section {title}"
    return found[1]


def table(options: Iterable[Option[object]]) -> str:
    rows = [f"| {_name(o)} | {o.expected} | {o.default_text} | {o.meaning} |\n" for o in options]
    return "".join(["| setting | value | default | meaning |\n", "| --- | --- | --- | --- |\n", *rows])


def _name(option: Option[object]) -> str:
    # The setting that stands for many bears no name of its own.
    return option.name if " " in option.name else f"`{option.name}`"


def tables(text: str) -> str:
    return "".join(re.findall(r"^\|.*\n", text, re.MULTILINE))


def test_the_settings_of_all_are_described_once() -> None:
    assert table(COMMON) in tables(section("Settings of all"))


@pytest.mark.parametrize("name", NAMES)
def test_the_settings_of_an_algorithm_are_described_in_its_section(name: str) -> None:
    algorithm: Algorithm = plugins.find(GROUP, "algorithm", name)
    rows = [o for o in algorithm.options.rows if o not in COMMON]
    rows += filter(None, [algorithm.options.per_parameter])

    assert section(name)
    if rows:
        assert table(rows) in tables(section(name))
