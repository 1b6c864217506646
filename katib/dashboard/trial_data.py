"""What the page of a trial asks for while it is looked at."""

from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from katib.dashboard.context import context_of, fragment
from katib.dashboard.curves import both_ends, points
from katib.dashboard.pages import saved_model
from katib.domain.errors import InvalidArgumentError
from katib.domain.metrics import Observation
from katib.domain.study import MAX_COUNT

_LOG_PIECE: Final = 256 * 1024
_CURVE_POINTS: Final = 500


def trial_state(request: Request) -> Response:
    """The trial's header, and the curves of its metrics in the current attempt; `cut`: without a middle part."""
    client = context_of(request).client
    detail = client.get_trial(request.path_params["trial"])
    study = client.get_study(detail.trial.study_id)
    observations, cut = detail.observations, False
    if detail.truncated:
        observations, cut = both_ends(client, detail.trial.id, detail=detail)
    by_name: dict[str, list[Observation]] = {}
    for observation in observations:
        by_name.setdefault(observation.name, []).append(observation)
    return JSONResponse(
        {
            "finished": detail.trial.state.finished,
            "attempt": detail.trial.attempt,
            "cut": cut,
            "metrics": {name: points(found, _CURVE_POINTS) for name, found in by_name.items()},
            "header": fragment(
                request,
                "_trial_header.html",
                study=study.summary,
                spec=study.spec,
                trial=detail.trial,
                earlier=detail.earlier,
                model=saved_model(client, study.summary, detail.trial.id),
                best=study.summary.best_trial_id == detail.trial.id,
            ),
        }
    )


def log(request: Request) -> Response:
    """A piece of the raw output, as bytes; `X-Next-Offset` is where the next one begins, `X-Finished` whether this is all
    there will ever be."""
    words = request.query_params
    chunk = context_of(request).client.trial_log(
        request.path_params["trial"],
        _whole("attempt", words.get("attempt", "0"), MAX_COUNT),
        _whole("offset", words.get("offset", "0"), 10**18),
        _LOG_PIECE,
    )
    return Response(
        chunk.data,
        media_type="application/octet-stream",
        headers={"x-next-offset": str(chunk.next_offset), "x-finished": "1" if chunk.finished else "0"},
    )


def _whole(name: str, text: str, most: int) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 19) or int(digits) > most:
        raise InvalidArgumentError.of(name, text, f"expected a whole number of at most {most}")
    return int(text)


ROUTES: Final = [
    Route("/api/trials/{trial}", trial_state),
    Route("/api/trials/{trial}/log", log),
]
