"""Holds the namespaces that the test cluster lives in, and takes everything away when the test run is gone.

Two processes, with the standard library alone:

- the first process inside, PID 1 of a PID namespace of its own, with its own mounts and network. Everything that the cluster
  starts, containers among it, lives in this namespace, so nothing outlives this process: the kernel sees to that. Mounts,
  interfaces, routes and packet filters go with it.
- the guardian outside. It ends the one inside as soon as its standard input is closed, which happens when the test run ends in
  whatever way, and then removes what a namespace does not hold: cgroups and the folder of the state.

The guardian holds a lock on `<state>/lock`, so that a folder without a guardian is known as such (the next start removes it),
and an abstract socket that reserves its network.

The network: the cluster has 10.N.0.0/16 of which 10.N.0.0/29 is a wire to this machine, 10.N.0.1 here and 10.N.0.2 there;
10.N.1.0/24 and 10.N.2.0/24 are Pods of the first and the second node, 10.N.128.0/24 is for Services. There is no way out from
there, so whatever a Pod or a pull of an image tries to reach elsewhere fails at once.
"""

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_NETWORKS = range(100, 132)
_PRIVATE = ("/var/lib", "/var/log")  # what the programs keep at places that no flag moves
_STEP_S = 60


def main() -> None:
    """`guardian.py STATE` outside, `guardian.py --inside STATE` inside."""
    if sys.argv[1] == "--inside":
        _inside(Path(sys.argv[2]))
    else:
        _outside(Path(sys.argv[1]))


def remove_leftovers(parent: Path, prefix: str) -> list[str]:
    """Removes what guardians that were killed themselves have left below `parent`; returns what it was."""
    removed = []
    for state in parent.glob(f"{prefix}*"):
        with suppress(OSError), (state / "lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(state)
            removed.append(str(state))
    return removed


def _outside(state: Path) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a terminal's Ctrl-C is the test run's business
    with (state / "lock").open("w") as lock, _network() as network:
        fcntl.flock(lock, fcntl.LOCK_EX)
        inside = None
        try:
            make_cgroups(state.name)
            command = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", sys.executable, "-S", __file__]
            inside = subprocess.Popen([*command, "--inside", str(state)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            assert inside.stdout
            if inside.stdout.readline() != b"ready\n":
                raise SystemExit("the cluster's namespaces could not be made")
            pid = int(Path(f"/proc/{inside.pid}/task/{inside.pid}/children").read_text())
            _connect(network, pid)
            print(json.dumps({"pid": pid, "network": network}), flush=True)
            sys.stdin.buffer.read()
            os.kill(pid, signal.SIGKILL)
            inside.wait(_STEP_S)  # it is gone only when everything inside is
        finally:
            if inside:
                inside.kill()
                inside.wait(_STEP_S)
            _remove(state)


def _inside(state: Path) -> None:
    _run(
        "mount", "--make-rshared", "/"
    )  # of this namespace: volumes have to reach containers, nothing reaches the machine
    _run("mount", "-t", "proc", "proc", "/proc")
    _run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    for place in _PRIVATE:
        own = state / "root" / place.strip("/")
        own.mkdir(parents=True)
        _run("mount", "--bind", str(own), place)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    threading.Thread(target=_end_with_guardian, daemon=True).start()
    print("ready", flush=True)
    os.close(1)
    while True:  # what has lost its parent is ours to reap
        signal.sigwait({signal.SIGCHLD})
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _end_with_guardian() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


# The network


@contextmanager
def _network() -> Iterator[int]:
    """A number that no other cluster has at this time, nor any network that this machine knows."""
    for number in _NETWORKS:
        routes = json.loads(_run("ip", "-json", "route", "show", "table", "all", "to", "match", f"10.{number}.0.0"))
        routes += json.loads(_run("ip", "-json", "route", "show", "table", "all", "to", "root", f"10.{number}.0.0/16"))
        if any(route["dst"] != "default" for route in routes):
            continue
        with socket.socket(socket.AF_UNIX) as reserved:
            try:
                reserved.bind(f"\0katib-test-cluster-{number}")
            except OSError:
                continue
            yield number
            return
    raise SystemExit(f"none of the networks 10.{_NETWORKS[0]}.0.0/16 to 10.{_NETWORKS[-1]}.0.0/16 is free here")


def _connect(number: int, pid: int) -> None:
    here, there = f"katib{number}", "eth0"
    _run("ip", "link", "add", here, "type", "veth", "peer", "name", there, "netns", str(pid))
    _run("ip", "address", "add", f"10.{number}.0.1/29", "dev", here)
    _run("ip", "link", "set", here, "up")
    _run("ip", "route", "add", f"10.{number}.0.0/16", "via", f"10.{number}.0.2")
    inside = ("nsenter", "--target", str(pid), "--net", "ip")
    _run(*inside, "link", "set", "lo", "up")
    _run(*inside, "address", "add", f"10.{number}.0.2/29", "dev", there)
    _run(*inside, "address", "add", f"10.{number}.0.3/29", "dev", there)
    _run(*inside, "link", "set", there, "up")
    # Where a Service's packets would go if they were not sent to one of its Pods before.
    _run(*inside, "route", "add", f"10.{number}.128.0/24", "via", f"10.{number}.0.1")


# Cgroups


def _hierarchies() -> list[Path]:
    with open("/proc/self/mounts") as mounts:
        found = [line.split() for line in mounts]
    return [Path(place) for _, place, kind, *_ in found if kind in ("cgroup", "cgroup2")]


def make_cgroups(name: str) -> None:
    """A cgroup of this name in every hierarchy; its parent has to be there."""
    for hierarchy in _hierarchies():
        own = hierarchy / name
        own.mkdir(exist_ok=True)
        for file in ("cpuset.cpus", "cpuset.mems"):  # the first version's are empty until somebody fills them
            if (hierarchy / "cpuset.effective_cpus").exists():
                (own / file).write_text((own.parent / file).read_text())


def _remove_cgroups(name: str) -> None:
    deadline = time.monotonic() + _STEP_S
    for hierarchy in _hierarchies():
        own = hierarchy / name
        for folder in [*(Path(at) for at, _, _ in os.walk(own, topdown=False)), own]:
            while folder.exists() and time.monotonic() < deadline:
                try:
                    folder.rmdir()
                except OSError:  # what was killed is counted for a moment longer
                    time.sleep(0.05)


def _remove(state: Path) -> None:
    _remove_cgroups(state.name)
    shutil.rmtree(memory_folder(state), ignore_errors=True)
    for place in state.iterdir():
        if place.is_dir():
            shutil.rmtree(place, ignore_errors=True)
        elif place.name != "lock":  # by which the next start finds what could not be removed now
            place.unlink()
    if [place.name for place in state.iterdir()] == ["lock"]:
        shutil.rmtree(state, ignore_errors=True)


def memory_folder(state: Path) -> Path:
    """Where what belongs to `state` is kept in memory, on machines that have such a place."""
    shared = Path("/dev/shm")
    return shared / state.name if shared.is_dir() else state / "memory"


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_STEP_S, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed: {done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    main()
