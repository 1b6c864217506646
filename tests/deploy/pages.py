"""The commands of a page of docs/, for a test to run."""

import re

from tests.deploy.manifests import ROOT

_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands(page: str, heading: str) -> list[str]:
    """The shell blocks below a heading, until the next one of whatever level."""
    text = (ROOT / "docs" / page).read_text()
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"docs/{page} has no heading {heading!r}"
    blocks = _BLOCK.findall(found[1])
    assert blocks, f"docs/{page} has no commands below {heading!r}"
    return [str(block) for block in blocks]
