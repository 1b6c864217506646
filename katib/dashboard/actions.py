"""What a reader can do. Each action is a POST of JSON that is proved to come from a page of ours (katib.dashboard.security)."""

import json
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Final, TypeAlias

from anyio import to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from katib.api.client import ManagerClient
from katib.dashboard.context import context_of
from katib.dashboard.limits import cost_of
from katib.dashboard.places import Places
from katib.dashboard.security import check_same_site
from katib.domain.errors import FailedPreconditionError, FieldViolation, InvalidArgumentError, violation
from katib.domain.study import MAX_COUNT, Limits
from katib.domain.study_file import MAX_BYTES, Problem, StudyFile, StudyFileError, parse_study
from katib.domain.study_file_values import parse_number, parse_period, parse_whole

Body: TypeAlias = Mapping[str, object]
Action: TypeAlias = Callable[[ManagerClient, Mapping[str, str], Body], object]

_SOURCE: Final = "study.yaml"
# Of a request, in bytes.
_USUAL: Final = 64 * 1024
_COUNTS: Final = ("max_trials", "max_parallel", "max_failed_trials", "retry_limit")
_PERIODS: Final = ("trial_timeout", "max_duration")


def _check(_client: ManagerClient, _path: Mapping[str, str], body: Body) -> object:
    """What is wrong with a study file, without asking the manager."""
    try:
        study = _read(body)
    except StudyFileError as error:
        return {"problems": _problems(error.problems)}
    return {"problems": [], "warnings": _problems(study.remarks)}


def _create(client: ManagerClient, _path: Mapping[str, str], body: Body) -> object:
    study = _read(body)
    try:
        return {"id": client.create_study(study.spec, _text(body, "request_id"))}
    except InvalidArgumentError as error:
        raise study.refused_by_manager(error) from None
    except FailedPreconditionError as error:
        # Nothing is wrong with the file in itself, but what it names is not there.
        problem = study.located(error.message)
        if problem is None:
            raise
        raise StudyFileError(_SOURCE, [problem]) from None


def _stop(client: ManagerClient, path: Mapping[str, str], _body: Body) -> object:
    client.stop_study(path["study"])
    return {}


def _delete(client: ManagerClient, path: Mapping[str, str], _body: Body) -> object:
    client.delete_study(path["study"])
    return {}


def _pause(client: ManagerClient, path: Mapping[str, str], _body: Body) -> object:
    client.update_study(path["study"], paused=True)
    return {}


def _resume(client: ManagerClient, path: Mapping[str, str], _body: Body) -> object:
    client.update_study(path["study"], paused=False)
    return {}


def _update(client: ManagerClient, path: Mapping[str, str], body: Body) -> object:
    """Limits and goal as a person writes them, of those that are to be changed. What would end trials that run is not done
    without `sure`, but answered as `cost`."""
    found: list[FieldViolation] = []

    def read(name: str, kind: Callable[[str], object], expected: str) -> object:
        if name not in body:
            return None
        text = _text(body, name).strip()
        if not text:
            found.append(violation(name, "", "expected a value: a limit can be changed, not taken away"))
            return None
        try:
            return kind(text)
        except ValueError:
            found.append(violation(name, text, expected))
            return None

    counts = {name: read(name, _count, "expected a whole number") for name in _COUNTS}
    periods = {name: read(name, parse_period, "expected a time such as 90s, 10m or 2h") for name in _PERIODS}
    goal = read("optimization_goal", _goal, "expected a finite number")
    if found:
        raise InvalidArgumentError(found)
    whole = {name: value for name, value in counts.items() if isinstance(value, int)}
    times = {name: value for name, value in periods.items() if isinstance(value, timedelta)}
    limits = Limits(
        max_trials=whole.get("max_trials"),
        max_parallel=whole.get("max_parallel"),
        max_failed_trials=whole.get("max_failed_trials"),
        retry_limit=whole.get("retry_limit"),
        trial_timeout=times.get("trial_timeout"),
        max_duration=times.get("max_duration"),
    )
    if not _text(body, "sure"):
        cost = cost_of(client.get_study(path["study"]).summary, limits)
        if cost:
            return {"cost": cost}
    client.update_study(path["study"], limits, goal=goal if isinstance(goal, float) else None)
    return {}


def _count(text: str) -> int:
    """What the wire has a field for; the manager says what it accepts of that. Raises ValueError."""
    number = parse_whole(text)
    if number is None or abs(number) > MAX_COUNT:
        raise ValueError(text)
    return number


def _goal(text: str) -> float:
    """Raises ValueError."""
    number = parse_number(text)
    if number is None or not math.isfinite(number):
        raise ValueError(text)
    return number


def _stop_trial(client: ManagerClient, path: Mapping[str, str], _body: Body) -> object:
    client.stop_trial(path["trial"])
    return {}


def _read(body: Body) -> StudyFile:
    study = parse_study(_text(body, "file"), _SOURCE)
    directory = study.spec.working_dir
    if directory and not directory.startswith("/"):
        expected = "expected a path from / on: the machine that runs the trials does not know which folder you are in"
        raise study.refused([violation("working_dir", directory, expected)])
    return study


def _text(body: Body, name: str) -> str:
    value = body.get(name, "")
    if not isinstance(value, str):
        raise InvalidArgumentError.of(name, value, "expected a text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidArgumentError.of(name, value, "expected text without halves of surrogate pairs") from None
    return value


def _problems(problems: Sequence[Problem]) -> list[dict[str, object]]:
    return [
        {"line": p.line, "field": p.violation.field, "value": p.violation.value, "expected": p.violation.expected}
        for p in problems
    ]


def _endpoint(action: Action, *, aside: bool = False) -> Callable[[Request], object]:
    async def answer(request: Request) -> Response:
        check_same_site(request)
        context = context_of(request)
        limiter = context.checks if aside else None
        try:
            async with _body(request, context.large) as body:
                done = await to_thread.run_sync(action, context.client, request.path_params, body, limiter=limiter)
        except StudyFileError as error:
            return JSONResponse(
                {"error": "the study file cannot be used", "problems": _problems(error.problems)}, status_code=400
            )
        return JSONResponse(done)

    return answer


@asynccontextmanager
async def _body(request: Request, places: Places) -> AsyncIterator[Body]:
    """One that is larger than most waits for one of the places, and has it until it is done with: whoever reaches the dashboard
    may send as many as there are connections. Raises InvalidArgumentError for one that is no object of JSON, or larger than any
    study file."""
    data = bytearray()
    async with AsyncExitStack() as stack:
        try:
            async for piece in request.stream():
                if len(data) <= _USUAL < len(data) + len(piece):
                    await stack.enter_async_context(places.one(request.client.host if request.client else ""))
                data += piece
                if len(data) > 2 * MAX_BYTES:
                    raise InvalidArgumentError(
                        f"the request has more than {2 * MAX_BYTES} bytes: no study file is so large"
                    )
        except ClientDisconnect:
            # Nobody is there to be told.
            raise InvalidArgumentError("the request broke off within its body") from None
        try:
            body = json.loads(data or b"{}")
        except (ValueError, RecursionError):
            body = None
        del data
        if not isinstance(body, dict):
            raise InvalidArgumentError("the request is no JSON object")
        yield body


def _route(path: str, action: Action, *, aside: bool = False) -> Route:
    """`aside`: beside the threads that answer pages, for what whoever reaches the dashboard may have computed."""
    return Route(path, _endpoint(action, aside=aside), methods=["POST"])


ROUTES: Final = [
    _route("/api/studies", _create),
    _route("/api/studies/check", _check, aside=True),
    _route("/api/studies/{study}/stop", _stop),
    _route("/api/studies/{study}/pause", _pause),
    _route("/api/studies/{study}/resume", _resume),
    _route("/api/studies/{study}/update", _update),
    _route("/api/studies/{study}/delete", _delete),
    _route("/api/trials/{trial}/stop", _stop_trial),
]
