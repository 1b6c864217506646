"""Nothing of a cluster outlives the run that started it, however that ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.cluster import programs
from tests.cluster.cluster import Cluster
from tests.cluster.processes import ClusterError, wait_until

_RUN = """
import sys
from tests.cluster.cluster import Cluster

cluster = Cluster()
cluster.start()
cluster.run("left", "default", "sleep", "4321")
cluster.wait_for_phase("left", "default", "Running")
print(cluster.name, flush=True)
sys.stdin.read()
"""


def test_a_run_that_is_killed_leaves_nothing(own_cluster: Cluster) -> None:
    run = subprocess.Popen([sys.executable, "-c", _RUN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with run:
        assert run.stdout
        name = _told(run.stdout.readline())
        assert _traces(name)
        os.kill(run.pid, signal.SIGKILL)
    wait_until("everything is gone", lambda: _nothing_of(name))


def test_a_start_that_fails_says_why_and_leaves_nothing(
    own_cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program in programs.folder().iterdir():
        (tmp_path / program.name).symlink_to(program)
    broken = tmp_path / "kube-apiserver"
    broken.unlink()
    broken.write_text("#!/bin/sh\necho no flag is good enough\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(programs, "folder", lambda: tmp_path)
    cluster = Cluster()
    with pytest.raises(ClusterError, match=r"kube-apiserver has ended[^$]*no flag is good enough"):
        cluster.start()
    assert _nothing_of(cluster.name)


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""  # it has ended meanwhile, as short ones do


def test_what_a_killed_guardian_leaves_is_removed_at_the_next_start(own_cluster: Cluster) -> None:
    run = subprocess.Popen([sys.executable, "-c", _RUN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with run:
        assert run.stdout
        name = _told(run.stdout.readline())
        guardians = [p for p in psutil.Process(run.pid).children() if "guardian.py" in _command(p)]
        assert guardians
        assert _traces(name)
        for process in guardians:
            process.kill()
        os.kill(run.pid, signal.SIGKILL)
    wait_until("no process is left", lambda: not _processes(name))
    # One that starts beside this test is a next start too, and may have been faster.
    Cluster().stop()
    assert _nothing_of(name)


def test_two_clusters_side_by_side_have_nothing_in_common(own_cluster: Cluster) -> None:
    other = Cluster()
    other.start()
    try:
        assert other.server != own_cluster.server
        with own_cluster.namespace() as name, pytest.raises(ClusterError, match="NotFound"):
            other.get("namespace", name)
    finally:
        other.stop()


def _told(line: str) -> str:
    assert line, "the run ended before its cluster was there"
    return line.strip()


def _traces(name: str) -> list[str]:
    """What is left of the cluster of this name."""
    places = [
        *Path("/tmp").glob(f"{name}*"),
        *Path("/dev/shm").glob(f"{name}*"),
        *Path("/sys/fs/cgroup").glob(f"**/{name}"),
    ]
    return [*map(str, places), *_processes(name)]


def _processes(name: str) -> list[str]:
    return [str(one.pid) for one in psutil.process_iter(["cmdline"]) if name in " ".join(one.info["cmdline"] or [])]


def _nothing_of(name: str) -> bool:
    left = _traces(name)
    if left:
        raise ClusterError(f"left: {left}")
    return True
