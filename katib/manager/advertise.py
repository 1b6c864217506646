"""Where the programs of trials reach the manager."""

import os
import re
from typing import Final

from katib.api.listening import host_and_port
from katib.domain.errors import InvalidArgumentError

LOCAL_WORKER: Final = "local"
NOWHERE: Final = "none"
_ANY: Final = frozenset({"", "0.0.0.0", "[::]"})  # noqa: S104 - what is listened on is the operator's
_SOCKET: Final = re.compile(r"unix:.+")
_HOST: Final = re.compile(r"[^\s,:]+|\[[0-9a-fA-F:]+\]")


def advertised_address(advertise: str, listen: str, port: int, worker: str) -> str:
    """What the operator said, else what processes of this machine can use: they are where the manager is. Runs of other workers
    are told nothing unless the operator says what: an address that is none would only make them wait.

    Raises InvalidArgumentError on `--advertise-address`.
    """
    if advertise == NOWHERE:
        return ""
    if advertise:
        for part in advertise.split(","):
            if not _is_address(part.strip()):
                raise InvalidArgumentError.of(
                    "--advertise-address", advertise, "expected HOST:PORT, unix:PATH, several with commas, or none"
                )
        return advertise
    if worker != LOCAL_WORKER:
        return ""
    if listen.startswith("unix:"):
        path = listen.removeprefix("unix:").removeprefix("//")
        return f"unix:{os.path.abspath(path)}"
    host = listen.rpartition(":")[0]
    return f"{'localhost' if host in _ANY else host}:{port}"


def _is_address(text: str) -> bool:
    host, port = host_and_port(text) or ("", 0)
    return bool(_SOCKET.fullmatch(text) or (port and _HOST.fullmatch(host)))
