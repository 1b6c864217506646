"""docs/own-algorithm.md: what it tells people to do on their machine works, and what it shows is what the example holds."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from katib.domain.search_space import FeasibleSpace, ParameterConfig, ParameterType, Scale, SearchSpace
from katib.domain.study import StudyReason
from katib.domain.study_file import parse_study
from tests.deploy.manifests import ROOT, Manifests, containers, default, labels, lets_in, template
from tests.deploy.pages import commands
from tests.deploy.test_manifests import PROJECT
from tests.e2e.harness import until
from tests.ports import free_port
from tests.suggestion.studies import FINITE, FINITE_LOG, MiniManager, study

EXAMPLES = ROOT / "examples" / "custom-suggestion"
FORMS = {"package": "halton", "service": "hillclimb"}


@pytest.mark.slow
def test_the_page_takes_a_reader_to_a_running_algorithm_on_their_machine(tmp_path: Path) -> None:
    address = f"localhost:{free_port()}"
    environment = {
        **os.environ,
        "PATH": f"{_environment(tmp_path / 'venv')}:{os.environ['PATH']}",
        "KATIB_LISTEN": address,
        "KATIB_SERVER": address,
        "COLUMNS": "200",
    }
    folder = tmp_path / "checkout"
    shutil.copytree(EXAMPLES, folder / "examples" / "custom-suggestion")
    serving, asking = commands("own-algorithm.md", "On your machine")
    *before, server = serving.splitlines()
    _run("\n".join(before), folder, environment)
    log = tmp_path / "server.log"
    with log.open("wb") as file:
        katib = subprocess.Popen(server.split(), cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT)
    try:
        until(lambda: "is ready" in log.read_text())
        said = _run(asking, folder, environment)
        tried = json.loads(_run("katib-cli list trials -o json", folder, environment))
    finally:
        katib.terminate()
        katib.wait(60)
    # The first points of the sequence, in bases 2 and 3.
    assert "COMPLETED" in said
    points = {t["number"]: t["parameters"]["x"] for t in tried}
    assert [float(points[n]) for n in (1, 2, 3, 4)] == [0.5, 0.25, 0.75, 0.125]


def _run(script: str, folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["sh", "-eu", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _environment(folder: Path) -> Path:
    """An environment of its own in which all of this one is there as well; returns where its programs are."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=60)
    (site,) = folder.glob("lib/python3*/site-packages")
    (site / "all.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    programs = folder / "bin"
    for program in Path(sys.executable).parent.glob("katib-*"):
        text = program.read_text().partition("\n")[2]
        (programs / program.name).write_text(f"#!{programs / 'python'}\n{text}")
        (programs / program.name).chmod(0o755)
    return programs


def test_what_the_page_shows_stands_in_the_example() -> None:
    page = (ROOT / "docs" / "own-algorithm.md").read_text()
    shown = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert shown
    example = (EXAMPLES / "package" / "katib_halton.py").read_text()
    without = re.sub(r'\n +""".*?"""', "", example)
    condensed = re.sub(r"\n\n", "\n", without)
    assert re.sub(r"\n\n", "\n", shown[1]) in condensed
    shown = re.search(r"```toml\n(.*?)```", page, re.DOTALL)
    assert shown
    assert shown[1] in (EXAMPLES / "package" / "pyproject.toml").read_text()


def _halton() -> Any:
    path = EXAMPLES / "package" / "katib_halton.py"
    spec = importlib.util.spec_from_file_location("katib_halton", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("space", [FINITE, FINITE_LOG], ids=["finite", "finite with a log scale"])
def test_the_sequence_gives_each_point_of_a_finite_space_once(space: Sequence[ParameterConfig]) -> None:
    manager = MiniManager(_halton().Halton(), study(space, ("MaxParallel", 3)))
    reply = manager.run()
    assert (reply.completed, reply.reason) == (True, StudyReason.EXHAUSTED)
    assert len({t.parameters for t in manager.trials}) == len(manager.trials) == SearchSpace.of(space).cardinality


def test_the_sequence_is_halton_s_on_every_kind_of_parameter() -> None:
    module = _halton()
    assert module.primes(5) == [2, 3, 5, 7, 11]
    assert [module.mirrored(n, 2) for n in (1, 2, 3, 4)] == [0.5, 0.25, 0.75, 0.125]
    space = SearchSpace.of(
        [
            ParameterConfig("x", ParameterType.DOUBLE, FeasibleSpace("0", "8")),
            ParameterConfig("n", ParameterType.INT, FeasibleSpace("1", "81", scale=Scale.LOG)),
        ]
    )
    points = [space.from_unit(module.coordinates(n, 2)) for n in (1, 2, 3)]
    assert [point[0].value for point in points] == ["4.0", "2.0", "6.0"]
    assert all(1 <= int(point[1].value) <= 81 for point in points)


def test_the_example_s_study_is_for_every_worker() -> None:
    parsed = parse_study((EXAMPLES / "study.yaml").read_bytes(), "study.yaml")
    assert parsed.warnings == ()
    assert (parsed.spec.name, parsed.spec.algorithm, parsed.spec.image != "") == ("try-it", "halton", True)


@pytest.mark.parametrize(("form", "name"), FORMS.items())
def test_the_manifest_makes_a_service_of_that_name_that_the_manager_reaches_and_no_rule_forbids(
    form: str, name: str
) -> None:
    own = Manifests((EXAMPLES / form / "suggestion.yaml").read_text())
    workload, service = own.one("Deployment", f"suggestion-{name}"), own.one("Service", f"suggestion-{name}")
    (container,) = containers(workload)
    assert service["spec"]["selector"] == labels(workload) == workload["spec"]["selector"]["matchLabels"]
    assert service["spec"]["ports"] == [{"name": "grpc", "port": 6789, "targetPort": "grpc"}]
    assert lets_in(default(), labels(default().one("Deployment", "katib-manager")), workload, container["ports"][0])
    # As restricted as Katib's own.
    ours = default().one("Deployment", "suggestion-random")
    assert container["securityContext"] == containers(ours)[0]["securityContext"]
    mine = template(workload)["spec"]
    assert mine["securityContext"].items() <= template(ours)["spec"]["securityContext"].items()
    assert mine["automountServiceAccountToken"] is False


def test_the_example_is_made_on_top_of_this_version() -> None:
    text = (EXAMPLES / "package" / "Dockerfile").read_text()
    assert re.findall(r"SUGGESTION=(\S+)", text) == [f"katib-suggestion:{PROJECT['version']}"]


def test_the_service_is_python_without_katib() -> None:
    text = (EXAMPLES / "service" / "server.py").read_text()
    assert not re.search(r"^(from|import) katib", text, re.MULTILINE)
