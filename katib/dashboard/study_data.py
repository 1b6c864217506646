"""What the pages of studies ask for while they are looked at."""

import json
import time
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from katib.dashboard.changes import changes_of
from katib.dashboard.columns import trial_columns
from katib.dashboard.context import context_of, fragment, patient_client_of
from katib.dashboard.curves import curves_of
from katib.dashboard.downloads import trials_csv, trials_json
from katib.dashboard.limits import limit_fields
from katib.domain.errors import (
    DeadlineExceededError,
    InvalidArgumentError,
    NotFoundError,
    ResourceExhaustedError,
    UnavailableError,
    UnimplementedError,
)
from katib.domain.study_file_writer import dump_study

_SPARKS: Final = 60
_SPARK_S: Final = 3.0
_CURVES: Final = 60
# As JSONResponse has it.
_JSON: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def changes(request: Request) -> Response:
    """The study's header and the trials that changed after the revision in `after`, as columns (katib.dashboard.columns), page
    by page, of which a later one counts: of many a part, with `more`, which is asked for after this part's revision."""
    client = context_of(request).client
    study_id = request.path_params["study"]
    after = _whole(request, "after")
    detail = client.get_study(study_id)
    columns = []
    for change in changes_of(client, study_id, after, len(detail.spec.parameters)):
        if len(change.trials):
            # At once: the manager finds the next ones meanwhile.
            columns.append(_JSON(trial_columns(detail.spec, change.trials, change.study.created_at)))
    study = change.study
    best = detail.best_trial
    if study.best_trial_id != detail.summary.best_trial_id:
        try:
            best = client.get_study(study_id).best_trial
        except (DeadlineExceededError, UnavailableError, ResourceExhaustedError):
            pass  # the next answer has it; what was read for this one is not thrown away
    about = _JSON(
        {
            "revision": change.revision,
            "more": change.more,
            "finished": study.state.finished,
            "state": study.state.value,
            "max_trials": study.max_trials,
            "max_parallel": study.max_parallel,
            "limits": {field.name: field.value for field in limit_fields(study, detail.spec)},
            "best": best.number if best else None,
            "header": fragment(
                request,
                "_study_header.html",
                study=study,
                spec=detail.spec,
                best=best,
            ),
        }
    )
    return Response(f'{about[:-1]},"trials":[{",".join(columns)}]}}', media_type="application/json")


def sparklines(request: Request) -> Response:
    """For each study in `ids` the best objective so far, over its trials. Those that take too long to read are not in the
    answer: the page asks for them again."""
    client, lines_of = context_of(request).client, context_of(request).lines
    ids = [word for word in request.query_params.get("ids", "").split(",") if word]
    if len(ids) > _SPARKS:
        raise InvalidArgumentError.of("ids", f"{len(ids)} ids", f"expected at most {_SPARKS}")
    lines: dict[str, list[object]] = {}
    began = time.monotonic()
    for place, study_id in enumerate(ids):
        if time.monotonic() - began > _SPARK_S:
            break
        try:
            line = lines_of.of(client, study_id)
            if line is not None:
                lines[study_id] = line
        except NotFoundError:
            continue  # deleted since the list was made
        except UnimplementedError:
            # The manager is older, and the list goes without lines: empty ones, which the page does not ask for again.
            lines |= {left: [] for left in ids[place:]}
            break
    return JSONResponse(lines)


def curves(request: Request) -> Response:
    """The curves of one metric (`metric`) of up to 60 trials (`numbers`, with the beginnings of their ids in `ids`)."""
    numbers = [word for word in request.query_params.get("ids", "").split(",") if word]
    if len(numbers) > _CURVES:
        raise InvalidArgumentError.of("ids", f"{len(numbers)} trials", f"expected at most {_CURVES}")
    return JSONResponse(
        curves_of(
            context_of(request).client,
            request.path_params["study"],
            request.query_params.get("metric", ""),
            numbers,
        )
    )


def importance(request: Request) -> Response:
    return JSONResponse(context_of(request).importance.of(context_of(request).client, request.path_params["study"]))


def metrics(request: Request) -> Response:
    context = context_of(request)
    return JSONResponse(context.metrics.of(context.client, request.path_params["study"]))


def download_csv(request: Request) -> Response:
    return trials_csv(patient_client_of(request), request.path_params["study"])


def download_json(request: Request) -> Response:
    return trials_json(patient_client_of(request), request.path_params["study"])


def download_file(request: Request) -> Response:
    detail = context_of(request).client.get_study(request.path_params["study"])
    return Response(
        dump_study(detail.spec),
        media_type="application/yaml",
        headers={"content-disposition": f'attachment; filename="{detail.summary.id}.yaml"'},
    )


def ping(request: Request) -> Response:
    """Whether the manager answers."""
    context_of(request).client.list_studies(page_size=1)
    return JSONResponse({})


def _whole(request: Request, name: str) -> int:
    text = request.query_params.get(name, "0")
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise InvalidArgumentError.of(name, text, "expected a whole number from 0 on")
    return int(text)


ROUTES: Final = [
    Route("/api/ping", ping),
    Route("/api/sparklines", sparklines),
    Route("/api/studies/{study}/changes", changes),
    Route("/api/studies/{study}/curves", curves),
    Route("/api/studies/{study}/importance", importance),
    Route("/api/studies/{study}/metrics", metrics),
    Route("/studies/{study}/trials.csv", download_csv),
    Route("/studies/{study}/trials.json", download_json),
    Route("/studies/{study}/study.yaml", download_file),
]
