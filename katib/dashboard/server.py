"""`katib-dashboard`: the web pages, a client of the manager."""

import gc
import os
import socket
import sys
import threading
from pathlib import Path
from typing import Final

import click
import uvicorn

from katib.api import logs, rpc
from katib.api.descriptors import raise_limit
from katib.api.logins import read_token
from katib.api.plugins import COMMAND, log_level_option
from katib.api.tls import ClientTls, ServerTls, client_tls, server_tls, warn_of_plaintext, warn_of_sent
from katib.api.tls_options import CERT_HELP, KEY_HELP
from katib.dashboard.app import create_app
from katib.dashboard.connections import Connection, Server, over_tls
from katib.dashboard.listening import BACKLOG, DEFAULT_LISTEN, bind, url
from katib.dashboard.prefix import is_prefix
from katib.dashboard.security import LOOPBACK_HOSTS
from katib.domain.errors import InvalidArgumentError, KatibError

_STOP_S: Final = 5
# A large study is tens of thousands of short-lived objects and hardly a cycle among them.
_GC_THRESHOLD: Final = 20_000


def run(
    server: str,
    listen: str,
    root_path: str,
    hosts: tuple[str, ...],
    fd: int | None = None,
    tls: ServerTls | None = None,
    manager_tls: ClientTls | None = None,
    token: str = "",
) -> None:
    """Serves until SIGTERM or SIGINT. `fd`: a socket that listens already, in place of `listen`. `tls`: how the pages are
    served, `manager_tls`: how the manager is called, `token`: for readers who have not logged in."""
    if root_path and not is_prefix(root_path):
        raise InvalidArgumentError.of(
            "--root-path", root_path, "expected a path such as /katib, without a slash at its end"
        )
    bound = socket.socket(fileno=fd) if fd is not None else bind(listen)
    host = bound.getsockname()[0]
    if not hosts and host in ("127.0.0.1", "::1"):
        hosts = LOOPBACK_HOSTS
    config = uvicorn.Config(
        create_app(server, root_path, hosts, manager_tls, token),
        http=Connection if tls is None else over_tls(tls.following_context()),
        backlog=BACKLOG,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=_STOP_S,
    )
    config.load()
    if tls is None:
        # Who has made the socket has spoken of it.
        warn_of_plaintext(listen if fd is None else "")
    else:
        tls.watch()
    if manager_tls is None:
        warn_of_sent("the token by which a reader logs in", server)
    raise_limit()
    program = Server(config)
    _end_with_starter(program)
    if fd is None:
        click.echo(f"The dashboard is at {url(bound, root_path, 'https' if tls else 'http')}", err=True)
    # What is loaded stays: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD, 20, 20)
    program.run(sockets=[bound])


def _end_with_starter(program: uvicorn.Server) -> None:
    lifeline = os.environ.pop(rpc.LIFELINE, None)
    if lifeline is None:
        return

    def wait() -> None:
        os.read(int(lifeline), 1)
        program.should_exit = True

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


@click.command(context_settings={**COMMAND, "auto_envvar_prefix": "KATIB_DASHBOARD"})
@click.option(
    "-s",
    "--server",
    envvar="KATIB_SERVER",
    default="localhost:6789",
    help="The manager: HOST:PORT or unix:PATH; or several.",
)
@click.option("--listen", default=DEFAULT_LISTEN, help="Where the pages are: HOST:PORT.")
@click.option("--root-path", default="", help="The path in front of every address, where a proxy adds one.")
@click.option(
    "--allowed-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="A host name by which it may be called; may be given again.  "
    "[default: this machine's own and IP addresses; on loopback, localhost]",
)
@click.option("--tls-cert", metavar="FILE", default="", show_default=False, help=CERT_HELP)
@click.option("--tls-key", metavar="FILE", default="", show_default=False, help=KEY_HELP)
@click.option(
    "--tls-ca",
    metavar="FILE",
    envvar="KATIB_TLS_CA",
    default="",
    help="The authorities that vouch for the manager, which is then called with TLS; or 'system'.  [env: KATIB_TLS_CA]",
    show_default=False,
)
@click.option(
    "--client-cert",
    metavar="FILE",
    envvar="KATIB_TLS_CERT",
    default="",
    help="The certificate that the manager is shown.  [env: KATIB_TLS_CERT]",
    show_default=False,
)
@click.option(
    "--client-key",
    metavar="FILE",
    envvar="KATIB_TLS_KEY",
    default="",
    help="The private key of --client-cert.  [env: KATIB_TLS_KEY]",
    show_default=False,
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file with the token by which readers who have not logged in see what there is.  [default: they see nothing of a "
    "manager that asks who calls]",
    show_default=False,
)
@click.option("--fd", type=int, hidden=True, help="A socket that listens already.")
@log_level_option("WARNING")
@click.version_option(package_name="katib")
def main(
    server: str,
    listen: str,
    root_path: str,
    hosts: tuple[str, ...],
    token_file: Path | None,
    fd: int | None,
    log_level: str,
    **tls: str,
) -> None:
    """Web pages about studies and trials, from a manager's API. Where the manager asks nobody who calls,
    anybody who reaches them can do what katib-cli can."""
    logs.set_up_logging(log_level.upper())
    try:
        manager_tls = client_tls(
            tls["tls_ca"], tls["client_cert"], tls["client_key"], options=("--tls-ca", "--client-cert", "--client-key")
        )
        token = read_token(token_file, "--token-file") if token_file else ""
        pages_tls = server_tls(tls["tls_cert"], tls["tls_key"])
        run(server, listen, root_path.rstrip("/"), hosts, fd, pages_tls, manager_tls, token)
    except KatibError as error:
        click.echo(f"katib-dashboard: {error.message}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
