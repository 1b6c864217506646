"""`katib-manager`: puts the parts together and runs them until it is told to end."""

import gc
import logging
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import fields
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

import click

from katib.api import logs, rpc
from katib.api.admission import Admission
from katib.api.affinity import OneProcessor
from katib.api.api_pb2_grpc import add_ManagerServicer_to_server
from katib.api.plugins import SERVICE_TOKEN
from katib.api.secret_file import SecretFile
from katib.api.tls_options import server_options
from katib.domain.errors import InvalidArgumentError, KatibError, UnavailableError
from katib.manager import limits
from katib.manager import settings as defaults
from katib.manager.access import RunAccess
from katib.manager.audit import AuditLog
from katib.manager.auth.askers import Askers
from katib.manager.auth.cache import CachedTokens
from katib.manager.auth.open import open_guard
from katib.manager.controller.loop import Controller
from katib.manager.http import HttpServer
from katib.manager.identity import own_identity
from katib.manager.keeper import Keeper
from katib.manager.limits import limit_options
from katib.manager.metrics import Metrics
from katib.manager.modelstore.open import DATABASE, open_deliveries, open_model_store
from katib.manager.quotas import Room
from katib.manager.remote.addresses import AddressTemplate, Channels, Standby
from katib.manager.remote.directory import RemoteDirectory
from katib.manager.remote.earlystopping import RemoteEarlyStoppingServices
from katib.manager.remote.suggestion import RemoteSuggestionServices
from katib.manager.reports import ReportServicer
from katib.manager.service.context import Context
from katib.manager.service.namespaces import NamespaceRules
from katib.manager.service.service import ManagerService
from katib.manager.servicer import ManagerServicer
from katib.manager.settings import Settings
from katib.manager.storage.credentials import open_tokens
from katib.manager.storage.open import Opening
from katib.manager.storage.secrets import open_secrets
from katib.manager.transport import Transport
from katib.worker.base import Worker, WorkerSettings

_log: Final = logging.getLogger(__name__)
SERVICE: Final = "api.Manager"
# A pass makes thousands of short-lived objects and hardly a cycle among them.
_GC_THRESHOLD: Final = 20_000


class Manager:
    """A whole manager in this process.

    `start` does it all, where the database has to be there. Where it may come later: `serve`, then `work_when_possible`.
    """

    def __init__(self, settings: Settings, standby: Standby | None = None) -> None:
        """Binds the addresses; raises a KatibError that says what is wrong with them or with the other settings. `standby`: who
        starts services when they are first called."""
        self.settings = settings
        self._stopping = False
        self._working = False
        # Between the beginning of the work and `stop`.
        self._lock = threading.Lock()
        # While the health checks are told what has just been read: who reads later must not tell it before.
        self._telling = threading.Lock()
        suggestion = AddressTemplate.parse("--suggestion-address", settings.suggestion_address)
        earlystopping = AddressTemplate.parse("--earlystopping-address", settings.earlystopping_address)
        self._transport = Transport(settings)
        self._metrics = Metrics()
        self._channels = Channels(standby=standby, tls=self._transport.services, token=_service_token(settings))
        self._opening = Opening(settings.database, self._ready_or_not, settings.database_password_file)
        self._storage = self._opening.storage
        self._models = open_model_store(self._storage, settings.model_store)
        self._worker = _open_worker(settings)
        tokens = CachedTokens(open_tokens(self._storage))
        access = RunAccess(open_secrets(self._storage), lambda: self._transport.advertised, self._transport.authorities)
        self._keeper = Keeper(self._storage, self._models, open_deliveries(self._storage), self._worker)
        room = Room(self._storage, limits.quotas(settings))
        suggestions = RemoteSuggestionServices(suggestion, self._channels)
        rules = RemoteEarlyStoppingServices(earlystopping, self._channels)
        self._controller = Controller(
            own_identity(),
            self._storage,
            suggestions,
            rules,
            self._worker,
            self._metrics,
            settings.lease,
            access.environment,
            room,
        )
        self.service: Final = ManagerService(
            Context(
                storage=self._storage,
                models=self._models,
                suggestions=suggestions,
                rules=rules,
                directory=RemoteDirectory(suggestion, earlystopping, self._channels),
                worker=self._worker,
                controller=self._controller,
                access=access,
                tokens=tokens,
                namespaces=NamespaceRules.parse(settings.auth_namespace),
                room=room,
            ),
            lambda: self._stopping,
        )
        self._guard = open_guard(settings, tokens, access, self.service.permissions)
        self._audit = AuditLog(settings.audit_log, self._controller.manager_id) if settings.audit_log else None
        one_processor = OneProcessor() if settings.one_processor else None
        self._server = rpc.Server(
            (SERVICE,),
            self._metrics.rpc,
            guard=self._guard,
            admission=Admission(
                Askers(access, tokens, self.service.permissions),
                limits.call_limits(settings),
                begin=None if one_processor is None else one_processor.join,
            ),
            max_message=limits.message_bytes(settings),
            audit=self._audit,
            one_processor=one_processor,
        )
        add_ManagerServicer_to_server(ManagerServicer(self.service), self._server.grpc)  # type: ignore[no-untyped-call]
        reports = ReportServicer(self.service, access)
        self.port = self._transport.listen(
            self._server,
            lambda server: add_ManagerServicer_to_server(reports, server),  # type: ignore[no-untyped-call]
        )
        self._http: HttpServer | None = None
        if settings.http:
            self._http = HttpServer(settings.http, self._metrics.registry, self._check_ready, self._transport.tls)

    def open(self) -> None:
        """Opens the database; raises a KatibError that says why it cannot be used now."""
        self._opening.open()

    def start(self) -> None:
        """Opens the database and works; raises a KatibError that says why it cannot."""
        self.open()
        self.serve()
        self._work()

    def serve(self) -> None:
        """Answers from now on: calls are UNAVAILABLE, with the reason, until it works."""
        # Everything loaded so far stays for good: the collector need not look at it again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GC_THRESHOLD, 20, 20)
        self._transport.start()
        self._server.start(ready=False)
        if self._http is not None:
            self._http.start()

    def work_when_possible(self) -> "Future[None]":
        """Waits for the database without end, then works. The future fails with what will not mend itself by waiting."""
        done: Future[None] = Future()

        def wait() -> None:
            try:
                self._opening.wait(self._work)
            except Exception as error:  # noqa: BLE001 - it is the caller's
                done.set_exception(error)
            else:
                done.set_result(None)

        # It must not keep the process: a server that gives no answer would, until its time is over.
        threading.Thread(target=wait, name="opening", daemon=True).start()
        return done

    def stop(self) -> None:
        """Calls under way end, passes under way end, the studies are given up; the runs go on."""
        self._stopping = True
        self._server.drain()
        if self._guard is not None:
            self._guard.close()
        with self._lock:
            if self._working:
                self._controller.stop()
                self._keeper.close()
        if self._http is not None:
            self._http.stop()
        self._worker.close()
        self._channels.close()
        self._models.close()
        self._storage.close()
        if self._audit is not None:
            self._audit.close()

    def _work(self) -> None:
        with self._lock:
            if self._stopping:
                return
            self._controller.start()
            self._keeper.start()
            self._working = True
        self._ready_or_not()

    def _ready_or_not(self) -> None:
        """Tells the health checks, and lets the studies go on at once where the database is back."""
        with self._telling:
            there = self._working and self._opening.there
            self._server.set_ready(there)
        if there:
            self._controller.look()
            self._keeper.look()

    def _check_ready(self) -> None:
        """Raises the KatibError that says why not."""
        self._storage.ping()
        if not self._working:
            raise UnavailableError("the manager is starting")


def run(settings: Settings) -> None:
    """Runs a manager until SIGTERM or SIGINT, or until it knows that waiting for its database is of no use."""
    stop = rpc.stop_on_signals()
    _log.info("settings: %s", settings.shown())
    manager = Manager(settings)
    manager.serve()
    _log.info("serves", extra={"listen": settings.listen, "port": manager.port})
    works = manager.work_when_possible()
    works.add_done_callback(lambda _: stop.set() if works.exception() else _log.info("ready"))
    stop.wait()
    _log.info("ends: lets calls and passes under way finish; runs go on")
    manager.stop()
    if works.done():
        works.result()
    _log.info("ended")


def _service_token(settings: Settings) -> Callable[[], str] | None:
    path = settings.service_token_file
    return None if path is None else SecretFile(path, SERVICE_TOKEN).current


def _open_worker(settings: Settings) -> Worker:
    found = {e.name: e for e in entry_points(group="katib.workers")}
    if settings.worker not in found:
        raise InvalidArgumentError.of("--worker", settings.worker, f"expected one of {', '.join(sorted(found))}")
    try:
        create = found[settings.worker].load()
    except ImportError as error:
        raise InvalidArgumentError.of(
            "--worker", settings.worker, f"it cannot be loaded ({error}): pip install 'katib[{settings.worker}]'"
        ) from error
    worker: Worker = create(WorkerSettings(settings.data, settings.worker_options(), settings.lease))
    return worker


one_processor_option: Final = click.option(
    "--one-processor/--no-one-processor",
    default=True,
    help="Keep the threads that answer calls on one processor, one that others leave free: Python runs one at a time.",
)


@click.command(context_settings={"auto_envvar_prefix": "KATIB", "show_default": True, "max_content_width": 120})
@click.option("--listen", default=defaults.DEFAULT_LISTEN, help="Where the API answers: HOST:PORT, or unix:PATH.")
@click.option("--http", default=defaults.DEFAULT_HTTP, help="Where /metrics, /healthz and /readyz answer; '' for none.")
@click.option(
    "--database",
    default="sqlite:///katib.db",
    help="sqlite:///FILE, or mysql+pymysql://USER:PASSWORD@HOST:PORT/NAME.",
)
@click.option(
    "--database-password-file",
    metavar="FILE",
    default="",
    show_default=False,
    help="The password of --database, read for each connection: it stands on no command line then.",
)
@click.option("--worker", default="local", help="What runs the trials: local, kubernetes.")
@click.option(
    "--worker-option",
    metavar="NAME=VALUE",
    multiple=True,
    help="An option of the worker; may be given several times. KATIB_WORKER_OPTION holds several with spaces between.",
)
@click.option(
    "--mount-root",
    default="",
    help="With --worker kubernetes: where volume claims are mounted here, each under its name, to read metrics files there.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("katib-data"),
    help="Where the local worker keeps the runs' outputs.",
)
@click.option(
    "--advertise-address",
    default="",
    help="Where trials reach this API: HOST:PORT, unix:PATH, or none.  [default: with --worker local, --listen]",
)
@click.option(
    "--suggestion-address",
    default=defaults.DEFAULT_SUGGESTION,
    help="Where suggestion services are; {algorithm} stands for the algorithm's name.",
)
@click.option(
    "--earlystopping-address",
    default=defaults.DEFAULT_EARLYSTOPPING,
    help="Where early-stopping services are; {algorithm} stands for the rule's name.",
)
@click.option(
    "--model-store",
    default=DATABASE,
    help="Where the models' records are kept: database (the manager's own), or mlflow+http://HOST:PORT.",
)
@click.option(
    "--lease", type=click.FloatRange(1, 3600), default=10.0, help="Seconds until a silent manager's studies move."
)
@server_options
@click.option(
    "--report-listen",
    metavar="HOST:PORT",
    default="",
    show_default=False,
    help="Where trials report with the token of their attempt, which has to be shown there; nothing else is answered.",
)
@click.option(
    "--tls-ca",
    metavar="FILE",
    default="",
    show_default=False,
    help="The authorities that vouch for services, which are then called with TLS and shown --tls-cert; or 'system'.",
)
@click.option(
    "--advertise-ca",
    metavar="FILE",
    default="",
    show_default=False,
    help="The authorities by which trials know this API; or 'system'.  [default: --tls-ca]",
)
@click.option(
    "--auth",
    default="none",
    help="How callers show who they are: none (nobody is asked), or one or more of tokens, mtls, kubernetes with commas.",
)
@click.option(
    "--auth-role",
    metavar="NAME=ROLE,...",
    multiple=True,
    help="Roles of callers by certificate or service account; NAME may be group:NAME or *; may be given several times.  "
    "[default: *=user]",
    show_default=False,
)
@click.option(
    "--auth-namespace",
    metavar="NAME=NAMESPACE,...",
    multiple=True,
    help="Namespaces that a caller's Pods may go to, the first where a study names none; NAME as above.  "
    "[default: any that the worker allows]",
    show_default=False,
)
@click.option(
    "--auth-audience",
    default=defaults.DEFAULT_AUDIENCE,
    help="With kubernetes: the audience that service-account tokens must be for.",
)
@click.option(
    "--bootstrap-token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file with a token that may do everything as long as it is there, made where it is not: for the first real token.",
)
@click.option(
    SERVICE_TOKEN,
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file with the token that services are shown, which they have too.",
)
@click.option(
    "--audit-log",
    metavar="FILE",
    default="",
    show_default=False,
    help="Where every change that a caller makes or tries leaves a line of JSON; - for standard output.",
)
@limit_options
@one_processor_option
@click.option(
    "--log-level", type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False), default="INFO"
)
@click.option("--log-format", type=click.Choice(logs.FORMATS), default="text")
@click.version_option(package_name="katib")
def main(**options: Any) -> None:
    """The Katib manager: keeps studies, asks for suggestions, runs trials. Every option is also read from KATIB_*."""
    settings = Settings(**{f.name: options[f.name] for f in fields(Settings)})
    logs.set_up_logging(settings.log_level.upper(), settings.log_format)
    try:
        run(settings)
    except KatibError as error:
        click.echo(f"katib-manager: {error.message}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
