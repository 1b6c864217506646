"""Logging of every process: one line an event, with the ids that it is about, as text for people or JSON for machines.

Modules log with the standard library: `_log.info("trial ended", extra={"study_id": ..., "trial_id": ...})`.
"""

import io
import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final, TextIO

import structlog

FORMATS: Final = ("text", "json")


def set_up_logging(level: str = "INFO", format_: str = "text") -> None:
    """Sends all logs to standard error, everything in `extra` included."""
    processors: list[structlog.typing.Processor] = [
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.add_log_level,
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
    ]
    if format_ == "json":
        processors += [
            structlog.processors.dict_tracebacks,
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(),
        ]
    else:
        processors += [
            _without_controls,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=_traceback_without_controls, pad_event_to=0
            ),
        ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=processors))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)


def _without_controls(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What clients and programs said is logged too: none of it begins a line of its own, or is obeyed by a terminal."""
    for name, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[name] = _escaped(value)
    return event


def _traceback_without_controls(out: TextIO, exc_info: Any) -> None:
    raw = io.StringIO()
    structlog.dev.plain_traceback(raw, exc_info)
    # Set in, so that no line of what was raised looks like an entry.
    out.write("\n".join(f"  {_escaped(line)}" for line in raw.getvalue().rstrip("\n").split("\n")))


def _escaped(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
