"""The dashboard as an ASGI application: its addresses and what stands around them."""

import logging
from collections.abc import Sequence
from typing import Final

from anyio import CapacityLimiter
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route

from katib.api.client import ManagerClient
from katib.api.tls import ClientTls
from katib.dashboard import actions, create, login, pages, study_data, trial_data
from katib.dashboard.assets import Assets
from katib.dashboard.best_lines import BestLines
from katib.dashboard.context import NOBODY, Context, environment, render, static_version
from katib.dashboard.errors import AWAY, BusyError, status_of
from katib.dashboard.importance import Importance
from katib.dashboard.last_values import Metrics
from katib.dashboard.places import Places
from katib.dashboard.prefix import Prefix
from katib.dashboard.security import SecurityHeaders, own_hosts
from katib.domain.errors import (
    InternalError,
    InvalidArgumentError,
    KatibError,
    NotFoundError,
    UnauthenticatedError,
)

_log: Final = logging.getLogger(__name__)

# How long any one call to the manager may take; what takes longer is better asked for in pieces.
CALL_S: Final = 20.0
# Study files that are checked at once.
_CHECKS: Final = 2
# Large study files that are in memory at once.
_LARGE: Final = 4


def create_app(
    server: str | Sequence[str],
    root_path: str = "",
    hosts: Sequence[str] = (),
    tls: ClientTls | None = None,
    token: str = "",
) -> Starlette:
    """`server`: the manager's address, called with `tls`; `root_path`: the prefix in front of every path; `hosts`: the names by
    which it may be called, none for this machine's own and every IP address; `token`: for readers who have not logged in.
    Raises InvalidArgumentError for an address that is none."""
    version = static_version()
    app = Starlette(
        routes=[
            Route("/", pages.studies, name="studies"),
            Route("/studies/{study}", pages.study, name="study"),
            Route("/studies/{study}/trials/{number}", pages.trial, name="trial"),
            Route("/trials/{trial}", pages.trial_by_id),
            Route("/create", create.create),
            *login.ROUTES,
            *actions.ROUTES,
            *study_data.ROUTES,
            *trial_data.ROUTES,
            Route("/healthz", _alive),
            Mount(f"/static/{version}", Assets()),
        ],
        middleware=[
            Middleware(Prefix, root_path=root_path),
            Middleware(SecurityHeaders, hosts=hosts or own_hosts(), addresses=not hosts),
            Middleware(GZipMiddleware, minimum_size=600, compresslevel=6),
        ],
        exception_handlers={KatibError: _failed, HTTPException: _http_failed, Exception: _broken},
    )
    app.state.context = Context(
        ManagerClient(server, CALL_S, tls),
        environment(),
        version,
        Importance(),
        Metrics(),
        BestLines(),
        token or NOBODY,
        CapacityLimiter(_CHECKS),
        Places(_LARGE),
    )
    return app


async def _alive(_request: Request) -> Response:
    """Without a thread: those that answer pages may all wait for a manager."""
    return PlainTextResponse("ok\n")


async def _failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, KatibError)
    return _answer(request, error, status_of(error))


async def _http_failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return _answer(
            request, NotFoundError("there is no page at this address; the list of studies has links to all"), 404
        )
    return _answer(
        request, InternalError(f"{error.detail}: this address does not take such a request"), error.status_code
    )


async def _broken(request: Request, _error: Exception) -> Response:
    # Starlette raises it again for the log of the server.
    return _answer(request, InternalError("the dashboard has a defect here; its log says more"), 500)


def _answer(request: Request, error: KatibError, status: int) -> Response:
    if request.url.path.removeprefix(str(request.scope.get("root_path", ""))).startswith("/api/"):
        problems = []
        if isinstance(error, InvalidArgumentError):
            problems = [{"field": v.field, "value": v.value, "expected": v.expected} for v in error.violations]
        headers = {"retry-after": str(error.retry_after)} if isinstance(error, BusyError) else None
        return JSONResponse({"error": error.message, "problems": problems}, status_code=status, headers=headers)
    if isinstance(error, UnauthenticatedError):
        return login.refused(request, error)
    return render(request, "error.html", status=status, message=error.message, code=status, away=status in AWAY)
