"""Images for the test cluster, without a registry: busybox, the pause program, and Debian's Python for trials.

An image of ours is a `docker-archive`: one layer, its configuration and a list of both. `ctr images import` and
`buildah from docker-archive:` read it.
"""

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from tests.cluster import programs

PAUSE = "katib.test/pause:1"
BUSYBOX = "katib.test/busybox:1"
PYTHON = "katib.test/python:1"

_PYTHON_PACKAGES = ("python3", "python3-pip", "ca-certificates")
# What a container has no use for; the marker would keep pip from installing anything.
_UNUSED = (
    "var/cache/apt/*",
    "var/lib/apt/lists/*",
    "var/log/*",
    "usr/share/doc/*",
    "usr/share/man/*",
    "usr/share/locale/*",
    "usr/lib/python3*/EXTERNALLY-MANAGED",
    "dev/*",
)
_TRUST = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pip.conf")
_RECIPE = 1  # one more for each change of how it is made
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_MAKE_S = 1200


class ImageError(Exception):
    """The image is not to be had here; says why."""


def pause() -> Path:
    """The image that holds a Pod's namespaces."""
    return _small("pause", PAUSE, {"pause": programs.folder() / "pause"}, {}, ["/pause"])


def busybox() -> Path:
    """A shell and the small commands."""
    program = programs.busybox()
    listing = subprocess.run([program, "--list"], check=True, capture_output=True, text=True, timeout=60).stdout
    links = {f"bin/{name}": "busybox" for name in listing.split() if name != "busybox"}
    return _small("busybox", BUSYBOX, {"bin/busybox": program}, links, ["/bin/sh"])


@cache
def python() -> Path:
    """This machine's Debian or Ubuntu with its Python and pip, and nothing else: what stands in for `python:3.11-slim`.

    Raises:
        ImageError: with what `debootstrap` said.
    """
    suite, mirror = _release()
    key = hashlib.sha256(f"{_RECIPE} {suite} {_PYTHON_PACKAGES}".encode()).hexdigest()[:12]
    target = programs.cache_folder() / f"image-python-{suite}-{key}.tar"
    with programs.lock("python"):
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=programs.cache_folder(), prefix=".debootstrap-") as scratch:
                _bootstrap(Path(scratch), suite, mirror)
                _archive(target, PYTHON, Path(scratch) / "layer.tar", ["python3"])
    return target


def build(tag: str, context: Path, dockerfile: Path, *arguments: str) -> Path:
    """Builds a Dockerfile, its first `FROM` being the image with Python whatever it says; returns an archive of it.

    Raises:
        ImageError: with what `buildah` said.
    """
    base = python()
    target = _built(tag)
    # Of what the archive was made, and which image it holds: writing and reading hundreds of megabytes anew takes longer than
    # all else, and buildah some seconds to see that nothing has changed.
    key, made = target.with_suffix(".key"), target.with_suffix(".id")
    with programs.lock("buildah"):
        wanted = _ingredients(base, context, dockerfile, arguments)
        if target.exists() and key.exists() and key.read_text() == wanted:
            return target
        key.unlink(missing_ok=True)
        store = programs.cache_folder() / "images"
        place = [f"--root={store / 'root'}", f"--runroot={store / 'run'}", "--storage-driver=overlay"]
        buildah = ["buildah", *place]
        pulled = store / "base"
        try:
            if not pulled.exists() or pulled.read_text() != base.name:
                _do(*buildah, "pull", "--quiet", f"docker-archive:{base}")
                pulled.write_text(base.name)
            # Whom this machine trusts: a proxy of the place may stand between it and the packages.
            trust = [f"--volume={file}:{file}:ro" for file in _TRUST if Path(file).exists()]
            options = [*trust, "--isolation=chroot", "--pull=never", "--layers", f"--from={PYTHON}", f"--tag={tag}"]
            id_file = store / "id"
            _do(*buildah, "build", *options, f"--iidfile={id_file}", f"--file={dockerfile}", *arguments, str(context))
            identity = id_file.read_text()
            if not target.exists() or not made.exists() or made.read_text() != identity:
                made.unlink(missing_ok=True)
                target.unlink(missing_ok=True)
                _do(*buildah, "push", "--quiet", tag, f"docker-archive:{target}:{tag}")
                made.write_text(identity)
            key.write_text(wanted)
        finally:
            shutil.rmtree(store / "run", ignore_errors=True)
    return target


def _built(tag: str) -> Path:
    return programs.cache_folder() / f"built-{tag.replace('/', '-').replace(':', '-')}.tar"


def _ingredients(base: Path, context: Path, dockerfile: Path, arguments: Sequence[str]) -> str:
    """A digest of all that an image is made of. An argument may name another one that was built here."""
    digest = hashlib.sha256(f"{base.name}\n{dockerfile.read_text()}\n".encode())
    for argument in arguments:
        other = _built(argument.rpartition("=")[2]).with_suffix(".id")
        digest.update(f"{argument} {other.read_text() if other.exists() else ''}\n".encode())
    ignored = context / ".dockerignore"
    listed = [line[1:] for line in ignored.read_text().splitlines() if line[0:1] == "!"] if ignored.exists() else ["."]
    for name in listed:
        place = context / name
        for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(context)} {file.stat().st_mode:o}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def _release() -> tuple[str, str]:
    """The name of this machine's release, and where its packages come from."""
    told = Path("/etc/os-release").read_text()
    name = re.search(r"^VERSION_CODENAME=(\w+)$", told, re.MULTILINE)
    if name is None:
        raise ImageError("an image with Python can be made on Debian and Ubuntu alone")
    listing = _do("apt-get", "indextargets", "--format", "$(SITE) $(CODENAME)", "Created-By: Packages")
    sites = [line.split()[0] for line in listing.splitlines() if line.split()[1:] == [name[1]]]
    if not sites:
        raise ImageError(f"apt knows no packages of {name[1]}: run apt-get update")
    return name[1], sites[0]


def _bootstrap(folder: Path, suite: str, mirror: str) -> None:
    root = folder / "root"
    _do("debootstrap", "--variant=minbase", f"--include={','.join(_PYTHON_PACKAGES)}", suite, str(root), mirror)
    for pattern in _UNUSED:
        for path in root.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    _do("tar", "--create", "--numeric-owner", f"--file={folder / 'layer.tar'}", f"--directory={root}", ".")


def _do(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_MAKE_S, check=False)
    if done.returncode != 0:
        raise ImageError(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stdout


def _small(name: str, tag: str, files: Mapping[str, Path], links: Mapping[str, str], command: Sequence[str]) -> Path:
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for place, source in files.items():
        digest.update(place.encode() + source.read_bytes())
    target = programs.cache_folder() / f"image-{name}-{digest.hexdigest()[:12]}.tar"
    if not target.exists():
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as tar:
            for folder in ("bin", "etc", "tmp", "proc", "sys", "dev"):
                _add(tar, folder, mode=0o1777 if folder == "tmp" else 0o755, kind=tarfile.DIRTYPE)
            for place, content in {"etc/passwd": "root:x:0:0::/:/bin/sh\n", "etc/group": "root:x:0:\n"}.items():
                _add(tar, place, content.encode())
            for place, source in files.items():
                _add(tar, place, source.read_bytes(), mode=0o755)
            for place, to in links.items():
                _add(tar, place, kind=tarfile.SYMTYPE, link=to)
        with tempfile.TemporaryDirectory(dir=programs.cache_folder()) as scratch:
            path = Path(scratch) / "layer.tar"
            path.write_bytes(layer.getvalue())
            _archive(target, tag, path, command)
    return target


def _add(
    tar: tarfile.TarFile,
    name: str,
    data: bytes = b"",
    *,
    mode: int = 0o644,
    kind: bytes = tarfile.REGTYPE,
    link: str = "",
) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.type, entry.linkname = len(data), mode, kind, link
    tar.addfile(entry, io.BytesIO(data))


def _archive(target: Path, tag: str, layer: Path, command: Sequence[str]) -> None:
    with layer.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    config = {
        "architecture": _ARCHITECTURES.get(os.uname().machine, os.uname().machine),
        "os": "linux",
        "config": {"Cmd": list(command), "Env": ["PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        "history": [{"created_by": "tests/cluster/images.py"}],
    }
    raw = json.dumps(config).encode()
    name = f"{hashlib.sha256(raw).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": [tag], "Layers": ["layer.tar"]}]
    made = target.with_name(f".{target.name}.{os.getpid()}")
    with tarfile.open(made, "w") as tar:
        _add(tar, "manifest.json", json.dumps(manifest).encode())
        _add(tar, name, raw)
        tar.add(layer, "layer.tar")
    made.rename(target)
