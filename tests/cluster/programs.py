"""The programs of the test cluster: Kubernetes, CoreDNS and the pause program, built from the Go module registry.

They are built once for each version (about ten minutes on two cores) and kept outside the tree, in a folder whose name says
what they were built from:

    ${KATIB_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/katib-tests}/kubernetes-<version>-<hash>/

`python -m tests.cluster.prepare` does that, and is what `make test-cluster` runs first.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HERE = Path(__file__).parent
_SOURCES = ("go.mod", "go.sum", "pause/main.go", "dns/go.mod", "dns/go.sum", "dns/main.go")
_KUBERNETES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
_DEBIAN = {  # command: package
    "etcd": "etcd-server",
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "nft": "nftables",
    "ip": "iproute2",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "buildah": "buildah",
    "debootstrap": "debootstrap",
}
_CNI = ("/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni")
_BUSYBOX = ("/bin/busybox", "/usr/bin/busybox")
_BUILD_S = 3600


class BuildError(Exception):
    """The programs are not to be had here; says why."""


def cache_folder() -> Path:
    """Where everything is kept that takes long to make and does not change."""
    given = os.environ.get("KATIB_TEST_CACHE")
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(given) if given else Path(home) / "katib-tests"


def version() -> str:
    """Kubernetes' version, as go.mod pins it: v1.36.3."""
    found = re.search(r"k8s\.io/kubernetes (v[0-9]\S+)", (_HERE / "go.mod").read_text())
    assert found, "tests/cluster/go.mod does not say which Kubernetes it pins"
    return found[1]


def folder() -> Path:
    """Where the programs are, or will be."""
    digest = hashlib.sha256()
    for name in _SOURCES:
        digest.update((_HERE / name).read_bytes())
    return cache_folder() / f"kubernetes-{version()}-{digest.hexdigest()[:12]}"


def cni_folder() -> Path:
    """Where the network plugins are."""
    return next((Path(place) for place in _CNI if (Path(place) / "ptp").exists()), Path(_CNI[0]))


def busybox() -> Path:
    """A statically linked busybox."""
    return next((Path(place) for place in _BUSYBOX if Path(place).exists()), Path(_BUSYBOX[0]))


def built() -> bool:
    """Whether all programs are there."""
    return (folder() / "complete").exists()


def missing(*, prepared: bool = True) -> list[str]:
    """What the cluster needs and this machine does not have, in words for the one who can change it.

    What prepare.py makes counts only where that should have run already.
    """
    if not sys.platform.startswith("linux"):
        return ["Linux: the cluster's node is this machine"]
    wanted = []
    if os.geteuid() != 0:
        wanted.append("to run as root: containers, cgroups and network namespaces are made")
    packages = {package for command, package in _DEBIAN.items() if which(command) is None}
    if not (cni_folder() / "ptp").exists():
        packages.add("containernetworking-plugins")
    if not busybox().exists():
        packages.add("busybox-static")
    if packages:
        wanted.append(f"tests/cluster/install.sh, for {', '.join(sorted(packages))}")
    if not built() and which("go") is None:
        wanted.append("Go, to build Kubernetes once")
    elif not built() and prepared:
        wanted.append(f"Kubernetes {version()}, which python -m tests.cluster.prepare builds")
    return wanted


def which(command: str) -> str | None:
    """The command's path; root's commands are found where /usr/sbin is not searched."""
    return shutil.which(command, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/local/go/bin")


@contextmanager
def lock(name: str) -> Iterator[None]:
    """One at a time makes what is kept in the cache."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    with (cache_folder() / f".{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def build() -> Path:
    """Builds what is not there yet.

    Raises:
        BuildError: with what the compiler said.
    """
    target = folder()
    with lock("programs"):
        if built():
            return target
        target.mkdir(exist_ok=True)
        _say(f"building Kubernetes {version()} into {target}: once, about ten minutes on two cores")
        begun = time.monotonic()
        for name in _KUBERNETES:
            _build(target / name, f"k8s.io/kubernetes/cmd/{name}", _HERE)
        _build(target / "coredns", ".", _HERE / "dns")
        _build(target / "pause", "./pause", _HERE)
        (target / "complete").touch()
        _say(f"built in {time.monotonic() - begun:.0f} s")
    return target


def _build(target: Path, package: str, where: Path) -> None:
    if target.exists():
        return
    go = which("go") or "go"
    begun = time.monotonic()
    major, minor, _ = version().removeprefix("v").split(".")
    named = {"gitVersion": version(), "gitMajor": major, "gitMinor": minor}
    flags = [f"-X {module}.{key}={value}" for key, value in named.items() for module in _VERSION_MODULES]
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".building-") as scratch:
        made = Path(scratch) / target.name
        command = [
            "nice",
            "-n",
            "19",
            go,
            "build",
            "-trimpath",
            "-buildvcs=false",
            "-ldflags",
            " ".join(["-s -w", *flags]),
        ]
        done = subprocess.run(
            [*command, "-o", made, package],
            cwd=where,
            env={**os.environ, "CGO_ENABLED": "0"},
            capture_output=True,
            text=True,
            timeout=_BUILD_S,
            check=False,
        )
        if done.returncode != 0:
            raise BuildError(f"go build {package} failed:\n{done.stderr[-4000:]}")
        made.rename(target)
    _say(f"  {target.name}: {time.monotonic() - begun:.0f} s, {target.stat().st_size >> 20} MiB")


_VERSION_MODULES = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
