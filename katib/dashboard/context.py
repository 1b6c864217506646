"""What every request handler uses: the client of the manager, the templates, and where the static files are."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from anyio import CapacityLimiter
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from katib.api.client import ManagerClient
from katib.dashboard import text
from katib.dashboard.best_lines import BestLines
from katib.dashboard.importance import Importance
from katib.dashboard.last_values import Metrics
from katib.dashboard.places import Places
from katib.dashboard.security import LOGIN_COOKIE, set_token, token_of
from katib.domain.tokens import PREFIX

STATIC: Final = Path(__file__).parent / "static"

# A token that is nobody's: a manager that asks who calls takes it before the dashboard's certificate, which is no reader's.
NOBODY: Final = f"{PREFIX}nobody"
_CONTEXT: Final = "katib.context"
_REQUEST_S: Final = 25.0


def static_version() -> str:
    """Changes with any static file, so that browsers may keep each for ever under the address that has it."""
    digest = hashlib.sha256()
    for path in sorted(STATIC.rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(STATIC).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def environment() -> Environment:
    templates = Environment(
        loader=PackageLoader("katib.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    templates.filters |= {
        name: getattr(text, name) for name in ("number", "precise", "period", "iso", "limit", "aim", "between")
    }
    templates.globals |= {"percent": text.percent}
    # Now, as the scripts are: an upgrade may put others in their place while this program runs.
    for name in templates.list_templates():
        templates.get_template(name)
    return templates


@dataclass(frozen=True, slots=True)
class Context:
    client: ManagerClient
    templates: Environment
    static: str
    importance: Importance
    metrics: Metrics
    lines: BestLines
    everybody: str
    # Of what is computed for whoever reaches the dashboard: the threads that answer pages are not for it.
    checks: CapacityLimiter
    # Of large study files in memory.
    large: Places

    def client_for(self, request: Request) -> ManagerClient:
        """A client that calls as the reader."""
        return self.client.with_token(login_of(request) or self.everybody)


def login_of(request: Request) -> str:
    """The token that the reader has shown; empty for none."""
    token = unquote(request.cookies.get(LOGIN_COOKIE, ""))
    return token if token.isascii() and token.isprintable() else ""


def context_of(request: Request) -> Context:
    """With a client all of whose calls end in time for the browser, which waits thirty seconds for the whole answer."""
    context: Context | None = request.scope.get(_CONTEXT)
    if context is None:
        shared: Context = request.app.state.context
        context = request.scope[_CONTEXT] = replace(shared, client=shared.client_for(request).within(_REQUEST_S))
    return context


def patient_client_of(request: Request) -> ManagerClient:
    """For a download, which goes on for as long as somebody reads it: each call has its own deadline."""
    shared: Context = request.app.state.context
    return shared.client_for(request)


def base_of(request: Request) -> str:
    """What every address of ours begins with: the path prefix, without a slash at its end."""
    return str(request.scope.get("root_path", ""))


def render(request: Request, template: str, /, status: int = 200, **values: Any) -> Response:
    """A whole page."""
    context = context_of(request)
    token = token_of(request)
    base = base_of(request)
    response = HTMLResponse(
        context.templates.get_template(template).render(
            base=base,
            static=f"{base}/static/{context.static}",
            token=token,
            server=context.client.address,
            logged_in=bool(login_of(request)),
            # Where pages are shown without, nothing else leads there.
            may_log_in=context.everybody != NOBODY,
            **values,
        ),
        status_code=status,
    )
    set_token(request, response, token)
    return response


def fragment(request: Request, template: str, /, **values: Any) -> str:
    """A piece of a page, which the page puts in the place of the one it has."""
    return context_of(request).templates.get_template(template).render(base=base_of(request), **values)
