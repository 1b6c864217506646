"""A manager: puts its parts together, and runs them until it is told to end."""

import gc
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from importlib.metadata import entry_points
from typing import Final

from katib.api import rpc
from katib.api.admission import Admission
from katib.api.affinity import OneProcessor
from katib.api.api_pb2_grpc import add_ManagerServicer_to_server
from katib.api.plugins import SERVICE_TOKEN
from katib.api.secret_file import SecretFile
from katib.domain.errors import InvalidArgumentError, UnavailableError
from katib.manager import limits
from katib.manager.access import RunAccess
from katib.manager.audit import AuditLog
from katib.manager.auth.askers import Askers
from katib.manager.auth.cache import CachedTokens
from katib.manager.auth.open import open_guard
from katib.manager.controller.loop import Controller
from katib.manager.controller.means import Outside
from katib.manager.http import HttpServer
from katib.manager.identity import own_identity
from katib.manager.keeper import Keeper
from katib.manager.metrics import Metrics
from katib.manager.modelstore.open import open_deliveries, open_model_store
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
from katib.manager.share import Share
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
        identity = own_identity()
        share = Share(identity, self._storage, settings.lease)
        self._keeper = Keeper(self._storage, self._models, open_deliveries(self._storage), self._worker, share)
        room = Room(self._storage, limits.quotas(settings))
        suggestions = RemoteSuggestionServices(suggestion, self._channels)
        rules = RemoteEarlyStoppingServices(earlystopping, self._channels)
        outside = Outside(
            self._storage, self._worker, suggestions, rules, self._metrics, access.environment, room, self._keeper.wake
        )
        self._controller = Controller(identity, outside, settings.lease)
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
