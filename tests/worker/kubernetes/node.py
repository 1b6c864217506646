"""A node of the small API server: each Pod's trial is a process here, and its status follows it as a kubelet's would."""

import os
import signal
import subprocess
import threading
import time
from datetime import UTC, datetime
from typing import Any

Pod = dict[str, Any]
_POLL_S = 0.05


class Log:
    """What a container has printed, line by line with its time."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.lines: list[tuple[int, bytes]] = []
        # Of lines that were rotated away.
        self.dropped = 0
        # Who follows gets no more than so many lines, and then the end of the container for that of the log.
        self.followed: int | None = None
        self.ended = False

    def add(self, data: bytes) -> None:
        with self.changed:
            self.lines.append((time.time_ns(), data))
            self.changed.notify_all()

    def end(self) -> None:
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def rotate(self, count: int) -> None:
        """The oldest lines are gone."""
        with self.changed:
            del self.lines[:count]
            self.dropped += count

    def now(self, at: int) -> tuple[list[tuple[int, bytes]], int, bool]:
        with self.changed:
            lines = self.lines[max(at - self.dropped, 0) :]
            return list(lines), self.dropped + len(self.lines), True

    def wait(self, at: int, api: Any) -> tuple[list[tuple[int, bytes]], int, bool]:
        with self.changed:
            while not self.ended and not api.closing and self.dropped + len(self.lines) <= at:
                self.changed.wait(0.2)
            ended = self.ended
            before = at
            lines, at, _ = self.now(at)
            left = len(lines) if self.followed is None else max(self.followed - before, 0)
            return lines[:left], at, ended


class Node:
    def __init__(self, api: Any, name: str = "node-1", grace_s: float = 0.5) -> None:
        """`grace_s` stands for every grace, so that tests need not wait as long as people do."""
        self.name = name
        self._api = api
        self._grace_s = grace_s
        self._logs: dict[str, Log] = {}
        self._threads: list[threading.Thread] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        self.closing = False
        # While set, nothing that happens on the node is told to anybody.
        self.silent = threading.Event()
        # A scheduler that finds no room.
        self.full = False
        # The logs of new containers are rotated after so many lines, before who follows them has come so far.
        self.rotates_after: int | None = None

    def log(self, uid: str) -> Log | None:
        return self._logs.get(uid)

    def take(self, pod: Pod) -> None:
        if self.full or pod["spec"].get("nodeSelector"):
            return
        thread = threading.Thread(target=self._run, args=(pod,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def close(self) -> None:
        self.closing = True
        for process in self._processes:
            _signal(process, signal.SIGKILL)
        for thread in self._threads:
            thread.join(10.0)

    def _run(self, pod: Pod) -> None:
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        started = _now()

        def bind(pod: Pod) -> None:
            pod["spec"]["nodeName"] = self.name
            pod["status"] |= {"startTime": started, "conditions": [{"type": "PodScheduled", "status": "True"}]}

        bound = self._api.update(namespace, name, bind, pod["metadata"]["uid"])
        # One that was failed before a node had it is never executed.
        if bound is None or bound["status"]["phase"] != "Pending":
            return
        container = pod["spec"]["containers"][0]
        words = [w.replace("$$", "$") for w in [*container.get("command", ()), *container.get("args", ())]]
        variables = {v["name"]: v["value"].replace("$$", "$") for v in container.get("env") or () if "value" in v}
        log = Log()
        log.followed = self.rotates_after
        try:
            process = subprocess.Popen(
                words,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **variables},
                start_new_session=True,
            )
        except OSError as error:
            state = {
                "terminated": {
                    "exitCode": 128,
                    "reason": "StartError",
                    "message": f"exec: {words[0]}: {error.strerror}",
                }
            }
            self._logs[pod["metadata"]["uid"]] = log
            log.end()
            self._tell(pod, "Failed", container["name"], state)
            return
        self._processes.append(process)
        self._logs[pod["metadata"]["uid"]] = log
        self._tell(pod, "Running", container["name"], {"running": {"startedAt": started}})
        threading.Thread(target=self._copy, args=(process, log), daemon=True).start()
        reason = self._wait(pod, process)
        _signal(process, signal.SIGKILL)
        while not log.ended:
            time.sleep(0.005)
        code = process.returncode if process.returncode >= 0 else 128 - process.returncode
        ended = {
            "terminated": {
                "exitCode": code,
                "reason": "Completed" if code == 0 else "Error",
                "startedAt": started,
                "finishedAt": _now(),
            }
        }
        phase = "Succeeded" if code == 0 and not reason else "Failed"
        self._tell(pod, phase, container["name"], ended, reason)
        known = self._api.get(name, namespace)
        if known is not None and "deletionTimestamp" in known["metadata"] and not self.silent.is_set():
            self._api.remove(namespace, name)

    def _wait(self, pod: Pod, process: subprocess.Popen[bytes]) -> str:
        """Until the process has ended, by itself or because the Pod has to; returns the Pod's reason then."""
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        begin = time.monotonic()
        reason, kill_at = "", None
        while process.poll() is None:
            known = self._api.get(name, namespace)
            deadline = (known or {}).get("spec", {}).get("activeDeadlineSeconds")
            gone = known is None or "deletionTimestamp" in known["metadata"]
            over = deadline is not None and time.monotonic() - begin > deadline
            if (gone or over) and kill_at is None and not self.silent.is_set():
                reason = "" if gone else "DeadlineExceeded"
                kill_at = time.monotonic() + self._grace_s
                # The container's first process alone; the others end with it.
                process.terminate()
            if self.closing or (kill_at is not None and time.monotonic() > kill_at):
                _signal(process, signal.SIGKILL)
            time.sleep(_POLL_S)
        return reason

    def _copy(self, process: subprocess.Popen[bytes], log: Log) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                log.add(line)
        log.end()

    def _tell(self, pod: Pod, phase: str, container: str, state: dict[str, Any], reason: str = "") -> None:
        if self.silent.is_set():
            return

        def change(pod: Pod) -> None:
            pod["status"] |= {"phase": phase, "containerStatuses": [{"name": container, "state": state}]}
            if reason:
                pod["status"] |= {"reason": reason, "message": "Pod was active on the node longer than the deadline"}

        metadata = pod["metadata"]
        self._api.update(metadata["namespace"], metadata["name"], change, metadata["uid"])


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
