"""Logging of every process: one line an event, with the ids that it is about, as text for people or JSON for machines.

Modules log with the standard library: `_log.info("trial ended", extra={"study_id": ..., "trial_id": ...})`.
"""

import logging
import sys
from typing import Final

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
        processors.append(
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
            )
        )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=processors))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
