"""docs/security.md shows the policy as it is."""

from pathlib import Path

from katib.manager.auth.policy import table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "security.md"


def test_the_table_of_calls_is_made_of_the_policy() -> None:
    _, _, rest = PAGE.read_text(encoding="utf-8").partition("<!-- policy -->\n")
    shown, _, _ = rest.partition("\n<!-- end of policy -->")
    assert shown == table(), "write katib.manager.auth.policy.table() between the two marks"
