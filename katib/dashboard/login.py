"""Who looks at the pages: a reader shows the manager's token once, and the browser keeps it in a cookie that no script can
read.

The dashboard keeps nothing, so any of several answers. It never lends itself: without a token of the reader's the manager is
asked with the one that was given for everybody (`--token-file`), or with none that is good. A certificate by which the
dashboard itself is known to the manager counts for no reader.
"""

import json
from typing import Final
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from katib.api.logins import check_token
from katib.dashboard.context import context_of, login_of, render
from katib.dashboard.security import LOGIN_COOKIE, check_same_site, is_encrypted
from katib.domain.errors import InvalidArgumentError, UnauthenticatedError

# A cookie has at most 4096 bytes.
_LONGEST: Final = 3500
_LARGEST_BODY: Final = 16 * 1024


def page(request: Request, message: str = "", status: int = 200) -> Response:
    """Where a token is asked for. `message`: why the one that was shown is not enough."""
    return render(request, "login.html", status=status, message=message)


async def _login(request: Request) -> Response:
    check_same_site(request)
    token = await _token_in(request)
    client = context_of(request).client.with_token(token)
    _, asked = await run_in_threadpool(client.who_am_i, True)  # noqa: FBT003
    if not asked:
        raise InvalidArgumentError("this manager asks nobody who calls: there is nothing to log in to")
    response = JSONResponse({})
    response.set_cookie(
        LOGIN_COOKIE,
        quote(token, safe=""),
        path=request.scope.get("root_path") or "/",
        httponly=True,
        samesite="strict",
        secure=is_encrypted(request),
    )
    return response


async def _logout(request: Request) -> Response:
    check_same_site(request)
    response = JSONResponse({})
    response.delete_cookie(LOGIN_COOKIE, path=request.scope.get("root_path") or "/", httponly=True, samesite="strict")
    return response


def refused(request: Request, error: UnauthenticatedError) -> Response:
    """In place of any page that the manager does not show to who asks."""
    return page(request, error.message if login_of(request) else "", 401)


async def _token_in(request: Request) -> str:
    data = b""
    async for piece in request.stream():
        data += piece
        if len(data) > _LARGEST_BODY:
            raise InvalidArgumentError("the request is larger than any token")
    try:
        body = json.loads(data)
        text = str(body["token"]).strip()
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InvalidArgumentError("the request has no token") from None
    if len(text) > _LONGEST:
        raise InvalidArgumentError(f"the token: expected at most {_LONGEST} characters")
    return check_token(text, "the token")


ROUTES: Final = [
    Route("/login", page),
    Route("/api/login", _login, methods=["POST"]),
    Route("/api/logout", _logout, methods=["POST"]),
]
