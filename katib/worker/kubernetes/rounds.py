"""What is done by and by, in a thread of its own: waits that are over, ends that do not come, Pods that nobody needs.

Some requests take as long as they may, such as deletions that a webhook refuses after a while. So what needs none is not done
by that thread, runs that are to end come before Pods that are to go, and of each the one that was tried last comes last.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from katib.domain.backoff import backoff
from katib.domain.errors import KatibError, UnavailableError
from katib.worker.base import RunPhase
from katib.worker.kubernetes import marks
from katib.worker.kubernetes.api import QuietError
from katib.worker.kubernetes.endings import Endings
from katib.worker.kubernetes.marks import DriverReason
from katib.worker.kubernetes.podapi import PodApi
from katib.worker.kubernetes.policy import KEEP_ALL, KEEP_FAILED, Policy
from katib.worker.kubernetes.runs import Run, Runs

_log: Final = logging.getLogger(__name__)

TICK_S: Final = 0.5
_ROUND_S: Final = 1.0
# After the grace, a node that answers has ended a Pod within seconds; one that has not is asked by a deletion.
_OVERDUE: Final = timedelta(seconds=20)
# A Pod says that it is over some time after its last container has ended; one that does not has further containers that go on.
_CLOSE_S: Final = 10.0
# Longer than managers are away.
_FORSAKEN: Final = timedelta(days=1)
# Whoever was to let go of it may have been ended meanwhile: the study's controller is reminded after so many fences, and so
# often.
_FENCES: Final = 2.0
_REMIND_S: Final = 60.0
# A run without a Pod, of a study that moved to another manager.
_FORGET_S: Final = 600.0
# Requests in one round, so that thousands of Pods that are due at once do not hold up anything else.
_REQUESTS_A_ROUND: Final = 100
# And so long for the runs that are to end, and for Pods that are to go: a round that took longer is followed by another.
_ROUND_MOST_S: Final = 5.0
_RETRY_S: Final = 5.0
_RETRY_MOST_S: Final = 60.0
_SAY_S: Final = 60.0


class Rounds:
    def __init__(
        self,
        api: PodApi,
        runs: Runs,
        policy: Policy,
        endings: Endings,
        tick: Callable[[], None],
        fence_s: float,
    ) -> None:
        """`tick` is called about twice a second. `fence_s`: how long the name of a finished run is held at least."""
        self._api: Final = api
        self._runs: Final = runs
        self._policy: Final = policy
        self._endings: Final = endings
        self._fence_s: Final = fence_s
        self._say_at = 0.0
        self._stop: Final = threading.Event()
        self._threads: Final = (
            threading.Thread(target=self._repeat, args=(TICK_S, tick), name="tick", daemon=True),
            threading.Thread(target=self._repeat, args=(_ROUND_S, self._round), name="rounds", daemon=True),
        )

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(5.0)

    def _repeat(self, every_s: float, what: Callable[[], None]) -> None:
        while not self._stop.wait(every_s):
            try:
                what()
            except Exception:  # noqa: BLE001 - the thread must live as long as the worker
                _log.exception("a round over the Pods failed")

    def _round(self) -> None:
        now = self._runs.now()
        runs = self._runs.all()
        for run in runs:
            again = run.diagnosis.look_again
            if again is not None and again <= now:
                self._runs.look_again(run)
        self._look_at([run for run in runs if not run.ended], now)
        self._look_at([run for run in runs if run.ended], now)
        self._runs.forget_buried()
        self._end_doubles()

    def _end_doubles(self) -> None:
        with self._runs.lock:
            doubles = list(self._runs.doubles.found.values())
        for double in doubles:
            try:
                self._api.delete(double.namespace, double.name, double.uid)
            except QuietError:
                return
            except KatibError as error:
                if time.monotonic() >= self._say_at:
                    self._say_at = time.monotonic() + _SAY_S
                    _log.warning(
                        "a second Pod of run %s, in namespace %s, could not be ended, it is tried again: %s",
                        double.name,
                        double.namespace,
                        error,
                    )
                continue
            _log.warning(
                "a second Pod of run %s, in namespace %s, is ended: its creation came too late",
                double.name,
                double.namespace,
            )
            with self._runs.lock:
                self._runs.doubles.found.pop(double.uid, None)

    def _look_at(self, runs: Sequence[Run], now: datetime) -> None:
        begin = time.monotonic()
        requests = 0
        for run in sorted(runs, key=lambda run: run.act_after):
            monotonic = time.monotonic()
            over = requests >= _REQUESTS_A_ROUND or monotonic - begin > _ROUND_MOST_S
            if self._stop.is_set() or over or run.act_after > monotonic:
                break
            try:
                done = self._look(run, now, monotonic)
            except QuietError:
                # It is no run's failure, and none is to wait longer for it.
                run.act_after = monotonic
                break
            except Exception as error:  # noqa: BLE001 - one run's failure is no other's
                self._failed(run, error)
                done = 1
            else:
                # Done, or there is nothing to do any more.
                run.failures = 0
                self._runs.hinder(run, "")
            requests += done

    def _failed(self, run: Run, error: Exception) -> None:
        run.failures += 1
        if not run.ended:
            self._runs.hinder(
                run, str(error) if isinstance(error, KatibError) else f"a defect ({type(error).__name__})"
            )
        # From its end: it may have taken longer than that.
        run.act_after = time.monotonic() + backoff(run.failures, _RETRY_S, _RETRY_MOST_S, 0.75)
        if not isinstance(error, KatibError):
            _log.error("tending run %s failed", run.name, exc_info=error)
        if time.monotonic() < self._say_at:
            return
        self._say_at = time.monotonic() + _SAY_S
        failing = sum(run.failures > 0 for run in self._runs.all())
        others = f", and {failing - 1} others" if failing > 1 else ""
        _log.warning("run %s%s could not be tended, it is tried again: %s", run.name, others, error)

    def _look(self, run: Run, now: datetime, monotonic: float) -> int:
        """Does what is due for one run; returns how many requests that took."""
        if run.strayed:
            # Whoever has changed it may do so again.
            run.act_after = monotonic + _RETRY_S
            try:
                requests = self._endings.find_again(run)
            except UnavailableError:
                if run.let_go_at is None or not run.over:
                    raise
                # It can go without.
            else:
                run.act_after = 0.0 if run.gone else run.act_after
                return requests
        if not run.ended:
            return self._alive(run, now, monotonic)
        if run.let_go_at is None:
            self._forsake(run, now, monotonic)
            return 0
        if run.gone or not run.uid:
            return self._bury(run, monotonic)
        if run.given_up and not run.over:
            # Told to go already; it does when its finalizers are taken off.
            return 0
        if not run.over and not run.closing and monotonic - run.let_go_at >= _CLOSE_S:
            # What stands beside the trial in its Pod ends with it.
            run.closing = True
            with self._runs.lock:
                pod = run.pod
            if pod is not None:
                change = marks.stop_change(pod, run.diagnosis.reason, run.diagnosis.message, now)
                self._runs.put(self._api.patch(run.namespace, run.name, change))
            return 1
        if self._is_due(run, now, monotonic):
            run.deleting = True
            run.act_after = monotonic + _RETRY_S
            self._api.delete(run.namespace, run.name, run.uid)
            if run.over:
                # Its event may be late; the answer is the truth.
                self._runs.remove(run)
            return 1
        return 0

    def _alive(self, run: Run, now: datetime, monotonic: float) -> int:
        found = run.diagnosis
        if found.hopeless:
            run.act_after = monotonic + _RETRY_S
            if found.phase is RunPhase.STOPPING:
                # Its node does not answer, and everybody has waited long enough. Should it come back, it ends what still runs.
                if run.forced:
                    return self._give_up(run)
                run.sentence = found.reason, found.message
                self._api.delete(run.namespace, run.name, run.uid, grace_s=0)
                run.forced = True
            else:
                self._endings.end(run.study_id, run.name, found.reason, found.message)
            return 1
        if run.let_go_at is not None and found.phase is not RunPhase.STOPPING:
            # It came after everybody had done with it.
            run.act_after = monotonic + _RETRY_S
            self._endings.end(run.study_id, run.name, DriverReason.STOPPED, "nobody waits for it any more")
            return 1
        if found.phase is not RunPhase.STOPPING:
            return 0
        with self._runs.lock:
            pod = run.pod
        stopped = marks.stopped_at(pod) if pod is not None else None
        if (
            pod is not None
            and stopped is not None
            and "deletionTimestamp" not in pod["metadata"]
            and stopped + timedelta(seconds=marks.grace_of(pod)) + _OVERDUE <= now
        ):
            run.act_after = monotonic + _RETRY_S
            run.sentence = found.reason, found.message
            self._api.delete(run.namespace, run.name, run.uid)
            return 1
        return 0

    def _give_up(self, run: Run) -> int:
        """Its Pod stays though it was told to go at once."""
        pod = self._api.get(run.namespace, run.name)
        if pod is None or pod["metadata"]["uid"] != run.uid:
            self._runs.vanished(run)
            return 1
        finalizers = pod["metadata"].get("finalizers") or ["a finalizer"]
        message = f"{run.diagnosis.message}; {', '.join(finalizers)} holds the Pod"
        _log.warning("nobody waits for the Pod of run %s any longer: %s", run.name, message)
        self._runs.give_up(run, message)
        return 1

    def _forsake(self, run: Run, now: datetime, monotonic: float) -> None:
        """One that has ended and that nobody asks for: its study was deleted while no manager was there, or is another
        manager's, which lets go of it. What is long over goes all the same."""
        if run.gone:
            if monotonic - run.gone_at > _FORGET_S:
                self._runs.remove(run)
        elif run.study_id not in self._runs.watched:
            ended = run.diagnosis.ended_at or now
            if ended + self._policy.keep_time + _FORSAKEN <= now:
                run.let_go_at, run.unwanted = monotonic, True
            elif ended + timedelta(seconds=_FENCES * self._fence_s) <= now:
                run.act_after = monotonic + _REMIND_S
                self._runs.remind(run)

    def _bury(self, run: Run, monotonic: float) -> int:
        """A run whose Pod went before its time: its name is held in another way."""
        if run.tombstone_due:
            found = run.diagnosis
            self._endings.entomb(run.study_id, run.name, run.namespace, found.reason, found.message)
            run.tombstone_due = False
            return 2
        if run.let_go_at is not None and monotonic - run.let_go_at >= self._fence_s:
            self._runs.remove(run)
        return 0

    def _is_due(self, run: Run, now: datetime, monotonic: float) -> bool:
        assert run.let_go_at is not None
        if monotonic - run.let_go_at < self._fence_s:
            return False
        keep = self._policy.keep
        if run.tombstone or run.unwanted:
            return True
        # Where its log could not be read, somebody may still read it there.
        wanting = run.diagnosis.phase is RunPhase.FAILED or (run.log is not None and run.log.lost)
        if keep == KEEP_ALL or (keep == KEEP_FAILED and wanting):
            ended = run.diagnosis.ended_at or now
            return ended + self._policy.keep_time <= now
        return True
