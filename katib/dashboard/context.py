"""What every request handler uses: the client of the manager, the templates, and where the static files are."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from katib.api.client import ManagerClient
from katib.dashboard import text
from katib.dashboard.importance import Importance
from katib.dashboard.last_values import Metrics
from katib.dashboard.security import set_token, token_of

STATIC: Final = Path(__file__).parent / "static"

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
    )
    templates.filters |= {name: getattr(text, name) for name in ("number", "period", "iso", "limit", "aim", "between")}
    templates.globals |= {"percent": text.percent}
    return templates


@dataclass(frozen=True, slots=True)
class Context:
    client: ManagerClient
    templates: Environment
    static: str
    importance: Importance
    metrics: Metrics


def context_of(request: Request) -> Context:
    """With a client all of whose calls end in time for the browser, which waits thirty seconds for the whole answer."""
    context: Context | None = request.scope.get(_CONTEXT)
    if context is None:
        shared: Context = request.app.state.context
        context = request.scope[_CONTEXT] = replace(shared, client=shared.client.within(_REQUEST_S))
    return context


def patient_client_of(request: Request) -> ManagerClient:
    """For a download, which goes on for as long as somebody reads it: each call has its own deadline."""
    client: ManagerClient = request.app.state.context.client
    return client


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
            base=base, static=f"{base}/static/{context.static}", token=token, server=context.client.address, **values
        ),
        status_code=status,
    )
    set_token(request, response, token)
    return response


def fragment(request: Request, template: str, /, **values: Any) -> str:
    """A piece of a page, which the page puts in the place of the one it has."""
    return context_of(request).templates.get_template(template).render(base=base_of(request), **values)
