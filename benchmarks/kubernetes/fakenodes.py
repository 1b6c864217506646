"""Nodes without machines, as a process: see fakenodes/main.go."""

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import programs
from tests.cluster.cluster import Cluster

SOURCE = Path(__file__).parent / "fakenodes"
# Of the nodes, which take nothing but what asks for them.
LABEL = "katib.test/fake"
_BUILD_S = 600


@dataclass(frozen=True)
class Life:
    """Of one Pod, seconds since the epoch: when its program began and ended, and when the API server had taken in the end."""

    began: float
    ended: float
    told: float


@dataclass(frozen=True)
class FakeNodes:
    process: "subprocess.Popen[str]"
    report: Path

    def lives(self) -> Mapping[str, Life]:
        """By the Pods' names, of those that have ended well."""
        rows = [json.loads(line) for line in self.report.read_text().splitlines()]
        return {
            row["name"]: Life(*(row[key] / 1e9 for key in ("began", "ended", "told"))) for row in rows if not row["why"]
        }


def build() -> Path:
    """The program; built where it is not in the cache."""
    digest = hashlib.sha256(b"".join((SOURCE / name).read_bytes() for name in ("go.mod", "main.go"))).hexdigest()
    target = programs.cache_folder() / f"fakenodes-{digest[:12]}"
    if not target.exists():
        command = [programs.which("go") or "go", "build", "-trimpath", "-buildvcs=false", "-o", str(target), "."]
        subprocess.run(
            command, cwd=SOURCE, env={**os.environ, "CGO_ENABLED": "0"}, check=True, timeout=_BUILD_S, text=True
        )
    return target


@contextmanager
def fake_nodes(cluster: Cluster, folder: Path, count: int) -> Iterator[FakeNodes]:
    """Ready for Pods; stopped at the end."""
    report = folder / "report"
    given = {"kubeconfig": cluster.kubeconfig, "address": cluster.machine, "nodes": count, "report": report}
    with (folder / "fakenodes.log").open("wb") as log:
        process = subprocess.Popen(
            [build(), *(f"--{name}={value}" for name, value in given.items())],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        assert process.stdout
        if process.stdout.readline() != "ready\n":
            raise RuntimeError((folder / "fakenodes.log").read_text())
        yield FakeNodes(process, report)
    finally:
        process.terminate()
        process.wait(30)
