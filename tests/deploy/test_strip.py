"""What `deploy/images/strip.py` leaves of an image; what is left in real ones is looked at on the cluster."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy/images/strip.py"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """As of Debian, with a second Python where the official images have theirs."""
    files = (
        *("usr/bin/bash", "usr/bin/dash", "usr/bin/python3.13", "usr/bin/apt-get", "usr/bin/perl", "usr/sbin/ldconfig"),
        *("usr/local/bin/pip", "usr/local/bin/python3", "usr/local/bin/python3.13-config", "usr/lib/x86_64/libc.so.6"),
        *(
            "usr/lib/x86_64/perl-base/strict.pm",
            "usr/lib/python3/dist-packages/pip/__init__.py",
            "etc/ssl/certs/ca.pem",
        ),
        *("usr/local/lib/python3.13/ensurepip/__init__.py", "usr/local/lib/python3.13/json/__init__.py"),
        *("var/lib/dpkg/status", "var/lib/apt/lists/x", "usr/share/zoneinfo/UTC", "opt/katib/bin/katib-manager"),
    )
    for name in files:
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    root = tmp_path / "root"
    (root / "bin").symlink_to("usr/bin")
    (root / "usr/bin/sh").symlink_to("dash")
    (root / "usr/bin/python3").symlink_to("python3.13")
    return root


def test_of_programs_python_is_left_and_of_the_rest_what_it_runs_with(root: Path, tmp_path: Path) -> None:
    script = tmp_path / "strip.py"
    script.write_bytes(SCRIPT.read_bytes())

    subprocess.run([sys.executable, script, root], check=True, timeout=60)

    assert sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()) == [
        "etc/ssl/certs/ca.pem",
        "opt/katib/bin/katib-manager",
        "usr/bin/python3",
        "usr/bin/python3.13",
        "usr/lib/x86_64/libc.so.6",
        "usr/local/bin/python3",
        "usr/local/lib/python3.13/json/__init__.py",
        "usr/share/zoneinfo/UTC",
        "var/lib/dpkg/status",
    ]
    assert (root / "bin").is_symlink()
    assert not script.exists()
