"""The pages, as the server renders them; scripts then keep them up to date."""

from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from katib.api.client import ManagerClient
from katib.dashboard.columns import SHORT_ID, parameter_axes, trial_columns
from katib.dashboard.context import base_of, context_of, fragment, render
from katib.dashboard.importance import LEAST
from katib.dashboard.limits import limit_fields
from katib.dashboard.listing import Query, list_studies
from katib.domain.errors import NotFoundError
from katib.domain.names import is_id_prefix
from katib.domain.study import MAX_COUNT, StudyState
from katib.domain.study_file_writer import dump_study
from katib.domain.trial_columns import columns_of
from katib.domain.views import StudySummary, every

# As many as the table shows at once.
_NEWEST: Final = 25
# What the page of a study runs, so that a browser fetches all of it at once: first what shows the table.
_SCRIPTS: Final = (
    *(f"js/{name}.js" for name in ("study", "act", "page", "trials", "trial-table", "filter", "address", "selection")),
    *(
        f"js/{name}.js"
        for name in ("history", "chart", "curves", "parallel", "scale", "logarithm", "slices", "timeline", "importance")
    ),
    "vendor/echarts.js",
)


def studies(request: Request) -> Response:
    query = Query.of(request.query_params)
    listing = list_studies(context_of(request).client, query)
    if "fragment" in request.query_params:
        return Response(
            fragment(request, "_studies.html", listing=listing, states=list(StudyState)), media_type="text/html"
        )
    return render(request, "studies.html", listing=listing, states=list(StudyState))


def study(request: Request) -> Response:
    """With the newest trials, which are there to be read while the others come."""
    client = context_of(request).client
    detail = client.get_study(request.path_params["study"])
    newest = client.list_trials(detail.summary.id, newest_first=True, page_size=_NEWEST).items
    return render(
        request,
        "study.html",
        study=detail.summary,
        spec=detail.spec,
        best=detail.best_trial,
        limits=limit_fields(detail.summary, detail.spec),
        axes=parameter_axes(detail.spec),
        newest=trial_columns(detail.spec, columns_of(newest), detail.summary.created_at),
        scripts=_SCRIPTS,
        least=LEAST,
        epoch=detail.summary.created_at.timestamp(),
        file=dump_study(detail.spec),
    )


def trial(request: Request) -> Response:
    """By number, with `?id=` the beginning of its id; without, it is looked for."""
    client = context_of(request).client
    study_id, number = request.path_params["study"], request.path_params["number"]
    if not (number.isascii() and number.isdecimal() and len(number) < 19):
        raise NotFoundError("a study's trials are numbered from 1 on")
    trial_id = find_trial(client, study_id, int(number), request.query_params.get("id", ""))
    return _trial(request, client, trial_id)


def trial_by_id(request: Request) -> Response:
    client = context_of(request).client
    found = client.get_trial(request.path_params["trial"]).trial
    return RedirectResponse(
        f"{base_of(request)}/studies/{found.study_id}/trials/{found.number}?id={found.id[:SHORT_ID]}"
    )


def _trial(request: Request, client: ManagerClient, trial_id: str) -> Response:
    detail = client.get_trial(trial_id)
    study = client.get_study(detail.trial.study_id)
    return render(
        request,
        "trial.html",
        study=study.summary,
        spec=study.spec,
        trial=detail.trial,
        earlier=detail.earlier,
        model=saved_model(client, study.summary, trial_id),
        best=study.summary.best_trial_id == trial_id,
    )


def saved_model(client: ManagerClient, study: StudySummary, trial_id: str) -> object:
    """The trial's record in the model store, or None."""
    try:
        return client.saved_model(study.name, trial_id)
    except NotFoundError:
        return None


def find_trial(client: ManagerClient, study_id: str, number: int, prefix: str) -> str:
    """The id of a study's trial number `number`. Raises NotFoundError."""
    none = NotFoundError(f"study {study_id} has no trial {number}; its page lists all that there are")
    if number > MAX_COUNT:
        raise none
    if is_id_prefix(prefix):
        for candidate in client.list_trials(study_id, id_prefix=prefix, page_size=100).items:
            if candidate.number == number:
                return candidate.id
    # An older manager knows no such question, and gives all trials.
    for candidate in every(lambda token: client.list_trials(study_id, page_size=1000, page_token=token, number=number)):
        if candidate.number == number:
            return candidate.id
    raise none
