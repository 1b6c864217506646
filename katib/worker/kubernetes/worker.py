"""The Kubernetes worker: each run a Pod. Any number of managers may use one namespace at once; each sees all runs.

What is told apart here stands elsewhere: what a Pod looks like (pods), what its status means (diagnosis, marks), requests
(podapi), what is known (reflector, runs), output (outputs), and what is done by and by (rounds).
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
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
from katib.worker.base import MetricFiles, Output, RunPhase, RunSpec, RunStatus, Worker, WorkerSettings
from katib.worker.kubernetes import marks
from katib.worker.kubernetes.access import Access, open_access
from katib.worker.kubernetes.api import Api, ApiError
from katib.worker.kubernetes.diagnosis import Diagnosis
from katib.worker.kubernetes.loglines import LogCursor
from katib.worker.kubernetes.marks import DriverReason
from katib.worker.kubernetes.metric_files import manager_path, volume
from katib.worker.kubernetes.models import model_path
from katib.worker.kubernetes.outputs import Outputs, RunLog
from katib.worker.kubernetes.podapi import PodApi
from katib.worker.kubernetes.pods import LABEL_INSTALLATION, LABEL_MANAGED_BY, MANAGED_BY, check_pod, make_pod
from katib.worker.kubernetes.policy import ANY, Policy, allows
from katib.worker.kubernetes.rawlog import read_raw
from katib.worker.kubernetes.reasons import PodReason
from katib.worker.kubernetes.reflector import Reflector
from katib.worker.kubernetes.rounds import Rounds
from katib.worker.kubernetes.runs import Remembered, Run, Runs, statuses
from katib.worker.metric_files import open_metric_files
from katib.worker.names import split_name

# How often a look at a Pod and an act on it are tried when it changes in between; a further pass tries again.
_TRIES: Final = 4
# A worker that has just been started knows its Pods within this time, or its API server is away.
_SYNC_S: Final = 5.0
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
    ) -> None:
        self._policy: Final = replace(policy, namespace=policy.namespace or access.namespace)
        self._api: Final = Api(access)
        self._pods: Final = PodApi(self._api)
        self._wakes: Final[list[Callable[[str], None]]] = []
        self._runs: Final = Runs(self._policy.waits, self._wake)
        options = {} if streams is None else {"streams": streams}
        self._outputs: Final = Outputs(self._pods, self._settled, self._printed, **options)
        self._runs.outputs = self._outputs
        self._selector: Final = f"{LABEL_MANAGED_BY}={MANAGED_BY},{LABEL_INSTALLATION}={self._policy.installation}"
        self._reflectors: Final = [
            Reflector(self._pods, namespace, self._selector, self._runs, **(reflector_options or {}))
            for namespace in self._watched()
        ]
        self._lock: Final = threading.Lock()
        # Studies whose output woke nobody yet.
        self._printers: set[str] = set()
        # Where the Pods of a study go, as far as that was seen here.
        self._namespaces: Final = Remembered()
        self._rounds: Final = Rounds(self._pods, self._runs, self._policy, self, fence_s)
        self._stale = False
        self._closed = False
        for reflector in self._reflectors:
            reflector.start()
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
        namespace = self._policy.namespace_of(run.study)
        self._runs.watched.add(run.study_id)
        self._namespaces.add(run.study_id, namespace)
        try:
            pod = make_pod(run, self._policy)
        except InvalidArgumentError as error:
            self.entomb(run.study_id, run.name, namespace, DriverReason.INVALID_POD, error.message)
            return
        timeout = run.study.pod.start_timeout
        if timeout is not None:
            pod["metadata"]["annotations"][marks.ANNOTATION_START_TIMEOUT] = f"{timeout.total_seconds():g}"
        try:
            made = self._runs.put(self._pods.create(namespace, pod))
        except ApiError as error:
            self._not_created(run, namespace, error)
        else:
            if made is not None:
                # Whoever creates a run looks after it.
                self._runs.want_output(made)

    def list(self, study_id: str) -> Sequence[RunStatus]:
        check_id("study", study_id)
        self._open()
        self._in_sight()
        self._runs.watched.add(study_id)
        if study_id in self._runs.deleted:
            return []
        return statuses(self._runs.of_study(study_id))

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
        self.end(study_id, name, DriverReason.STOPPED, "it was asked to end")

    def delete(self, study_id: str, name: str) -> None:
        check_id("study", study_id)
        split_name(name)
        self._open()
        run = self._runs.get(name) or self._fetch(study_id, name)
        if run is None:
            return
        with self._runs.lock:
            if run.let_go_at is None:
                run.let_go_at = time.monotonic()
            if run.log is not None and run.ended:
                self._outputs.drop(run.log)
        if not run.ended:
            self.end(study_id, name, DriverReason.STOPPED, "it was asked to end")

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
        self._in_sight()
        with self._runs.lock:
            runs = self._runs.of_study(study_id)
            alive = [run.name for run in runs if not run.ended]
            if alive:
                raise FailedPreconditionError(
                    f"study {study_id} still has {len(alive)} runs ({', '.join(alive[:3])}); stop them first"
                )
            self._runs.deleted.add(study_id)
            for run in runs:
                run.unwanted = True
                if run.let_go_at is None:
                    run.let_go_at = time.monotonic()
                if run.log is not None:
                    self._outputs.drop(run.log)

    def watch(self, wake: Callable[[str], None]) -> None:
        self._wakes.append(wake)

    def close(self) -> None:
        self._closed = True
        self._rounds.stop()
        for reflector in self._reflectors:
            reflector.stop()
        self._outputs.close()
        for reflector in self._reflectors:
            reflector.join(5.0)
        self._api.close()

    # Ending a run

    def end(self, study_id: str, name: str, reason: str, message: str) -> None:
        """Ends the run, or makes sure that it never starts."""
        for _ in range(_TRIES):
            run = self._runs.get(name) or self._fetch(study_id, name)
            if run is None:
                # Where a study's Pods go is known once one has been seen; before that it is the usual place.
                namespace = self._where(study_id)[0]
                told = "there is no Pod of it: it never started, or somebody deleted it"
                if self.entomb(study_id, name, namespace, PodReason.POD_DELETED, told):
                    return
                continue
            if run.ended or run.gone or run.diagnosis.phase is RunPhase.STOPPING:
                return
            if self._end_pod(run, reason, message):
                return
        raise UnavailableError(f"run {name} changes faster than it can be ended; it is tried again")

    def _end_pod(self, run: Run, reason: str, message: str) -> bool:
        """False: it is not any more what it was; look again."""
        with self._runs.lock:
            pod, on_node = run.pod, run.on_node
        if pod is None:
            return False
        try:
            if on_node:
                change = marks.stop_change(pod, reason, message)
                self._runs.put(self._pods.patch(run.namespace, run.name, change))
            else:
                change = marks.fail_change(pod, reason, message)
                self._runs.put(self._pods.patch_status(run.namespace, run.name, change))
        except ApiError as error:
            if error.status not in (404, 409):
                raise
            self._refresh(run)
            return False
        return True

    def _refresh(self, run: Run) -> None:
        pod = self._pods.get(run.namespace, run.name)
        if pod is None:
            self._runs.vanished(run)
        else:
            self._runs.put(pod)

    def entomb(self, study_id: str, name: str, namespace: str, reason: str, message: str) -> bool:
        """Makes sure that a run of which there is no Pod never starts, and shows it as FAILED. False: there is a Pod."""
        for sized in (False, True):
            pod = marks.make_tombstone(
                study_id, name, namespace, self._policy.installation, reason, message, sized=sized
            )
            try:
                made = self._pods.create(namespace, pod)
            except ApiError as error:
                if error.status == 409:
                    return self._adopt(study_id, name, namespace)
                if error.denied or error.status not in (400, 403, 404, 413, 422):
                    raise
                continue
            self._runs.put(made)
            # Counts for no quota from now on. If this does not get through, the gate holds it all the same.
            self._runs.put(self._pods.patch_status(namespace, name, marks.fail_change(made, reason, message)))
            return True
        # The namespace takes no Pod now, and so none that is late either. It is shown all the same, and a Pod of that name that
        # comes later is ended at sight.
        self._mourn(study_id, name, namespace, reason, message)
        return True

    def _mourn(self, study_id: str, name: str, namespace: str, reason: str, message: str) -> None:
        """A FAILED run without a Pod, in this process's memory."""
        trial_id, attempt = split_name(name)
        with self._runs.lock:
            if self._runs.get(name) is None:
                run = self._runs.add(Run(study_id, trial_id, attempt, name, namespace))
                run.diagnosis = Diagnosis(RunPhase.FAILED, reason, message)
        self._wake(study_id)

    def _not_created(self, run: RunSpec, namespace: str, error: ApiError) -> None:
        """A refusal that will be the same next time is a run that FAILED; anything else is for the worker's caller to wait."""
        if error.status == 409 and error.reason == "AlreadyExists":
            self._adopt(run.study_id, run.name, namespace)
        elif error.denied or error.over_quota or error.namespace_gone:
            raise error
        elif error.status == 403:
            message = f"the cluster's rules do not admit its Pod: {error.said}"
            self.entomb(run.study_id, run.name, namespace, DriverReason.POD_REFUSED, message)
        elif error.status in (400, 413, 422):
            message = f"the Kubernetes API server does not accept its Pod: {error.said}"
            self.entomb(run.study_id, run.name, namespace, DriverReason.INVALID_POD, message)
        else:
            raise error

    def _adopt(self, study_id: str, name: str, namespace: str) -> bool:
        """There is a Pod of that name: it is the run's, or it is another's and the run FAILED. False: it is the run's."""
        pod = self._pods.get(namespace, name)
        if pod is None:
            raise UnavailableError(f"Pod {name} was there and is gone; it is tried again")
        identity = marks.identity(pod)
        labels = (pod.get("metadata") or {}).get("labels") or {}
        ours = identity == (study_id, *split_name(name))
        if ours and labels.get(LABEL_INSTALLATION) == self._policy.installation:
            run = self._runs.put(pod)
            if run is not None and not run.ended:
                self._runs.want_output(run)
            return False
        message = f"namespace {namespace} holds a Pod {name} that is not Katib's, or another installation's: delete it"
        self._mourn(study_id, name, namespace, DriverReason.NAME_TAKEN, message)
        return True

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
        """A run that no list and no event has named yet, asked for by its name."""
        for namespace in self._where(study_id):
            pod = self._pods.get(namespace, name)
            if pod is not None and marks.identity(pod) == (study_id, *split_name(name)):
                return self._runs.put(pod)
        if ANY in self._policy.namespaces:
            pod = self._pods.find(self._selector, name)
            if pod is not None and marks.identity(pod) == (study_id, *split_name(name)):
                return self._runs.put(pod)
        return None

    def _where(self, study_id: str) -> Sequence[str]:
        """The namespaces where the Pods of a study are: the one where they have been seen, or all that may be."""
        known = self._namespaces.get(study_id) or self._runs.namespace_of(study_id)
        if known:
            return [known]
        return [n for n in dict.fromkeys((self._policy.namespace, *self._policy.namespaces)) if n != ANY]

    def _watched(self) -> Sequence[str]:
        if allows(self._policy.namespaces, ANY):
            return [""]
        return list(dict.fromkeys((self._policy.namespace, *self._policy.namespaces)))

    def _in_sight(self) -> None:
        deadline = time.monotonic() + _SYNC_S
        for reflector in self._reflectors:
            reflector.require(max(deadline - time.monotonic(), 0.0))

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

    def tick(self) -> None:
        """By the rounds, about twice a second."""
        self._outputs.tick()
        with self._lock:
            printers, self._printers = self._printers, set()
        for study_id in printers:
            self._wake(study_id)
        stale = any(reflector.stale for reflector in self._reflectors)
        if stale and not self._stale:
            # No event will come to say it: whoever asks for the runs now is told why they do not move.
            for study_id in self._runs.studies():
                self._wake(study_id)
        self._stale = stale
