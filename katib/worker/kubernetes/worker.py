"""The Kubernetes worker: each run a Pod. Any number of managers may use one namespace at once; each sees all runs.

What is told apart here stands elsewhere: what a Pod looks like (pods), what its status means (diagnosis, marks), requests
(podapi), what is known (reflector, runs), where a Pod is that is not (finding, sight), output (outputs), how a run is ended
(endings) or waits for the cluster's rules (refusals), and what is done by and by (rounds).
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from katib.domain.errors import (
    FailedPreconditionError,
    FieldViolation,
    InvalidArgumentError,
    NotFoundError,
    UnavailableError,
)
from katib.domain.metric_lines import LineParser
from katib.domain.names import check_id
from katib.domain.study import StudySpec
from katib.domain.views import LogChunk
from katib.worker.base import MetricFiles, Output, RunSpec, RunStatus, Worker, WorkerSettings
from katib.worker.kubernetes import marks
from katib.worker.kubernetes.access import Access, open_access
from katib.worker.kubernetes.api import Api, ApiError
from katib.worker.kubernetes.clock import Clock
from katib.worker.kubernetes.endings import Endings
from katib.worker.kubernetes.finding import Finder
from katib.worker.kubernetes.loglines import LogCursor
from katib.worker.kubernetes.marks import DriverReason
from katib.worker.kubernetes.metric_files import manager_path, volume
from katib.worker.kubernetes.models import model_path
from katib.worker.kubernetes.outputs import Outputs
from katib.worker.kubernetes.podapi import PodApi
from katib.worker.kubernetes.pods import LABEL_INSTALLATION, LABEL_MANAGED_BY, MANAGED_BY, check_pod, make_pod
from katib.worker.kubernetes.policy import Policy
from katib.worker.kubernetes.rawlog import read_raw
from katib.worker.kubernetes.reflector import Reflector
from katib.worker.kubernetes.refusals import Refusals
from katib.worker.kubernetes.rounds import Rounds
from katib.worker.kubernetes.runlog import RunLog
from katib.worker.kubernetes.runs import Run, Runs, statuses
from katib.worker.kubernetes.sight import Sight
from katib.worker.metric_files import open_metric_files
from katib.worker.names import split_name

# Each waits for the API server, which has several in hand at once.
_CREATES: Final = 8
# A finished Pod keeps its name for so many leases: a manager that was frozen for so long does not come back to create it.
FENCE_LEASES: Final = 10.0


def create_worker(settings: WorkerSettings) -> Worker:
    """Entry point `kubernetes` of `katib.workers`. Raises InvalidArgumentError for an option that is none, or when there is no
    way to a cluster; the API server itself may be away."""
    policy = Policy.parse(settings.options)
    access = open_access(policy.kubeconfig, policy.context)
    return KubernetesWorker(access, policy, fence_s=settings.lease_s * FENCE_LEASES)


class KubernetesWorker:
    def __init__(
        self,
        access: Access,
        policy: Policy,
        *,
        fence_s: float = 100.0,
        reflector_options: Mapping[str, float] | None = None,
        streams: int | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._policy: Final = replace(policy, namespace=policy.namespace or access.namespace)
        self._clock: Final = clock or Clock()
        self._api: Final = Api(access, self._clock)
        self._pods: Final = PodApi(self._api)
        self._wakes: Final[list[Callable[[str], None]]] = []
        self._runs: Final = Runs(self._policy.waits, self._wake, self._clock.now, timedelta(seconds=fence_s))
        options = {} if streams is None else {"streams": streams}
        self._outputs: Final = Outputs(self._pods, self._settled, self._printed, **options)
        self._runs.outputs = self._outputs
        selector = f"{LABEL_MANAGED_BY}={MANAGED_BY},{LABEL_INSTALLATION}={self._policy.installation}"
        self._finder: Final = Finder(self._pods, self._runs, self._policy, selector)
        following = reflector_options or {}
        self._runs.doubles.placed = self._finder.placed
        self._sight: Final = Sight(
            lambda namespace: Reflector(self._pods, namespace, selector, self._runs, **following),
            self._finder,
            self._runs,
        )
        self._lock: Final = threading.Lock()
        # Studies whose output woke nobody yet.
        self._printers: set[str] = set()
        self._refusals: Final = Refusals(self._runs, self._policy)
        self._endings: Final = Endings(
            self._pods, self._runs, self._finder, self._refusals, self._policy.installation, self._wake
        )
        self._rounds: Final = Rounds(self._pods, self._runs, self._policy, self._endings, self._tick, fence_s)
        self._closed = False
        self._sight.start()
        self._rounds.start()

    @property
    def requests(self) -> Mapping[tuple[str, str], int]:
        """How many requests were sent, by verb and resource."""
        return dict(self._api.requests)

    @property
    def creates_at_once(self) -> int:
        return _CREATES

    @property
    def placement(self) -> str:
        """Any manager with this driver and this installation's name can look after the runs."""
        return f"kubernetes:{self._policy.installation}"

    def places(self, study_id: str, spec: StudySpec) -> Sequence[str]:
        return self._sight.places(study_id, self._policy.namespace_of(spec))

    def look_in(self, study_id: str, places: Sequence[str]) -> None:
        check_id("study", study_id)
        if not self._closed:
            self._sight.look_in(study_id, places)

    def check(self, spec: StudySpec) -> Sequence[FieldViolation]:
        return check_pod(spec, self._policy)

    # Runs

    def create(self, run: RunSpec) -> None:
        check_id("study", run.study_id)
        if split_name(run.name) != (run.trial_id, run.attempt):
            raise InvalidArgumentError.of("run", run.name, f"expected attempt {run.attempt} of trial {run.trial_id}")
        self._open()
        if run.study_id in self._runs.deleted:
            raise FailedPreconditionError(f"study {run.study_id} has been deleted here")
        if self._runs.get(run.name) is not None:
            return
        self._sight.check_new(run.study_id)
        self._refusals.check(run)
        namespace = self._policy.namespace_of(run.study)
        self._runs.watched.add(run.study_id)
        self._finder.namespaces.put(run.study_id, namespace)
        try:
            pod = make_pod(run, self._policy)
        except InvalidArgumentError as error:
            where = self._finder.where(run.study_id)[0]
            self._endings.entomb(run.study_id, run.name, where, DriverReason.INVALID_POD, error.message)
            return
        timeout = run.study.pod.start_timeout
        if timeout is not None:
            pod["metadata"]["annotations"][marks.ANNOTATION_START_TIMEOUT] = f"{timeout.total_seconds():g}"
        try:
            made = self._pods.create(namespace, pod)
        except ApiError as error:
            self._endings.not_created(run, namespace, error)
            return
        changed = self._endings.disown(pod, made)
        if changed:
            self._endings.mourn(run.study_id, run.name, namespace, DriverReason.POD_REFUSED, changed)
            return
        self._refusals.taken(run)
        known = self._runs.put(made)
        if known is not None:
            # Whoever creates a run looks after it.
            self._runs.want_output(known)

    def list(self, study_id: str) -> Sequence[RunStatus]:
        check_id("study", study_id)
        self._open()
        self._sight.require(study_id)
        self._runs.watched.add(study_id)
        if study_id in self._runs.deleted:
            return []
        hidden = self._sight.hidden(study_id)
        found = statuses(self._runs.of_study(study_id), self._clock.ahead, hidden)
        self._sight.named(study_id, (status.name for status in found))
        return found

    def output(self, study_id: str, name: str, cursor: str, max_bytes: int) -> Output:
        run = self._get(study_id, name)
        at = LogCursor.parse(cursor)
        log = self._runs.want_output(run)
        if log is None:
            return Output([], cursor, run.ended)
        return self._outputs.take(log, at, max_bytes)

    def stop(self, study_id: str, name: str) -> None:
        check_id("study", study_id)
        split_name(name)
        self._open()
        self._sight.check(study_id, name)
        self._endings.end(study_id, name, DriverReason.STOPPED, "it was asked to end")
        run = self._runs.get(name)
        if run is not None and run.log is not None:
            self._outputs.hurry(run.log)

    def delete(self, study_id: str, name: str) -> None:
        check_id("study", study_id)
        split_name(name)
        self._open()
        run = self._runs.get(name) or self._finder.fetch(study_id, name)
        if run is None:
            return
        with self._runs.lock:
            if run.let_go_at is None:
                # From now on it is looked at for another reason.
                run.let_go_at, run.act_after = time.monotonic(), 0.0
            if run.log is not None and run.ended:
                self._outputs.drop(run.log)
        if not run.ended:
            self._endings.end(study_id, name, DriverReason.STOPPED, "it was asked to end")

    def log(self, study_id: str, name: str, offset: int, max_bytes: int) -> LogChunk:
        run = self._get(study_id, name)
        if not run.uid or run.gone or not run.started:
            return LogChunk(b"", 0, run.ended)
        ended = run.ended
        try:
            data, end, whole = read_raw(self._pods, run.namespace, run.name, run.container, offset, max_bytes)
        except ApiError as error:
            if error.status in (400, 404):
                return LogChunk(b"", 0, ended)
            raise
        return LogChunk(data, end, ended and whole)

    def model_path(self, spec: StudySpec, study_id: str, name: str) -> str:
        """By the mount's convention: whether the Pod has left anything there cannot be seen from here."""
        return model_path(spec, study_id, split_name(name)[0])

    def remove_model(self, study_id: str, path: str) -> None:
        """The volume is not the manager's: what is on it is its owner's to remove."""

    def metric_files(self, spec: StudySpec, study_id: str, name: str, parser: LineParser) -> MetricFiles:
        root = self._policy.mount_root
        path = manager_path(spec, study_id, name, root)
        return open_metric_files(
            spec.collector, path, parser, spec.metric_names, split_name(name)[1], volume(spec, root)
        )

    def delete_study(self, study_id: str) -> None:
        check_id("study", study_id)
        self._open()
        self._sight.require(study_id)
        with self._runs.lock:
            runs = self._runs.of_study(study_id)
            alive = [run.name for run in runs if not run.ended]
            if alive:
                raise FailedPreconditionError(
                    f"study {study_id} still has {len(alive)} runs ({', '.join(alive[:3])}); stop them first"
                )
            self._runs.deleted.add(study_id)
            self._sight.forget(study_id)
            for run in runs:
                run.unwanted = True
                if run.let_go_at is None:
                    run.let_go_at = time.monotonic()
                if run.log is not None:
                    self._outputs.drop(run.log)

    def watch(self, wake: Callable[[str], None]) -> None:
        self._wakes.append(wake)
        # Of what was found before, no event will tell: Pods of a study that has ended wait to be let go of.
        for study_id in self._runs.studies():
            wake(study_id)

    def close(self) -> None:
        self._closed = True
        self._rounds.stop()
        self._sight.close()
        self._outputs.close()
        self._sight.join()
        self._api.close()

    # Finding

    def _get(self, study_id: str, name: str) -> Run:
        check_id("study", study_id)
        split_name(name)
        self._open()
        run = None if study_id in self._runs.deleted else self._runs.get(name) or self._fetch(study_id, name)
        if run is None or run.study_id != study_id:
            raise NotFoundError(f"there is no run {name} of study {study_id}")
        return run

    def _fetch(self, study_id: str, name: str) -> Run | None:
        try:
            return self._finder.fetch(study_id, name)
        except ApiError as error:
            why = self._sight.why(study_id)
            if not error.denied or not why:
                raise
            # It says what to do besides.
            raise UnavailableError(why) from error

    def _open(self) -> None:
        if self._closed:
            raise UnavailableError("the Kubernetes worker is closed")

    # Call-backs

    def _wake(self, study_id: str) -> None:
        for wake in self._wakes:
            wake(study_id)

    def _settled(self, log: RunLog) -> None:
        self._wake(log.study_id)

    def _printed(self, log: RunLog) -> None:
        with self._lock:
            self._printers.add(log.study_id)

    def _tick(self) -> None:
        """By the rounds, about twice a second."""
        self._outputs.tick()
        with self._lock:
            printers, self._printers = self._printers, set()
        for study_id in printers:
            self._wake(study_id)
        if self._sight.changed():
            # No event will come to say it: whoever asks for the runs now is told why they do not move, or that they do again.
            for study_id in self._runs.studies():
                self._wake(study_id)
