"""Logging of every process: one line an event, with the ids that it is about, as text for people or JSON for machines.

Modules log with the standard library: `_log.info("trial ended", extra={"study_id": ..., "trial_id": ...})`. So does this one: a
library for it would take a third of a suggestion service's time to start.
"""

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

FORMATS: Final = ("text", "json")
# What every record has; all else is `extra`.
_USUAL: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_RED, _YELLOW, _GREEN, _DIM, _PLAIN = "\x1b[31m", "\x1b[33m", "\x1b[32m", "\x1b[2m", "\x1b[0m"
_COLOURS: Final = {"debug": _GREEN, "info": _GREEN, "warning": _YELLOW, "error": _RED, "critical": _RED}


def set_up_logging(level: str = "INFO", format_: str = "text") -> None:
    """Sends all logs to standard error, everything in `extra` included."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if format_ == "json" else _Text(colours=sys.stderr.isatty()))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)


class _Json(logging.Formatter):
    """An object a line. The text of an exception has no values of variables in it: they may be secrets."""

    def format(self, record: logging.LogRecord) -> str:
        entry = dict(_extra(record))
        entry |= {"timestamp": _time(record), "level": record.levelname.lower(), "message": record.getMessage()}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=repr)


class _Text(logging.Formatter):
    """What clients and programs said is logged too: none of it begins a line of its own, or is obeyed by a terminal."""

    def __init__(self, *, colours: bool) -> None:
        super().__init__()
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        level = record.levelname.lower()
        time, shown = _time(record), f"{level:<8}"
        if self._colours:
            time, shown = f"{_DIM}{time}{_PLAIN}", f"{_COLOURS.get(level, '')}{shown}{_PLAIN}"
        words = [time, f"[{shown}]", _escaped(record.getMessage())]
        words += [f"{name}={_escaped(_quoted(value))}" for name, value in sorted(_extra(record).items())]
        lines = [" ".join(words)]
        if record.exc_info:
            # Set in, so that no line of what was raised looks like an entry.
            lines += [f"  {_escaped(line)}" for line in self.formatException(record.exc_info).split("\n")]
        return "\n".join(lines)


def _extra(record: logging.LogRecord) -> Mapping[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _USUAL}


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _quoted(value: object) -> str:
    """Strings as they are, unless where they end could not be seen."""
    return value if isinstance(value, str) and value and not set(value) & set(" ='\"") else repr(value)


def _escaped(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()
