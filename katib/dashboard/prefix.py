"""The path under which a proxy shows the dashboard, from `X-Forwarded-Prefix` or `--root-path`."""

import re
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

_PREFIX: Final = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")


def is_prefix(text: str) -> bool:
    """Whether `text` is a path such as `/team/katib`: no slash at its end, nothing that would be an address elsewhere."""
    return len(text) <= 200 and _PREFIX.fullmatch(text) is not None


class Prefix:
    """Sets `root_path`, which every link begins with. A proxy may leave the prefix in the path or take it away."""

    def __init__(self, app: ASGIApp, root_path: str = "") -> None:
        self._app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            forwarded = Headers(scope=scope).get("x-forwarded-prefix", "").rstrip("/")
            scope["root_path"] = forwarded if is_prefix(forwarded) else self._root_path
        await self._app(scope, receive, send)
