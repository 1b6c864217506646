"""Who may import what: the rules that `make lint` checks do catch what they forbid, and an installation has what it needs."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import grimp  # import-linter's own graph
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

# Each part with the extras that its image or its user installs.
INSTALLED_WITH: dict[str, list[str]] = {
    "katib.sdk": [],
    "katib.cli": [],
    "katib.api.client": [],
    "katib.suggestion": ["suggestion"],
    "katib.earlystopping": ["suggestion"],
    "katib.manager": ["manager"],
    "katib.dashboard": ["dashboard"],
    "katib.worker.local": ["manager"],
    "katib.local": ["all"],
}

# A forbidden import for each contract: where it is planted, and what.
PLANTED = [
    (
        "Packages build on each other in layers; programs do not import each other",
        "domain/names.py",
        "katib.api.channel",
    ),
    (
        "Packages build on each other in layers; programs do not import each other",
        "worker/base.py",
        "katib.manager.ports",
    ),
    (
        "Packages build on each other in layers; programs do not import each other",
        "sdk/planted.py",
        "katib.manager.ports",
    ),
    ("Packages build on each other in layers; programs do not import each other", "cli/planted.py", "katib.suggestion"),
    ("The domain knows no transport, database, cluster or terminal", "domain/names.py", "grpc"),
    ("The domain knows no transport, database, cluster or terminal", "domain/planted.py", "google.protobuf.message"),
    ("Algorithms and rules are pure: the domain and numerics only", "suggestion/algorithms/planted.py", "grpc"),
    (
        "Algorithms and rules are pure: the domain and numerics only",
        "earlystopping/rules/planted.py",
        "katib.api.api_pb2",
    ),
    ("In a service: server above servicer above algorithms", "suggestion/servicer.py", "katib.suggestion.server"),
    (
        "In a service: server above servicer above algorithms",
        "earlystopping/rules/planted.py",
        "katib.earlystopping.server",
    ),
    (
        "Use cases and controller see what is outside by its protocols",
        "manager/controller/planted.py",
        "katib.manager.storage",
    ),
    (
        "Use cases and controller see what is outside by its protocols",
        "manager/service/planted.py",
        "katib.worker.local",
    ),
    ("Use cases and controller see what is outside by its protocols", "manager/ports.py", "katib.api.api_pb2"),
    ("The servicer sees the use cases, nothing behind them", "manager/servicer.py", "katib.manager.storage"),
    (
        "Storage knows the domain and the ports, no transport and no worker",
        "manager/storage/planted.py",
        "katib.api.api_pb2",
    ),
    (
        "The services' clients know the ports and the wire, not their users",
        "manager/remote/planted.py",
        "katib.manager.service",
    ),
    ("SQL stands in the manager's storage only", "manager/service/planted.py", "sqlalchemy.orm"),
    ("SQL stands in the manager's storage only", "local.py", "alembic.command"),
    ("YAML stands in the study-file modules only", "cli/planted.py", "yaml"),
    ("RE2 stands in one module", "worker/local/planted.py", "re2"),
    ("The Kubernetes client stands in its worker only", "worker/local/planted.py", "kubernetes.client"),
    (
        "Packages build on each other in layers; programs do not import each other",
        "dashboard/planted.py",
        "katib.manager.ports",
    ),
    (
        "The web framework stands in the dashboard alone",
        "api/planted.py",
        "starlette.requests",
    ),
    ("A training script pays for the SDK and gRPC, nothing else", "sdk/planted.py", "katib.domain.study_file"),
    ("A training script pays for the SDK and gRPC, nothing else", "sdk/planted.py", "rich.table"),
]


def lint(folder: Path) -> dict[str, bool]:
    """Contract by name: whether it is kept."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"],
        cwd=folder,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    found = {name: word == "KEPT" for name, word in re.findall(r"^(.+?) (KEPT|BROKEN)\b", done.stdout, re.MULTILINE)}
    assert found, done.stdout + done.stderr
    assert (done.returncode == 0) == all(found.values())
    return found


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what import-linter looks at."""
    folder = tmp_path_factory.mktemp("tree")
    shutil.copytree(ROOT / "katib", folder / "katib", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


@pytest.mark.slow
class TestContracts:
    def test_all_are_kept_as_things_are(self, tree: Path) -> None:
        broken = [name for name, kept in lint(tree).items() if not kept]
        assert broken == []

    def test_each_is_proved_by_a_planted_import(self, tree: Path) -> None:
        assert {name for name, _, _ in PLANTED} == set(lint(tree))

    @pytest.mark.parametrize(("contract", "file", "imported"), PLANTED)
    def test_a_planted_import_breaks_it(self, tree: Path, contract: str, file: str, imported: str) -> None:
        planted = tree / "katib" / file
        before = planted.read_text() if planted.exists() else None
        planted.write_text(f"{before or ''}\n\nimport {imported}\n")
        try:
            assert lint(tree)[contract] is False
        finally:
            if before is None:
                planted.unlink()
            else:
                planted.write_text(before)


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(
        "katib", include_external_packages=True, exclude_type_checking_imports=True, cache_dir=None
    )


class TestInstallation:
    @pytest.mark.long
    @pytest.mark.parametrize("part", INSTALLED_WITH)
    def test_a_part_needs_no_library_that_its_extras_do_not_bring(self, graph: grimp.ImportGraph, part: str) -> None:
        needed = {name for name in graph.find_upstream_modules(part, as_package=True) if not name.startswith("katib")}
        distributions = packages_distributions()
        brought = {str(r) for extra in ["", *INSTALLED_WITH[part]] for r in requirements(extra)}
        missing = {
            name
            for name in needed - sys.stdlib_module_names
            if not brought & {canonicalize_name(d) for d in distributions.get(name, [])}
        }
        assert missing == set()

    def test_the_smallest_installation_has_no_numerics_and_no_database(self) -> None:
        assert {"grpcio", "protobuf"} <= set(requirements(""))
        assert not {"numpy", "scipy", "scikit-learn", "sqlalchemy", "kubernetes"} & set(requirements(""))

    def test_a_suggestion_image_has_no_database_and_no_cluster(self) -> None:
        assert "numpy" in set(requirements("suggestion"))
        assert not {"sqlalchemy", "alembic", "pymysql", "kubernetes"} & set(requirements("suggestion"))


def requirements(extra: str) -> Iterator[str]:
    """The distributions that `katib[extra]` asks for by name, without what these ask for; "" is plain `katib`."""
    project = PROJECT["project"]
    for line in project["optional-dependencies"][extra] if extra else project["dependencies"]:
        requirement = Requirement(line)
        if requirement.name == "katib":
            for other in requirement.extras:
                yield from requirements(other)
        else:
            yield canonicalize_name(requirement.name)


def test_an_algorithm_is_served_without_what_its_image_leaves_out() -> None:
    text = (ROOT / "Dockerfile.suggestion").read_text()
    found = re.search(r"site-packages/katib && rm -rf ([^\\\n]+)", text)
    assert found
    gone = [f"katib.{name.removesuffix('.py')}" for name in found[1].split()]
    assert "katib.sdk" in gone
    program = f"import sys\nsys.modules.update(dict.fromkeys({gone}))\nimport katib.suggestion.server"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
