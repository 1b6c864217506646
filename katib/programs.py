"""What the programs of an installation begin with: that one was installed without what it needs is said in a sentence.

The command line needs no more than every installation has, and counts each millisecond: it begins by itself.
"""

import importlib
import sys


def manager() -> None:
    _run("katib.manager.main", "manager")


def suggestion() -> None:
    _run("katib.suggestion.server", "suggestion")


def earlystopping() -> None:
    _run("katib.earlystopping.server", "suggestion")


def dashboard() -> None:
    _run("katib.dashboard.server", "dashboard")


def local() -> None:
    _run("katib.local", "all")


def _run(module: str, extra: str) -> None:
    try:
        main = importlib.import_module(module).main
    except ModuleNotFoundError as error:
        missing = (error.name or "katib").partition(".")[0]
        if missing == "katib":
            raise
        sys.exit(f"this program needs {missing}, which is not installed: pip install 'katib[{extra}]'")
    main()
