"""Files that a command is given."""

from typing import Final

import click

from katib.domain.study_file import MAX_BYTES, StudyFileError

STDIN: Final = "-"


def read_file(path: str) -> tuple[bytes, str]:
    """The bytes, one more than a file may have at most, and the file's name for messages. Raises StudyFileError."""
    source = "standard input" if path == STDIN else path
    try:
        with click.open_file(path, "rb") as file:
            return file.read(MAX_BYTES + 1), source
    except OSError as error:
        raise StudyFileError.at(source, None, f"cannot be read: {error.strerror or error}; check the path") from None
