"""Where a run's Pod is, when no list and no event has named it yet."""

from collections.abc import Sequence
from typing import Final

from katib.worker.kubernetes import marks
from katib.worker.kubernetes.podapi import Pod, PodApi
from katib.worker.kubernetes.policy import ANY, Policy, allows
from katib.worker.kubernetes.remembered import Remembered
from katib.worker.kubernetes.runs import Run, Runs
from katib.worker.names import split_name


class Finder:
    def __init__(self, pods: PodApi, runs: Runs, policy: Policy, selector: str) -> None:
        """`selector`: what the Pods of this installation's runs are labelled with."""
        self._pods: Final = pods
        self._runs: Final = runs
        self._policy: Final = policy
        self._selector: Final = selector
        # Where the Pods of a study go, as far as that was seen here.
        self.namespaces: Final = Remembered[str]()
        # Where they may be, as it was stored.
        self._placed: Final = Remembered[tuple[str, ...]]()

    def fetch(self, study_id: str, name: str) -> Run | None:
        """The run, asked for by its name; None: there is no Pod of it."""
        for namespace in self.where(study_id):
            pod = self._pods.get(namespace, name)
            run = None if pod is None else self._found(pod, study_id, name)
            if run is not None:
                return run
        if ANY in self._policy.namespaces:
            pod = self._pods.find(self._selector, name)
            if pod is not None and marks.identity(pod) == (study_id, *split_name(name)):
                return self._runs.put(pod)
        return None

    def _found(self, pod: Pod, study_id: str, name: str) -> Run | None:
        """The run, if it is its Pod. One whose labels somebody has changed while no manager was there to see it would be named
        by no list and no event: it has strayed, and gets them again. Another installation's is that one's, of whatever run."""
        if marks.installation_of(pod) not in ("", self._policy.installation):
            return None
        if marks.identity(pod) != (study_id, *split_name(name)) and not marks.is_driven(pod):
            return None
        labels = pod["metadata"].get("labels") or {}
        own = labels | marks.own_labels(study_id, name, self._policy.installation)
        with self._runs.lock:
            run = self._runs.put({**pod, "metadata": {**pod["metadata"], "labels": own}})
            if run is not None and labels != own:
                run.strayed = True
        return run

    def place(self, study_id: str, places: Sequence[str]) -> None:
        if places:
            self._placed.put(study_id, tuple(places))
        else:
            self._placed.drop(study_id)

    def placed(self, study_id: str) -> Sequence[str]:
        """Where the Pods of a study may be, as it was stored; first where its runs are begun. None: nothing was."""
        places = self._placed.get(study_id) or ()
        gone = self._policy.gone_namespaces
        return [name for name in places if name not in gone] or [self._policy.namespace][: len(places)]

    def where(self, study_id: str) -> Sequence[str]:
        """The namespaces where the Pods of a study are: those that were stored, the one where they have been seen, or all that
        may be."""
        placed = self.placed(study_id)
        if placed:
            return placed
        known = self.namespaces.get(study_id)
        if known:
            return [known]
        seen = self._runs.namespace_of(study_id)
        if seen:
            self.namespaces.put(study_id, seen)
            return [seen]
        return [n for n in dict.fromkeys((self._policy.namespace, *self._policy.namespaces)) if n != ANY]

    def watched(self) -> Sequence[str]:
        """The namespaces of all Pods that there may be; an empty name stands for all of them."""
        if allows(self._policy.namespaces, ANY):
            return [""]
        return list(dict.fromkeys((self._policy.namespace, *self._policy.namespaces)))
