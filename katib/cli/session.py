"""What the commands share: which manager, how long to wait for it, and the options that say so."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from katib.api.logins import token_for
from katib.domain.names import MAX_SOCKET_PATH

if TYPE_CHECKING:
    from katib.api.client import ManagerClient
    from katib.api.tls import ClientTls

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_SERVER: Final = "localhost:6789"
DEFAULT_PORT: Final = 6789
DEFAULT_TIMEOUT_S: Final = 30.0
MAX_SERVERS: Final = 16


@dataclass(slots=True)
class Session:
    server: str = DEFAULT_SERVER
    timeout: float = DEFAULT_TIMEOUT_S
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    tls_server_name: str = ""
    insecure: bool = False

    def connect(self, token: str | None = None) -> "ManagerClient":
        """A client of the manager; a context manager. Nothing is sent yet. Raises InvalidArgumentError for certificates that
        cannot be used, and FailedPreconditionError where a token would be for everybody to read. `token`: left out, the one
        that is kept for this manager."""
        # What gRPC writes of a handshake that fails is said by our error, in words.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        from katib.api.client import ManagerClient  # gRPC is most of the start of this program

        if token is None:
            token = token_for(self.server)
        tls = self._tls()
        if token and tls is None and not self.insecure:
            from katib.api.tls import refuse_plaintext

            refuse_plaintext(self.server)
        return ManagerClient(self.server, self.timeout, tls, token)

    def _tls(self) -> "ClientTls | None":
        if not (self.tls_ca or self.tls_cert or self.tls_key):
            return None
        from katib.api.tls import client_tls

        return client_tls(self.tls_ca, self.tls_cert, self.tls_key, self.tls_server_name)


pass_session = click.make_pass_decorator(Session, ensure=True)


class Server(click.ParamType):  # type: ignore[type-arg]
    """`HOST:PORT` or `unix:PATH`, or several of these with a comma between two."""

    name = "HOST:PORT,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        parts = [part.strip() for part in text.split(",")]
        if len(parts) > 1:
            if not all(parts):
                self.fail(f"{text!r}: expected an address before and behind each comma", param, ctx)
            twice = next((part for part in parts if parts.count(part) > 1), None)
            if twice is not None:
                self.fail(f"{text!r}: {twice!r} is in it twice; name each manager once", param, ctx)
            if len(parts) > MAX_SERVERS:
                self.fail(f"{text!r}: expected at most {MAX_SERVERS} addresses", param, ctx)
        return ",".join(self._address(part, param, ctx) for part in parts)

    def _address(self, text: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if text.startswith("unix:"):
            path = text.removeprefix("unix:").removeprefix("//")
            if not path or len(path.encode(errors="surrogateescape")) > MAX_SOCKET_PATH:
                self.fail(
                    f"{text!r}: expected unix: and the path of a socket, at most {MAX_SOCKET_PATH} bytes", param, ctx
                )
            return text
        host, colon, port = text.rpartition(":")
        if text and (not colon or text.endswith("]")) and text.isprintable() and " " not in text:
            self.fail(f"{text!r}: expected the port too, such as {text}:{DEFAULT_PORT}", param, ctx)
        valid_port = port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536
        valid_host = host.isprintable() and not set(host) & set(" /\\") and (":" not in host or host.startswith("["))
        if not (host and valid_host and valid_port):
            self.fail(f"{text!r}: expected HOST:PORT, such as {DEFAULT_SERVER}, or unix:PATH", param, ctx)
        return text


class Period(click.ParamType):  # type: ignore[type-arg]
    """`90s`, `10m`, `2h`, `1h30m`, or seconds."""

    name = "PERIOD"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        from katib.domain.study_file_values import parse_period

        if isinstance(value, timedelta):
            return value
        try:
            period = parse_period(str(value))
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)
        if not timedelta(0) < period <= timedelta(days=3650):
            self.fail(f"{value!r}: expected more than 0, at most 3650 days", param, ctx)
        return period


def _set_server(ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.ensure_object(Session).server = value


def _set_timeout(ctx: click.Context, _param: click.Parameter, value: timedelta | None) -> None:
    if value is not None:
        ctx.ensure_object(Session).timeout = value.total_seconds()


def _set_tls(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None and param.name is not None:
        setattr(ctx.ensure_object(Session), param.name, value)


def _set_insecure(ctx: click.Context, _param: click.Parameter, value: bool | None) -> None:
    if value:
        ctx.ensure_object(Session).insecure = True


_TLS: Final = (
    ("--tls-ca", "FILE", "Speak TLS, to a manager for which the authorities in this PEM file vouch; or 'system'."),
    ("--tls-cert", "FILE", "The certificate by which you show who you are, in PEM."),
    ("--tls-key", "FILE", "Its private key, in PEM."),
    ("--tls-server-name", "NAME", "The name in the manager's certificate, where the address has another."),
)


def _options(*, environment: bool) -> Callable[[F], F]:
    """`environment`: whether KATIB_* counts here."""

    def named(option: str) -> str | None:
        return f"KATIB_{option.removeprefix('--').replace('-', '_').upper()}" if environment else None

    def decorate(function: F) -> F:
        for option, metavar, text in reversed(_TLS):
            function = click.option(
                option,
                metavar=metavar,
                callback=_set_tls,
                expose_value=False,
                envvar=named(option),
                # Said once: each command's help is about the command.
                hidden=not environment,
                help=f"{text}  [env: {named(option)}]",
            )(function)
        function = click.option(
            "--insecure",
            is_flag=True,
            callback=_set_insecure,
            expose_value=False,
            envvar=named("--insecure"),
            hidden=not environment,
            help="Send your token in plaintext where there is no TLS, for whoever is on the network to read.  "
            f"[env: {named('--insecure')}]",
        )(function)
        function = click.option(
            "--timeout",
            type=Period(),
            callback=_set_timeout,
            expose_value=False,
            help=f"How long to wait for each answer.  [default: {DEFAULT_TIMEOUT_S:g}s]",
        )(function)
        return click.option(
            "-s",
            "--server",
            type=Server(),
            callback=_set_server,
            expose_value=False,
            envvar=named("--server"),
            help="The manager: HOST:PORT or unix:PATH; or several with commas, any of which is used.  "
            f"[env: KATIB_SERVER; default: {DEFAULT_SERVER}]",
        )(function)

    return decorate


# Both before the command and after it; the environment counts where neither says anything.
connection_options: Final = _options(environment=True)
connected: Final = _options(environment=False)
