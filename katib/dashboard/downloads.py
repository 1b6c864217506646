"""All trials of a study for other programs, with every digit: a row, or an object, for each trial."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Final

from starlette.responses import Response, StreamingResponse

from katib.api.client import ManagerClient
from katib.dashboard.last_values import last_values
from katib.dashboard.text import exact, iso
from katib.domain.csv_cells import text_cell
from katib.domain.parameters import Parameter, ParameterType
from katib.domain.study import StudySpec
from katib.domain.trial import Trial
from katib.domain.views import Page, pages

_FIELDS: Final = (
    "number",
    "id",
    "state",
    "reason",
    "message",
    "attempt",
    "run",
    "created_at",
    "started_at",
    "ended_at",
)
_PAGE: Final = 1000
# What is sent at once, in characters: tags may be long.
_PIECE: Final = 256 * 1024


def trials_csv(client: ManagerClient, study_id: str) -> Response:
    """A column for the objective, for each further metric and for each parameter."""
    spec = client.get_study(study_id).spec
    return _file(_csv(client, study_id, spec), "text/csv; charset=utf-8", f"{study_id}-trials.csv")


def trials_json(client: ManagerClient, study_id: str) -> Response:
    spec = client.get_study(study_id).spec
    return _file(_json(client, study_id, spec), "application/json", f"{study_id}-trials.json")


def _csv(client: ManagerClient, study_id: str, spec: StudySpec) -> Iterator[str]:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    metrics = _Metrics(client, study_id, spec)
    names = [config.name for config in spec.parameters]
    headers = (*_FIELDS[:3], spec.objective_name, *metrics.names, *names, *_FIELDS[3:])
    writer.writerow([_cell(header) for header in headers])
    for page in _pages(client, study_id):
        for trial in page.items:
            row = _row(trial)
            values = {p.name: _value(p) for p in trial.parameters}
            cells = [*(row[f] for f in _FIELDS[:3]), exact(trial.objective), *metrics.of(trial)]
            cells += [*(values.get(n) for n in names), *(row[f] for f in _FIELDS[3:])]
            writer.writerow([_cell(value) for value in cells])
        yield out.getvalue()
        out.seek(0)
        out.truncate()
    yield out.getvalue()


def _json(client: ManagerClient, study_id: str, spec: StudySpec) -> Iterator[str]:
    """A list with an object to a line, in pieces of many: each is handed from thread to thread and sent, which takes longer
    than to write a trial."""
    metrics = _Metrics(client, study_id, spec)
    before = "[\n"
    for page in _pages(client, study_id):
        lines, size = [], 0
        for trial in page.items:
            document = _row(trial) | {
                "objective": {"name": spec.objective_name, "value": exact(trial.objective)},
                "metrics": dict(zip(metrics.names, metrics.of(trial), strict=True)),
                "parameters": {p.name: _value(p) for p in trial.parameters},
                "tags": {tag.name: tag.value for tag in trial.tags},
            }
            line = before + json.dumps(document, ensure_ascii=False)
            before = ",\n"
            lines.append(line)
            size += len(line)
            if size > _PIECE:
                yield "".join(lines)
                lines, size = [], 0
        yield "".join(lines)
    yield "[]\n" if before == "[\n" else "\n]\n"


class _Metrics:
    """The metrics beside the objective, as the table on the page has them. They come from another place than the trials, and
    are read at once: a few numbers for each trial."""

    def __init__(self, client: ManagerClient, study_id: str, spec: StudySpec) -> None:
        self.names: Final = spec.metric_names[1:]
        self._values = last_values(client, study_id, spec.name, self.names) if self.names else {}

    def of(self, trial: Trial) -> list[object]:
        return [exact(value) for value in self._values.get(trial.number, [None] * len(self.names))]


def _pages(client: ManagerClient, study_id: str) -> Iterator[Page[Trial]]:
    return pages(lambda token: client.list_trials(study_id, page_size=_PAGE, page_token=token))


def _row(trial: Trial) -> dict[str, object]:
    return {
        "number": trial.number,
        "id": trial.id,
        "state": trial.state.value,
        "reason": trial.stop_reason or trial.reason,
        "message": trial.message,
        "attempt": trial.attempt,
        "run": trial.run,
        "created_at": iso(trial.created_at),
        "started_at": iso(trial.started_at) or None,
        "ended_at": iso(trial.ended_at) or None,
    }


def _value(parameter: Parameter) -> object:
    if parameter.type is ParameterType.CATEGORICAL:
        return parameter.value
    try:
        return int(parameter.value)
    except ValueError:
        pass
    try:
        return exact(float(parameter.value))
    except ValueError:
        return parameter.value


def _cell(value: object) -> object:
    return text_cell(value) if isinstance(value, str) else value


def _file(pieces: Iterator[str], kind: str, name: str) -> Response:
    # The first piece before the answer begins: an error of the manager is then an error of the answer.
    first = next(pieces)

    def every() -> Iterator[str]:
        yield first
        yield from pieces

    return StreamingResponse(
        every(), media_type=kind, headers={"content-disposition": f'attachment; filename="{name}"'}
    )
