"""The studies of examples/metrics: one program, its metrics told in each way, the same values in each."""

import json
from pathlib import Path

import pytest

from tests.e2e.harness import World

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "metrics"
STUDIES = sorted(EXAMPLES.glob("*.yaml"))


def curves(running: World, path: Path) -> dict[tuple[int, int], float]:
    """By trial and step."""
    name = f"metrics-{path.stem}"
    running.cli("create-study", "-f", path, "--watch")
    rows = json.loads(running.cli("export", name, "-o", "json").stdout)
    return {(row["trial_number"], row["step"]): row["value"] for row in rows}


@pytest.mark.long
@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_way_of_telling_gives_the_whole_curve_of_every_trial(running: World, path: Path) -> None:
    found = curves(running, path)
    assert sorted(found) == [(trial, step) for trial in range(1, 5) for step in range(1, 31)]
    # The loss of the first step is that of a line at zero, whatever the parameters are.
    assert len({found[trial, 1] for trial in range(1, 5)}) == 1
    assert all(found[trial, 30] < found[trial, 1] for trial in range(1, 5))
