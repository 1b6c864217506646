"""What the programs for one algorithm or one rule share: it is found by name, and served until the process is told to end."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import grpc

from katib.api import logs, rpc
from katib.api.answering import Guard
from katib.api.credentials import bearer_token
from katib.api.secret_file import SecretFile
from katib.api.tls import server_tls, warn_of_plaintext
from katib.api.tls_options import server_options
from katib.domain.errors import FailedPreconditionError, NotFoundError, UnauthenticatedError

_log: Final = logging.getLogger(__name__)

DEFAULT_LISTEN: Final = "[::]:6789"
SERVICE_TOKEN: Final = "--service-token-file"  # noqa: S105 - the name of an option
# For the command of every program: each option is read from KATIB_* too.
COMMAND: Final = {"auto_envvar_prefix": "KATIB", "show_default": True, "max_content_width": 120}

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Listening:
    """Where such a program answers and what it shows there; empty is without. Its fields are those of `options`."""

    listen: str = DEFAULT_LISTEN
    tls_cert: str = ""
    tls_key: str = ""
    tls_client_ca: str = ""
    health_listen: str = ""
    service_token_file: Path | None = None


def find(group: str, kind: str, name: str) -> Any:
    """Makes the implementation that a distribution registered under `name` in the entry point group; `kind` is what people
    call one. No other one is imported.

    Raises NotFoundError, which names those that there are, and FailedPreconditionError when it cannot be imported.
    """
    found = {entry.name: entry for entry in entry_points(group=group)}
    if name not in found:
        raise NotFoundError(f"there is no {kind} {name[:80]!r}; installed are {', '.join(sorted(found)) or 'none'}")
    try:
        return found[name].load()()
    except ImportError as error:
        raise FailedPreconditionError(
            f"{kind} {name} cannot be loaded ({error}): install what it needs; "
            "for Katib's own that is `pip install 'katib[suggestion]'`"
        ) from error


def serve(service: str, listening: Listening, add_to: Callable[[grpc.Server], None]) -> None:
    """Serves until SIGTERM or SIGINT. Raises FailedPreconditionError when an address cannot be had, InvalidArgumentError for
    certificates that cannot be used."""
    stop = rpc.stop_on_signals()
    tls = server_tls(listening.tls_cert, listening.tls_key, listening.tls_client_ca)
    server = rpc.Server((service,), guard=_guard(listening.service_token_file))
    add_to(server.grpc)
    port = server.listen(listening.listen, tls)
    if listening.health_listen:
        server.listen_health(listening.health_listen)
    if tls is None:
        warn_of_plaintext(listening.listen)
    else:
        tls.watch()
    server.start()
    _log.info("ready", extra={"listen": listening.listen, "port": port})
    stop.wait()
    _log.info("ends: lets calls under way finish")
    server.drain()
    _log.info("ended")


def _guard(path: Path | None) -> Guard | None:
    """Lets in who shows the token in this file; everybody where there is none."""
    if path is None:
        return None
    token = SecretFile(path, SERVICE_TOKEN)

    def check(_method: str, _request: Any, context: grpc.ServicerContext) -> None:
        if not token.is_it(bearer_token(context)):
            raise UnauthenticatedError(
                f"this service answers only those who show its token: start the manager with the same {SERVICE_TOKEN}"
            )

    return check


def log_level_option(default: str) -> Callable[[F], F]:
    levels = click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False)
    return click.option("--log-level", type=levels, default=default)


def options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of every such program: `log_level`, `log_format`, and the fields of Listening."""
    for option in (
        click.version_option(package_name="katib"),
        click.option("--log-format", type=click.Choice(logs.FORMATS), default="text"),
        log_level_option("INFO"),
        click.option(
            SERVICE_TOKEN,
            type=click.Path(path_type=Path, dir_okay=False),
            help="A file with a token that callers have to show, which their managers have too.",
        ),
        server_options,
        click.option(
            "--listen", default=DEFAULT_LISTEN, help="Where the service answers: HOST:PORT (0: any port), or unix:PATH."
        ),
    ):
        command = option(command)
    return command
