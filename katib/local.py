"""`katib-local`: a whole Katib on one machine, in one command.

The manager with the local worker runs in this process; each algorithm and each rule is a process of its own behind a Unix
socket, as it is a container of its own in a cluster. It begins when it is first called and ends with this process, however that
ends. The runs of trials do not: they go on, and the next start takes them up.
"""

import fcntl
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import IO, Final

import click

from katib.api import logs, rpc
from katib.api.affinity import everywhere
from katib.api.descriptors import raise_limit
from katib.api.plugins import COMMAND, log_level_option
from katib.dashboard.listening import DEFAULT_LISTEN, bind, bind_default, url
from katib.domain.backoff import backoff
from katib.domain.errors import FailedPreconditionError, KatibError
from katib.domain.names import SERVICE_NAME_LENGTH
from katib.manager import settings as defaults
from katib.manager.main import one_processor_option
from katib.manager.server import Manager
from katib.manager.settings import Settings
from katib.sockets import restore, sockets_folder

_log: Final = logging.getLogger(__name__)

# A service starts in well under a second; a machine under load may need many. Whoever called one that takes longer goes on as
# if it were away, and asks again.
START_S: Final = 10.0
_STOP_S: Final = 15.0
_RESTART_FIRST_S: Final = 0.25
_RESTART_MOST_S: Final = 5.0
_SETTLED_S: Final = 30.0
_POLL_S: Final = 0.02
# Such as s-random. An algorithm with the longest name there may be can be installed at any time.
_LONGEST_SOCKET: Final = len("s-") + SERVICE_NAME_LENGTH
# What a manager would take for orders to keep others out. Not KATIB_TLS_CA: it is of who calls.
_PROTECTIONS: Final = (
    "KATIB_AUTH",
    "KATIB_TLS_CERT",
    "KATIB_TLS_KEY",
    "KATIB_TLS_CLIENT_CA",
    "KATIB_SERVICE_TOKEN_FILE",
)


@dataclass(frozen=True, slots=True)
class _Service:
    module: str
    name: str
    socket: Path
    # In place of the usual ones, and what else it inherits.
    arguments: tuple[str, ...] = ()
    files: tuple[int, ...] = ()

    @property
    def address(self) -> str:
        return f"unix:{self.socket}"


class _Supervisor:
    """Keeps one process running for a service until it is told to stop."""

    def __init__(self, service: _Service, lifeline: int, log_level: str) -> None:
        self.service = service
        arguments = service.arguments or (service.name, "--listen", service.address)
        self._command = [sys.executable, "-m", service.module, *arguments, "--log-level", log_level]
        self._lifeline = lifeline
        self._stop = threading.Event()
        self._process = self._start()
        self._thread = threading.Thread(target=self._keep, name=f"keep-{service.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._process.terminate()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)
        if self._thread.is_alive():
            self._process.kill()

    def _start(self) -> "subprocess.Popen[bytes]":
        if self.service.socket.name:  # the pages have none
            restore(self.service.socket.parent)
        with everywhere():
            return subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                pass_fds=(self._lifeline, *self.service.files),
                env={**os.environ, rpc.LIFELINE: str(self._lifeline), "OMP_NUM_THREADS": "1"},
                # Ctrl-C at the terminal is for us; we end them in our order.
                start_new_session=True,
            )

    def _keep(self) -> None:
        failures = 0
        while True:
            started = time.monotonic()
            code = self._process.wait()
            if self._stop.is_set():
                return
            failures = 1 if time.monotonic() - started > _SETTLED_S else failures + 1
            delay = backoff(failures, _RESTART_FIRST_S, _RESTART_MOST_S, 0.8)
            _log.warning(
                "%s %s ended with code %s; starts again in %.1f s", self.service.module, self.service.name, code, delay
            )
            if self._stop.wait(delay):
                return
            try:
                self._process = self._start()
            except OSError as error:
                # No process to be had now; `wait` on the old one returns at once, so this comes round again.
                _log.warning("%s cannot be started: %s", self.service.name, error)
                continue
            if self._stop.is_set():
                self._process.terminate()


class _OnDemand:
    """The services of this machine, each begun by the first call to it: most of those who try Katib use one or two of them.

    `find` tells which there are. It is asked again for an address that was none: an algorithm may have been installed since.
    """

    def __init__(self, find: Callable[[], Iterable[_Service]], lifeline: int, log_level: str) -> None:
        self._find = find
        self._services: dict[str, _Service] = {}
        self._lifeline = lifeline
        self._log_level = log_level
        self._lock = threading.Lock()
        self._ended = False
        self._begun: dict[str, tuple[_Supervisor, float]] = {}
        # Those that were there once, or were waited for long enough: what becomes of them is their supervisors' affair.
        self._settled: set[str] = set()

    def asleep(self, address: str) -> bool:
        return address not in self._begun and self._service(address) is not None

    def wake(self, address: str) -> None:
        service = self._service(address)
        if service is None or address in self._settled:
            return
        with self._lock:
            if address not in self._begun:
                if self._ended:
                    return
                try:
                    supervisor = _Supervisor(service, self._lifeline, self._log_level)
                except OSError as error:
                    # No process to be had now. The next call tries again.
                    _log.warning("%s cannot be started: %s", service.name, error)
                    return
                self._begun[address] = supervisor, time.monotonic() + START_S
            _, until = self._begun[address]
        while not service.socket.exists() and time.monotonic() < until and not self._ended:
            time.sleep(_POLL_S)
        self._settled.add(address)

    def _service(self, address: str) -> _Service | None:
        if address not in self._services:
            self._services = {service.address: service for service in self._find()}
        return self._services.get(address)

    def end(self) -> None:
        with self._lock:
            self._ended = True
            supervisors = [supervisor for supervisor, _ in self._begun.values()]
        for supervisor in supervisors:
            supervisor.stop()
        for supervisor in supervisors:
            supervisor.join(_STOP_S)


def run(
    data: Path, listen: str, http: str, log_level: str, dashboard: str | None = "", *, one_processor: bool = True
) -> None:
    """Runs everything until SIGTERM or SIGINT. `dashboard`: where the web pages are, None for the usual address or, where that
    is taken, any other; empty for none."""
    _check_environment()
    stop = rpc.stop_on_signals()
    _make_folder(data)
    raise_limit()
    with _only_one(data), sockets_folder(data, _LONGEST_SOCKET) as folder, _lifeline() as lifeline:
        on_demand = _OnDemand(partial(_services, folder), lifeline, log_level)
        dashboards: list[_Supervisor] = []
        try:
            manager = Manager(
                Settings(
                    listen=listen,
                    http=http,
                    database=f"sqlite:///{data / 'katib.db'}",
                    data=data,
                    suggestion_address=f"unix:{folder}/s-{{algorithm}}",
                    earlystopping_address=f"unix:{folder}/e-{{algorithm}}",
                    one_processor=one_processor,
                    log_level=log_level,
                ),
                on_demand,
            )
            manager.open()
            manager.start()
            address = listen if listen.startswith("unix:") else f"{listen.rpartition(':')[0]}:{manager.port}"
            pages = None if dashboard == "" else _bind_pages(dashboard)
            if pages is not None:
                dashboards.append(_Supervisor(_pages_service(pages, address), lifeline, log_level))
            _greet(address, data, pages)
            stop.wait()
            click.echo("Katib ends. Trials that run go on; the next start takes them up.", err=True)
            manager.stop()
        finally:
            for pages_process in dashboards:
                pages_process.stop()
            on_demand.end()
            for pages_process in dashboards:
                pages_process.join(_STOP_S)


def _services(folder: Path) -> Iterator[_Service]:
    for group, module, prefix in (
        ("katib.suggestions", "katib.suggestion.server", "s"),
        ("katib.earlystopping", "katib.earlystopping.server", "e"),
    ):
        for entry in entry_points(group=group):
            yield _Service(module, entry.name, folder / f"{prefix}-{entry.name}")


def _bind_pages(dashboard: str | None) -> socket.socket:
    return bind_default("--dashboard") if dashboard is None else bind(dashboard, "--dashboard")


def _pages_service(pages: socket.socket, address: str) -> _Service:
    """It has no health to wait for: what it shows while it starts is what a browser waits for."""
    host, _, port = address.rpartition(":")
    server = f"localhost:{port}" if host in ("", "0.0.0.0", "[::]") else address  # noqa: S104 - compared with
    arguments = ("--server", server, "--fd", str(pages.fileno()))
    return _Service("katib.dashboard.server", "dashboard", Path(), arguments, (pages.fileno(),))


def _greet(address: str, data: Path, pages: socket.socket | None) -> None:
    option = "" if address == defaults.DEFAULT_LISTEN else f" -s {address}"
    click.echo(f"Katib is ready at {address}; what it keeps is in {data}. Ctrl-C stops it.")
    if pages is not None:
        click.echo(f"The dashboard is at {url(pages)}")
    click.echo(f"Next: katib-cli{option} create-study -f STUDY.yaml --watch")
    sys.stdout.flush()


def _check_environment() -> None:
    """Raises FailedPreconditionError rather than to pass over what somebody relies on."""
    for name in _PROTECTIONS:
        if os.environ.get(name) not in (None, "", "none"):
            raise FailedPreconditionError(
                f"{name} is set, and katib-local asks nobody who calls and speaks no TLS: for a manager that does run "
                f"katib-manager --worker local, or unset {name}"
            )


def _make_folder(data: Path) -> None:
    """Raises FailedPreconditionError where nothing can be written."""
    try:
        # For its user alone: what is in it may be secret. One that is there stays as it is.
        data.mkdir(0o700, parents=True, exist_ok=True)
        (data / "lock").touch()
    except OSError as error:
        raise FailedPreconditionError(
            f"the folder {data} cannot be used: {error.strerror}; choose another one with --data"
        ) from error


@contextmanager
def _only_one(data: Path) -> Iterator[None]:
    """Two on one folder would each run the other's trials."""
    with (data / "lock").open("w") as file:
        _lock(file, data)
        yield


def _lock(file: IO[str], data: Path) -> None:
    # A predecessor that was just killed may take a moment to let go.
    for _ in range(20):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise FailedPreconditionError(
        f"another katib-local works on {data}: stop it, or give this one a folder of its own with --data"
    )


@contextmanager
def _lifeline() -> Iterator[int]:
    """The reading end of a pipe that closes when this process ends."""
    reading, writing = os.pipe()
    try:
        yield reading
    finally:
        os.close(reading)
        os.close(writing)


@click.command(context_settings=COMMAND)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("katib-data"),
    help="The folder for the database and the runs' outputs.",
)
@click.option("--listen", default=defaults.DEFAULT_LISTEN, help="Where the API answers: HOST:PORT, or unix:PATH.")
@click.option(
    "--dashboard",
    metavar="HOST:PORT",
    help=f"Where the web pages are; '' for none.  [default: {DEFAULT_LISTEN}, or any free port where that is taken]",
    show_default=False,
)
@click.option("--http", default="", help="Where /metrics, /healthz and /readyz answer; empty: nowhere.")
@log_level_option("WARNING")
@one_processor_option
@click.version_option(package_name="katib")
def main(data: Path, listen: str, dashboard: str | None, http: str, log_level: str, one_processor: bool) -> None:
    """Katib on this machine: manager, algorithms and local worker in one command. Ctrl-C stops it, a second start goes on."""
    logs.set_up_logging(log_level.upper())
    try:
        run(data.resolve(), listen, http, log_level.upper(), dashboard, one_processor=one_processor)
    except KatibError as error:
        click.echo(f"katib-local: {error.message}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
