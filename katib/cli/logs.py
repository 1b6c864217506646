"""The command that shows what a trial printed."""

import codecs
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from katib.cli.find import find_trial, trial_arguments
from katib.cli.patience import Patience
from katib.cli.session import Session, connected, pass_session
from katib.cli.terminal import clean
from katib.domain.errors import UnavailableError

if TYPE_CHECKING:
    from katib.api.client import ManagerClient

_POLL_S = 0.5
_PIECE = 256 * 1024


@click.command("logs")
@trial_arguments
@click.option("-f", "--follow", is_flag=True, help="Go on until the trial ends.")
@click.option("--attempt", type=click.IntRange(min=1), help="Only of this attempt.  [default: the latest]")
@click.option("--tail", type=click.IntRange(min=1), metavar="BYTES", help="Only the last so many bytes.")
@connected
@pass_session
def logs(session: Session, trial: str, number: int | None, follow: bool, attempt: int | None, tail: int | None) -> None:
    """Print what a trial printed; TRIAL is an id or its first characters, or a study with the trial's NUMBER behind it.

    On a terminal control characters are shown as escapes; a pipe gets the bytes as they are.
    """
    with session.connect() as client:
        trial_id = find_trial(client, trial, number)
        write = _write_clean() if sys.stdout.isatty() else _write_raw
        offset = -tail if tail else 0
        for data in (
            follow_output(client, trial_id, attempt, offset)
            if follow
            else output(client, trial_id, attempt or 0, offset)
        ):
            write(data)


def output(client: "ManagerClient", trial_id: str, attempt: int, offset: int) -> Iterator[bytes]:
    """The output of one attempt from `offset` to its present end."""
    while True:
        chunk = client.trial_log(trial_id, attempt, offset, _PIECE)
        offset = chunk.next_offset
        if not chunk.data:
            return
        yield chunk.data


def follow_output(client: "ManagerClient", trial_id: str, attempt: int | None, offset: int) -> Iterator[bytes]:
    """The output from `offset` on until the trial, or the given attempt of it, has ended. A manager that goes away is waited
    for."""
    current = attempt or client.get_trial(trial_id).trial.attempt
    patience = Patience()
    while True:
        try:
            chunk = client.trial_log(trial_id, current, offset, _PIECE)
            offset = chunk.next_offset
            if chunk.data:
                yield chunk.data
            elif chunk.finished:
                trial = client.get_trial(trial_id).trial
                if attempt is not None or trial.state.finished:
                    return
                if trial.attempt > current:
                    current, offset = trial.attempt, 0
                    click.echo(f"Attempt {current} begins.", err=True)
        except UnavailableError as error:
            patience.wait(error)
            continue
        patience.renew()
        if not chunk.data:
            time.sleep(_POLL_S)


def _write_raw(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _write_clean() -> Callable[[bytes], None]:
    sanitise = Sanitiser()

    def write(data: bytes) -> None:
        sys.stdout.write(sanitise(data))
        sys.stdout.flush()

    return write


class Sanitiser:
    """Bytes that come in pieces, as text that a terminal can show and does not obey. What a progress bar writes over
    itself becomes lines."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._after_return = False

    def __call__(self, data: bytes) -> str:
        text = self._decode(data)
        # The line end of \r\n may come with the next piece.
        if self._after_return and text.startswith("\n"):
            text = text[1:]
        if text:
            self._after_return = text.endswith("\r")
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        return "\n".join("\t".join(clean(part) for part in line.split("\t")) for line in lines)
