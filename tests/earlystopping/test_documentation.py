"""docs/early-stopping.md says of each rule's settings what its table says; a failing test prints the table that is wanted."""

import re
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from katib.api import plugins
from katib.earlystopping.base import CHECK_INTERVAL, Rule
from katib.earlystopping.server import GROUP
from tests.suggestion.test_documentation import table, tables

PAGE = Path(__file__).resolve().parents[2] / "docs" / "early-stopping.md"
NAMES = sorted(entry.name for entry in entry_points(group=GROUP) if entry.value.startswith("katib."))


def section(title: str) -> str:
    """What stands between a heading of the second level and the next."""
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found, f"docs/early-stopping.md has no section {title}"
    return found[1]


def test_the_setting_of_all_is_described_once() -> None:
    assert table([CHECK_INTERVAL]) in tables(section("A setting of all"))


@pytest.mark.parametrize("name", NAMES)
def test_the_settings_of_a_rule_are_described_in_its_section(name: str) -> None:
    rule: Rule = plugins.find(GROUP, "rule", name)

    assert table(o for o in rule.options.rows if o is not CHECK_INTERVAL) in tables(section(name))


def test_the_overview_names_every_rule() -> None:
    assert re.findall(r"^\| \[(\w+)\]", PAGE.read_text(), re.MULTILINE) == [*NAMES]
