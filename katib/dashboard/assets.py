"""The files that pages are made of. Their address has their version in it, so browsers keep each for ever."""

import gzip
from functools import cache
from pathlib import Path
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from katib.dashboard.context import STATIC

_KEEP: Final = "public, max-age=31536000, immutable"
_TYPES: Final = {".js": "text/javascript", ".css": "text/css"}


class Assets(StaticFiles):
    """Scripts and styles are compressed once, not for everybody who comes: a page asks for twenty at a time."""

    def __init__(self) -> None:
        super().__init__(directory=STATIC)
        # What the version in the address was made of, whatever becomes of the files while this program runs.
        self._compressible = {
            path.relative_to(STATIC).as_posix(): path.read_bytes()
            for path in STATIC.rglob("*")
            if path.suffix in _TYPES and path.is_file()
        }
        self._compressed = cache(self._compress)

    async def get_response(self, path: str, scope: Scope) -> Response:
        headers = Headers(scope=scope)
        compressible = scope["method"] == "GET" and path in self._compressible and "range" not in headers
        if not compressible or "gzip" not in headers.get("accept-encoding", ""):
            return await super().get_response(path, scope)
        return Response(
            await run_in_threadpool(self._compressed, path),
            media_type=_TYPES[Path(path).suffix],
            headers={"content-encoding": "gzip", "vary": "Accept-Encoding", "cache-control": _KEEP},
        )

    def file_response(self, *arguments: Any, **named: Any) -> Response:
        response = super().file_response(*arguments, **named)
        response.headers["cache-control"] = _KEEP
        return response

    def _compress(self, path: str) -> bytes:
        return gzip.compress(self._compressible[path], 9, mtime=0)
