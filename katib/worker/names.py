"""The names of runs (`names.run_name`), as workers find them again on what they started."""

import re
from typing import Final

from katib.domain.errors import InvalidArgumentError

_RUN_NAME: Final = re.compile(r"([a-z][0-9a-f]{15})-([1-9][0-9]{0,9})")


def is_run_name(name: str) -> bool:
    return _RUN_NAME.fullmatch(name) is not None


def split_name(name: str) -> tuple[str, int]:
    """The trial's id and the attempt of a run's name. Raises InvalidArgumentError for anything else."""
    match = _RUN_NAME.fullmatch(name)
    if match is None:
        raise InvalidArgumentError.of("run", name, "expected the name of a run: a trial's id, a hyphen and the attempt")
    return match[1], int(match[2])
