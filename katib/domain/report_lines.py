"""Reports in the output: how a program's reports reach the manager when no call does.

A line of a run's output survives whatever happens to the manager meanwhile. So what the SDK could not send it prints, each
observation as a line with the reporter and the number that it would have been sent with; what arrived in both ways is there
once.

Where its model is a program says in this way alone: the line is there when the run has ended, which is when it is wanted.
"""

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final

from katib.domain.checks import check_name, check_text
from katib.domain.errors import FieldViolation
from katib.domain.metrics import MAX_SOURCE, REPORT_SOURCE, Observation, OutputLine, format_value, parse_value

PREFIX: Final = "katib-report "
MODEL_PREFIX: Final = "katib-model "
MAX_MODEL_PATH: Final = 4096
_MAX_INT: Final = 2**63
_LATEST: Final = datetime.max.replace(tzinfo=UTC).timestamp()


def format_report(reporter: str, observation: Observation) -> str:
    """The line, without its end."""
    entries = {
        "reporter": reporter,
        "sequence": observation.position,
        "name": observation.name,
        "value": format_value(observation.value),
        "step": observation.step,
        "time": observation.time.timestamp(),
    }
    return PREFIX + json.dumps({name: value for name, value in entries.items() if value is not None})


def parse_report(line: OutputLine, attempt: int) -> Observation | None:
    """The observation that the line holds; None for any other line, and for what no SDK of ours wrote."""
    if not line.text.startswith(PREFIX):
        return None
    entries = _entries(line.text.removeprefix(PREFIX))

    def get(name: str, type_: type, check: Callable[[Any], bool]) -> Any:
        found = entries.get(name)
        return found if type(found) is type_ and check(found) else None

    most = MAX_SOURCE - len(REPORT_SOURCE)
    reporter = get("reporter", str, lambda text: not check_text("", text, most))
    position = get("sequence", int, lambda number: 0 < number < _MAX_INT)
    name = get("name", str, lambda text: not check_name("", text))
    value = parse_value(entries["value"]) if isinstance(entries.get("value"), str) else None
    if reporter is None or position is None or name is None or value is None:
        return None
    step = get("step", int, lambda number: -_MAX_INT <= number < _MAX_INT)
    time = get("time", float, lambda seconds: 0 <= seconds < _LATEST)
    at = line.time if time is None else datetime.fromtimestamp(time, UTC)
    return Observation(name, value, at, attempt, REPORT_SOURCE + reporter, position, step=step)


def check_model_path(field: str, path: str) -> list[FieldViolation]:
    return check_text(field, path, MAX_MODEL_PATH, required="a path or an address")


def format_model(path: str) -> str:
    """The line that says where the model is, without its end."""
    return MODEL_PREFIX + json.dumps({"path": path})


def parse_model(lines: Iterable[OutputLine]) -> str:
    """What the last line that says so has for the model's path; empty where there is none."""
    found = ""
    for line in lines:
        if line.text.startswith(MODEL_PREFIX):
            path = _entries(line.text.removeprefix(MODEL_PREFIX)).get("path")
            if isinstance(path, str) and not check_model_path("", path):
                found = path
    return found


def _entries(text: str) -> dict[str, Any]:
    """Of the JSON object that the text is; none where it is something else."""
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return entries if isinstance(entries, dict) else {}
