"""Where the logs of a cluster's programs stay when it is gone."""

import shutil
import time
from pathlib import Path

from tests.cluster import programs

_KEPT = 5
_QUIET_S = 600


def _last_written(folder: Path) -> float:
    """0: another cluster that starts now has just removed it."""
    try:
        return max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
    except FileNotFoundError:
        return 0.0


def new_folder(name: str) -> Path:
    """A folder for this run's logs beside those of the last ones."""
    parent = programs.cache_folder() / "logs"
    parent.mkdir(parents=True, exist_ok=True)
    for old in sorted(parent.iterdir(), key=_last_written)[: -_KEPT + 1 or None]:
        # A cluster that runs beside this one still writes there.
        if time.time() - _last_written(old) > _QUIET_S:
            shutil.rmtree(old, ignore_errors=True)
    folder = parent / f"{time.strftime('%Y%m%d-%H%M%S')}-{name}"
    folder.mkdir()
    return folder
