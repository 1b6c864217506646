"""How a run is ended, and how it is made sure that one of which there is no Pod never starts."""

import logging
from collections.abc import Callable
from typing import Final

from katib.domain.errors import UnavailableError
from katib.worker.base import RunPhase, RunSpec
from katib.worker.kubernetes import marks
from katib.worker.kubernetes.api import ApiError
from katib.worker.kubernetes.diagnosis import Diagnosis
from katib.worker.kubernetes.finding import Finder
from katib.worker.kubernetes.marks import DriverReason
from katib.worker.kubernetes.podapi import Pod, PodApi
from katib.worker.kubernetes.pods import (
    LABEL_ATTEMPT,
    LABEL_INSTALLATION,
    LABEL_MANAGED_BY,
    LABEL_STUDY,
    LABEL_TRIAL,
    MANAGED_BY,
)
from katib.worker.kubernetes.reasons import PodReason
from katib.worker.kubernetes.refusals import Refusals
from katib.worker.kubernetes.runs import Run, Runs
from katib.worker.names import split_name

# How often a look at a Pod and an act on it are tried when it changes in between; a further pass tries again.
_TRIES: Final = 4
# By which a run's Pod is found, and known as its own.
_LABELS: Final = (LABEL_STUDY, LABEL_TRIAL, LABEL_ATTEMPT, LABEL_INSTALLATION, LABEL_MANAGED_BY)
_RULES: Final = "the cluster's rules change the labels by which Katib finds its Pod"
_log: Final = logging.getLogger(__name__)


class Endings:
    def __init__(
        self,
        pods: PodApi,
        runs: Runs,
        finder: Finder,
        refusals: Refusals,
        installation: str,
        wake: Callable[[str], None],
    ) -> None:
        """`wake` is called with a study of which something has ended that no event will tell of."""
        self._pods: Final = pods
        self._runs: Final = runs
        self._finder: Final = finder
        self._refusals: Final = refusals
        self._installation: Final = installation
        self._wake: Final = wake

    def end(self, study_id: str, name: str, reason: str, message: str) -> None:
        """Ends the run, or makes sure that it never starts."""
        for _ in range(_TRIES):
            run = self._runs.get(name) or self._finder.fetch(study_id, name)
            if run is None:
                # Where a study's Pods go is known once one has been seen; before that it is the usual place.
                where = self._finder.where(study_id)
                told = (
                    f"there is no Pod of it in {', '.join(where)}: it never started, somebody deleted it, or its namespace is "
                    "no longer among the manager's options"
                )
                if self.entomb(study_id, name, where[0], PodReason.POD_DELETED, told):
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
                change = marks.stop_change(pod, reason, message, self._runs.now())
                self._runs.put(self._pods.patch(run.namespace, run.name, change))
            else:
                change = marks.fail_change(pod, reason, message)
                self._runs.put(self._pods.patch_status(run.namespace, run.name, change))
        except ApiError as error:
            if error.status in (404, 409):
                self._refresh(run)
                return False
            if error.denied or error.status not in (400, 403, 422):
                raise
            # The cluster's rules let nobody change it. Its exit code and its log go with it, but it ends.
            run.sentence = reason, message
            self._pods.delete(run.namespace, run.name, run.uid)
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
            pod = marks.make_tombstone(study_id, name, namespace, self._installation, reason, message, sized=sized)
            try:
                made = self._pods.create(namespace, pod)
            except ApiError as error:
                if error.status == 409:
                    return self.adopt(study_id, name, namespace)
                if error.denied or error.status not in (400, 403, 404, 413, 422):
                    raise
                continue
            if self.disown(pod, made):
                break
            self._runs.put(made)
            # Counts for no quota from now on. If this does not get through, the gate holds it all the same.
            self._runs.put(self._pods.patch_status(namespace, name, marks.fail_change(made, reason, message)))
            return True
        # The namespace takes no Pod now, or none that is found again, and so none that is late either. It is shown all the
        # same, and a Pod of that name that comes later is ended at sight.
        self.mourn(study_id, name, namespace, reason, message)
        return True

    def disown(self, sent: Pod, made: Pod) -> str:
        """Deletes a Pod that no list and no event would name, because admission has changed its labels; says which. Empty: it
        is as it was sent."""
        changed = _changed_labels(sent, made)
        if not changed:
            return ""
        metadata = made["metadata"]
        self._pods.delete(metadata["namespace"], metadata["name"], metadata["uid"])
        return f"{_RULES} ({changed}); exempt Katib's Pods from that"

    def find_again(self, run: Run) -> int:
        """Of a Pod that no list names any more: it is gone, or its labels are set as they were. Returns how many requests that
        took."""
        pod = self._pods.get(run.namespace, run.name)
        if pod is None or pod["metadata"]["uid"] != run.uid:
            self._runs.vanished(run)
            run.strayed = False
            return 1
        # Until they are, no event tells of it.
        self._runs.put(pod)
        labels = marks.own_labels(run.study_id, run.name, self._installation)
        wanted = {"metadata": {"uid": run.uid, "labels": labels}}
        changed = _changed_labels(wanted, pod)
        if changed:
            made = self._pods.patch(run.namespace, run.name, wanted)
            kept = _changed_labels(wanted, made)
            if kept:
                raise UnavailableError(f"{_RULES} ({kept}); exempt Katib's Pods from that")
            _log.warning(
                "somebody has changed the labels by which Katib finds the Pod of run %s (%s): they are set again",
                run.name,
                changed,
            )
            pod = made
        run.strayed = False
        self._runs.put(pod)
        return 2

    def mourn(self, study_id: str, name: str, namespace: str, reason: str, message: str) -> None:
        """A FAILED run without a Pod, in this process's memory."""
        trial_id, attempt = split_name(name)
        with self._runs.lock:
            if self._runs.get(name) is None:
                run = self._runs.add(Run(study_id, trial_id, attempt, name, namespace))
                run.diagnosis = Diagnosis(RunPhase.FAILED, reason, message)
        self._wake(study_id)

    def not_created(self, run: RunSpec, namespace: str, error: ApiError) -> None:
        """A refusal that will be the same next time is a run that FAILED; anything else is for the worker's caller to wait."""
        if error.status == 409 and error.reason == "AlreadyExists":
            self.adopt(run.study_id, run.name, namespace)
        elif error.denied or error.over_quota or error.namespace_gone:
            raise error
        elif error.by_rules:
            message = self._refusals.refused(run, error.said)
            self.entomb(run.study_id, run.name, namespace, DriverReason.POD_REFUSED, message)
        elif error.status in (400, 413, 422):
            message = f"the Kubernetes API server does not accept its Pod: {error.said}"
            self.entomb(run.study_id, run.name, namespace, DriverReason.INVALID_POD, message)
        else:
            raise error

    def adopt(self, study_id: str, name: str, namespace: str) -> bool:
        """There is a Pod of that name: it is the run's, or it is another's and the run FAILED. False: it is the run's."""
        pod = self._pods.get(namespace, name)
        if pod is None:
            raise UnavailableError(f"Pod {name} was there and is gone; it is tried again")
        identity = marks.identity(pod)
        labels = (pod.get("metadata") or {}).get("labels") or {}
        ours = identity == (study_id, *split_name(name))
        if ours and labels.get(LABEL_INSTALLATION) == self._installation:
            run = self._runs.put(pod)
            if run is not None and not run.ended:
                self._runs.want_output(run)
            return False
        sent = {"metadata": {**pod["metadata"], "labels": {**labels, LABEL_MANAGED_BY: MANAGED_BY}}}
        if (
            marks.identity(sent) == (study_id, *split_name(name))
            and labels.get(LABEL_INSTALLATION) == self._installation
        ):
            # The cluster's rules have taken that label, and the answer to its creation did not come through.
            self.mourn(study_id, name, namespace, DriverReason.POD_REFUSED, self.disown(sent, pod))
            return True
        whose = marks.installation_of(pod)
        if marks.is_driven(pod) and whose == self._installation:
            # Somebody has changed its labels while no manager was there to see it.
            own = marks.own_labels(study_id, name, self._installation)
            change = {"metadata": {"uid": pod["metadata"]["uid"], "labels": own}}
            if self._runs.put(self._pods.patch(namespace, name, change)) is not None:
                return False
        message = f"namespace {namespace} holds a Pod {name} that is not Katib's: delete it"
        if marks.is_driven(pod) and whose:
            message = (
                f"namespace {namespace} holds the Pod {name} of another Katib, whose installation is {whose}, as where two "
                "work on copies of one database: have the trials of one go to another namespace"
            )
        self.mourn(study_id, name, namespace, DriverReason.NAME_TAKEN, message)
        return True


def _changed_labels(sent: Pod, made: Pod) -> str:
    wanted, found = (pod["metadata"].get("labels") or {} for pod in (sent, made))
    return ", ".join(
        f"{label} is {found.get(label, 'missing')}" for label in _LABELS if found.get(label) != wanted.get(label)
    )
