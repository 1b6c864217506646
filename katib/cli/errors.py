"""Exit codes, and the sentence that each error becomes. `docs/cli.md` documents the codes: scripts compare with them."""

import os
from typing import Final

import click

from katib.cli.terminal import clean, clean_lines
from katib.domain.errors import (
    DeadlineExceededError,
    InvalidArgumentError,
    KatibError,
    NotFoundError,
    UnavailableError,
)
from katib.domain.study_file_errors import StudyFileError

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
UNAVAILABLE: Final = 4
TIMED_OUT: Final = 124  # as `timeout` of coreutils
INTERRUPTED: Final = 130  # 128 + SIGINT, as shells say it
PIPE_CLOSED: Final = 141  # 128 + SIGPIPE

_CODES: Final = (
    (InvalidArgumentError, USAGE),
    (NotFoundError, NOT_FOUND),
    (UnavailableError, UNAVAILABLE),
    (DeadlineExceededError, TIMED_OUT),
)


def report(error: Exception) -> int:
    """Says on standard error what happened; returns the exit code for it."""
    if os.environ.get("KATIB_TRACEBACK"):
        import traceback

        traceback.print_exception(error)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return USAGE
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx is not None else "katib-cli"
        click.echo(f"Error: {clean(error.format_message())}\nTry '{command} --help'.", err=True)
        return USAGE
    if isinstance(error, click.ClickException):
        click.echo(f"Error: {clean(error.format_message())}", err=True)
        return USAGE
    if isinstance(error, KatibError):
        # A study file's problems begin with its name, as a compiler's do.
        start = "" if isinstance(error, StudyFileError) else "Error: "
        click.echo(f"{start}{_sentence(error)}", err=True)
        return next((code for class_, code in _CODES if isinstance(error, class_)), FAILED)
    if isinstance(error, OSError):
        click.echo(f"Error: output could not be written: {error.strerror or error}", err=True)
        return FAILED
    click.echo(
        f"Error: katib-cli has a defect, {type(error).__name__}: {clean(str(error))}; "
        "please report it with what KATIB_TRACEBACK=1 shows.",
        err=True,
    )
    return FAILED


def _sentence(error: KatibError) -> str:
    text = clean_lines(error.message).rstrip()
    if isinstance(error, DeadlineExceededError):
        return f"{text}; look whether it took effect, or allow more time with --timeout"
    return text
