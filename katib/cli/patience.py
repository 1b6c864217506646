"""How long a command that follows something waits for a manager that went away, as in an upgrade."""

import time
from collections.abc import Callable
from typing import Final

import click

from katib.cli.terminal import clean
from katib.domain.errors import KatibError

# A manager that restarts is back in seconds; one that is moved to another machine may need minutes.
AWAY_S: Final = 600.0
_PAUSE_S: Final = 1.0


class Patience:
    """Waits between tries, and gives up when the manager has been away for AWAY_S on end."""

    def __init__(self, say: Callable[[str], None] | None = None) -> None:
        self._say = say or (lambda text: click.echo(text, err=True))
        self._since: float | None = None

    def renew(self) -> None:
        """The manager answers."""
        self._since = None

    def wait(self, error: KatibError) -> None:
        """Waits a moment before the next try. Raises `error` when it has been too long."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
            self._say(f"Connection lost ({clean(error.message)}); trying again for {AWAY_S / 60:g} minutes.")
        elif now - self._since > AWAY_S:
            raise error
        time.sleep(_PAUSE_S)
