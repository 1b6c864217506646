"""docs/running.md names every option of katib-manager."""

from pathlib import Path

from katib.manager.main import main

PAGE = Path(__file__).resolve().parents[2] / "docs" / "running.md"


def test_the_page_names_every_option_of_the_manager():
    text = PAGE.read_text(encoding="utf-8")
    options = [option for parameter in main.params for option in parameter.opts]
    assert "--database" in options
    assert [option for option in options if option != "--version" and f"`{option}`" not in text] == []
