"""The peer: a loop that creates Pods and does nothing else. One thread creates, as soon as fewer than so many are unfinished;
one watches for ends. No metrics, no database, nothing is deleted; requests are sent by Katib's own code."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from katib.domain.errors import KatibError
from katib.domain.names import new_id, run_name
from katib.domain.study import StudySpec
from katib.worker.base import RunSpec
from katib.worker.kubernetes.access import open_access
from katib.worker.kubernetes.api import Api
from katib.worker.kubernetes.podapi import PodApi
from katib.worker.kubernetes.pods import make_pod
from katib.worker.kubernetes.policy import Policy

_SELECTOR = "katib.test/bare=true"
_WAIT_S = 120


class BareLoop:
    def __init__(self, kubeconfig: Path, namespace: str, spec: StudySpec) -> None:
        self._namespace, self._spec = namespace, spec
        self._api = PodApi(Api(open_access(str(kubeconfig))))

    def run(self, count: int, parallel: int) -> list[str]:
        """Creates `count` Pods, at most `parallel` of them unfinished at once, and waits for the last end; returns their
        names."""
        room = threading.Semaphore(parallel)
        ended: set[str] = set()
        over = threading.Event()

        def note(pod: dict[str, Any]) -> None:
            name = pod["metadata"].get("name", "")
            if pod.get("status", {}).get("phase") in ("Succeeded", "Failed") and name not in ended:
                ended.add(name)
                room.release()
                if len(ended) == count:
                    over.set()

        def watch() -> None:
            # The API server ends a watch whose reader is slow: then everything is listed and watched anew.
            while not over.is_set():
                version = self._list(note)
                for event in self._events(version):
                    if event["type"] == "ERROR":
                        break
                    note(event["object"])
                    if over.is_set():
                        return

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        names = []
        for _ in range(count):
            if not room.acquire(timeout=_WAIT_S):
                raise TimeoutError(f"no Pod has ended for {_WAIT_S} s")
            pod = self._pod()
            names.append(pod["metadata"]["name"])
            self._api.create(self._namespace, pod)
        if not over.wait(_WAIT_S):
            raise TimeoutError(f"{count - len(ended)} Pods have not ended within {_WAIT_S} s")
        return names

    def _list(self, note: Callable[[dict[str, Any]], None]) -> str:
        token = ""
        while True:
            page = self._api.page(self._namespace, _SELECTOR, token)
            for pod in page["items"]:
                note(pod)
            token = page["metadata"].get("continue", "")
            if not token:
                return str(page["metadata"]["resourceVersion"])

    def _pod(self) -> dict[str, Any]:
        trial_id = new_id()
        run = RunSpec(run_name(trial_id, 1), "s" * 16, trial_id, 1, self._spec.command, ("x=0.5",), self._spec)
        pod = make_pod(run, Policy(namespace=self._namespace))
        # Not Katib's: no manager looks at it.
        pod["metadata"]["labels"] = {"katib.test/bare": "true"}
        return pod

    def _events(self, version: str) -> Any:
        rest = b""
        try:
            for data in self._api.watch(self._namespace, _SELECTOR, version, 3600, _WAIT_S):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    yield json.loads(line)
        except KatibError as error:
            print(f"the bare loop's watch was cut ({error}); it goes on with a list")
