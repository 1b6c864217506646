"""The examples work: their studies are read without a warning, and training takes and prints what they say."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from katib.domain.metric_lines import TextLines
from katib.domain.search_space import SearchSpace
from katib.domain.study import effective_limits
from katib.domain.study_file import StudyFile, parse_study
from katib.suggestion.algorithms.hyperband import Hyperband
from tests.suggestion.studies import MiniManager

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
DIGITS = EXAMPLES / "digits"


def read(path: Path) -> StudyFile:
    return parse_study(path.read_bytes(), str(path))


@pytest.mark.parametrize("path", sorted(DIGITS.glob("*.yaml")), ids=lambda path: path.name)
def test_a_study_of_digits_runs_as_many_trials_as_it_says_two_at_a_time(path: Path) -> None:
    study = read(path)
    limits = effective_limits(study.spec)
    assert study.warnings == ()
    assert limits.max_parallel == 2
    if study.spec.algorithm == "grid":
        points = {s.name: int(s.value) for s in study.spec.settings}
        counts = [
            len(d.spread(points.get(d.name, points["DefaultGrid"]))) for d in SearchSpace.of(study.spec.parameters)
        ]
        assert counts == [5, 2, 2]
    elif study.spec.algorithm == "hyperband":
        manager = MiniManager(Hyperband(), replace(study.spec, limits=replace(limits, max_parallel=100)))
        manager.run()
        assert len(manager.trials) == 69
    else:
        assert limits.max_trials == (8 if path.name == "cluster.yaml" else 20)


@pytest.mark.long
@pytest.mark.parametrize(
    "path",
    [
        # One is enough all day: each trains a network.
        pytest.param(path, id=path.name, marks=() if path.name == "random.yaml" else pytest.mark.slow)
        for path in sorted(DIGITS.glob("*.yaml"))
    ],
)
def test_training_takes_every_parameter_of_the_study_and_prints_every_metric_it_collects(path: Path) -> None:
    spec = read(path).spec
    point = [0.7] * len(spec.parameters)
    parameters = [f"{p.name}={p.value}" for p in SearchSpace.of(spec.parameters).from_unit(point)]
    command = [sys.executable, *spec.command[1:], *parameters, "--epochs=3"]
    done = subprocess.run(command, cwd=DIGITS, capture_output=True, text=True, timeout=60, check=True)
    found = [pair for line in done.stdout.splitlines() for pair in TextLines(spec.metric_names)(line)]
    assert [name for name, _, _ in found] == ["loss", "Validation-accuracy"] * 3
    assert all(0.5 < value <= 1.0 for name, value, _ in found if name == "Validation-accuracy")
    assert done.stderr == ""
