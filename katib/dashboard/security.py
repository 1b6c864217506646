"""What keeps other sites out of a user's dashboard, and other people's text from running in it.

Every page names what it may load: this program's own files, no inline script, no inline style. An action counts only with
three things that a page of another site cannot give together: a browser that says the request is of the same site (or an
`Origin` of this host), a token in a header of our own, and the same token in a cookie that other sites' requests do not carry.
A name that somebody points at our address (DNS rebinding) is refused: pages are there for the names that the user allowed, or
for this machine's own and for IP addresses, which nobody can point elsewhere.
"""

import hmac
import ipaddress
import secrets
import socket
from collections.abc import Sequence
from functools import cache
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from katib.domain.errors import PermissionDeniedError

COOKIE: Final = "katib_token"
# Who the reader is to the manager: see katib.dashboard.login.
LOGIN_COOKIE: Final = "katib_login"
TOKEN_HEADER: Final = "x-katib-token"  # noqa: S105 - its name
LOOPBACK_HOSTS: Final = ("localhost", "127.0.0.1", "[::1]")

_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_HEADERS: Final = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class SecurityHeaders:
    """Adds them to every answer; refuses hosts that are not ours: `hosts`, and with `addresses` every IP address."""

    def __init__(self, app: ASGIApp, hosts: Sequence[str], *, addresses: bool) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._addresses = addresses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        host = Headers(scope=scope).get("host", "")
        name = _name_of(host)
        if name not in self._hosts and not (self._addresses and _is_address(name)):
            others = ", its IP address" if self._addresses else ""
            answer = PlainTextResponse(
                f"This dashboard does not answer to the host name {host!r}. Use one of {', '.join(sorted(self._hosts))}"
                f"{others}, or start it with --allowed-host.\n",
                status_code=421,
            )
            await answer(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)


@cache
def own_hosts() -> tuple[str, ...]:
    """The names of this machine, as it knows them itself. Looks in the DNS: at the start, not while pages are asked for."""
    return tuple(dict.fromkeys(("localhost", socket.gethostname().lower(), socket.getfqdn().lower())))


def is_encrypted(request: Request) -> bool:
    """Between the browser and whoever it speaks to: this program, or a proxy before it, which says so. Who makes that up for a
    request of its own gets a cookie that its browser will not send."""
    return request.url.scheme == "https" or request.headers.get("x-forwarded-proto", "").strip().lower() == "https"


def token_of(request: Request) -> str:
    """The browser's token, or a new one, which the answer has to set."""
    token = request.cookies.get(COOKIE, "")
    return token if 32 <= len(token) <= 64 and token.isalnum() else secrets.token_hex(24)


def set_token(request: Request, response: Response, token: str) -> None:
    if request.cookies.get(COOKIE) == token:
        return
    response.set_cookie(
        COOKIE,
        token,
        path=request.scope.get("root_path") or "/",
        httponly=True,
        samesite="strict",
        secure=is_encrypted(request),
    )


def check_same_site(request: Request) -> None:
    """Raises PermissionDeniedError for an action that did not come from a page of ours."""
    headers = request.headers
    site = headers.get("sec-fetch-site")
    if site is not None:
        ours = site == "same-origin"
    else:
        # Browsers leave it out where the address is neither https nor of this machine.
        host = _host_of(headers.get("origin", ""))
        ours = bool(host) and host in (headers.get("host"), headers.get("x-forwarded-host"))
    given, kept = headers.get(TOKEN_HEADER, ""), request.cookies.get(COOKIE, "")
    if not (ours and kept and hmac.compare_digest(given.encode(), kept.encode())):
        raise PermissionDeniedError(
            "this action did not come from a page of this dashboard, so nothing was done; load the page again and repeat it"
        )


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _name_of(host: str) -> str:
    """Without the port."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).lower()


def _is_address(name: str) -> bool:
    if name.startswith("[") != name.endswith("]"):
        return False
    try:
        return (ipaddress.ip_address(name.strip("[]")).version == 6) == name.startswith("[")
    except ValueError:
        return False
