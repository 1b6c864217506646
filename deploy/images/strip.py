"""Takes out of an image what a service on Python never runs: `strip.py`, as root, in the image's last stage but one.

Shells, the tools beside them, compilers and the programs that install packages are of use to an intruder alone. What is left of
programs is Python. The records of what is installed stay for those who scan images.
"""

import shutil
import sys
from pathlib import Path

_PROGRAMS = ("bin", "sbin", "usr/bin", "usr/sbin", "usr/local/bin", "usr/local/sbin")
_KEPT = "python"
_RESTS = (
    *(
        "etc/apt",
        "var/cache",
        "var/lib/apt",
        "var/log",
        "usr/lib/apt",
        "usr/lib/dpkg",
        "var/lib/dpkg/info",
        "root/.cache",
    ),
    *(
        "usr/share/doc",
        "usr/share/man",
        "usr/share/info",
        "usr/share/locale",
        "usr/share/perl5",
        "usr/share/bash-completion",
    ),
    *("usr/lib/*/perl*", "usr/lib/*/gconv", "usr/libexec", "usr/include", "usr/local/include", "usr/src"),
    *("usr/**/ensurepip", "usr/**/python3*/*-packages/pip", "usr/**/python3*/*-packages/pip-*", "usr/**/pip-*.whl"),
    *("usr/**/python3*/test", "usr/**/python3*/idlelib"),
)


def strip(root: Path) -> None:
    """Raises OSError where something cannot be taken out: an image that is only thought to be without it must not be made."""
    for folder in _PROGRAMS:
        # /bin is /usr/bin by another name in most.
        if not (root / folder).is_symlink():
            for path in (root / folder).glob("*"):
                if not path.name.startswith(_KEPT) or path.name.endswith("-config"):
                    _remove(path)
    for pattern in _RESTS:
        for path in list(root.glob(pattern)):
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    strip(Path(*sys.argv[1:] or ("/",)))
    Path(__file__).unlink()
