"""Every surface by its name."""

from collections.abc import Mapping
from typing import Final

from tests.fuzz import http, manager, services, texts
from tests.fuzz.surface import Surface

SURFACES: Final[Mapping[str, Surface]] = {
    "study-file": texts.study_file,
    "metrics": texts.metrics,
    "terminal": texts.terminal,
    "api": manager.api,
    "dashboard": http.dashboard,
    "http-port": http.port,
    "suggestion": services.suggestion,
    "early-stopping": services.earlystopping,
}
