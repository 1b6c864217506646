"""What a Pod's status means for its run, in words for the trial's owner: a pure function of its JSON, the time, and
since when it has been in the trouble it is in, which no status says."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from katib.domain.study_file_values import format_period
from katib.domain.trial import TrialReason
from katib.worker.base import RunPhase
from katib.worker.exit_codes import explain
from katib.worker.kubernetes.policy import Waits
from katib.worker.kubernetes.reasons import (
    BROKEN_STARTS,
    CONFIG,
    CREATE,
    CREATE_WAITS,
    DISRUPTION_REASONS,
    DISRUPTIONS,
    IMAGE_WAITS,
    NEVER,
    OWN_STORAGE,
    POD_REASONS,
    REFUSALS,
    START_ERRORS,
    STORAGE,
    PodReason,
)
from katib.worker.kubernetes.template import trial_name


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """How a run stands. `hopeless`: it waits and has passed the deadline of what it waits for, or can never run, or does not
    go away: the driver ends it, by force where it is STOPPING already, and reports it FAILED with this reason and message.
    `look_again`: when time alone may change the diagnosis. `trouble`: what its deadline counts from the first sight of."""

    phase: RunPhase
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    hopeless: bool = False
    look_again: datetime | None = None
    trouble: str = ""


# A Pod of which nobody takes notice is said to be so only after this long, unless it is given up: schedulers are busy.
NOT_SCHEDULED_AFTER: Final = timedelta(seconds=30)
# After the grace, a node that answers has ended a Pod within seconds; one that was deleted by force is gone at once.
NO_ANSWER_AFTER: Final = timedelta(seconds=20)
_DELETED: Final = "deleted"
_MAX_TEXT: Final = 500
_MAX_GRACE_S: Final = 10**7


def diagnose_pod(
    pod: Mapping[str, Any], now: datetime, waits: Waits, seen: Mapping[str, datetime] | None = None
) -> Diagnosis:
    """`now` is aware. `seen`: when each `trouble` of this Pod was seen first. Never raises, whatever an API server sends."""
    return _Pod(pod, now, waits, seen or {}).diagnose()


def sent_at(pod: Mapping[str, Any]) -> datetime | None:
    """When it was sent to its node, or at the least created: the API server has written both."""
    conditions = _mappings(_mapping(pod.get("status")).get("conditions"))
    sent = [
        c.get("lastTransitionTime") for c in conditions if (c.get("type"), c.get("status")) == ("PodScheduled", "True")
    ]
    created = _mapping(pod.get("metadata")).get("creationTimestamp")
    return max(filter(None, map(time_of, (*sent, created))), default=None)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    """One line that is not endless."""
    text = " ".join(value.split()) if isinstance(value, str) else ""
    return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 3]}..."


def time_of(value: object) -> datetime | None:
    """A time as Kubernetes writes it, aware; None: there is none."""
    if not isinstance(value, str):
        return None
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        return None
    if not 1970 <= time.year < 9000:
        return None  # to be added to
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _said(what: str, words: str) -> str:
    """Our words with Kubernetes' own behind them."""
    return f"{what} ({words})" if words else what


def _is_lost(terminated: Mapping[str, Any]) -> bool:
    """Whether nobody saw how a container ended: by the kubelet's word, or by containerd's after its node was rebooted."""
    said = terminated.get("reason")
    return said == "ContainerStatusUnknown" or (said == "Unknown" and terminated.get("exitCode") == 255)


class _Pod:
    def __init__(self, pod: Mapping[str, Any], now: datetime, waits: Waits, seen: Mapping[str, datetime]) -> None:
        self._now = now
        self._waits = waits
        self._seen = seen
        metadata, self._spec = _mapping(pod.get("metadata")), _mapping(pod.get("spec"))
        self._status = _mapping(pod.get("status"))
        self._phase = self._status.get("phase")
        self._created = time_of(metadata.get("creationTimestamp")) or now
        self._deleted = time_of(metadata.get("deletionTimestamp"))
        self._grace = timedelta(seconds=min(_whole(metadata.get("deletionGracePeriodSeconds")) or 0, _MAX_GRACE_S))
        self._conditions = {_word(c.get("type")): c for c in _mappings(self._status.get("conditions"))}
        containers = _mappings(self._spec.get("containers"))
        self._name = trial_name(_mapping(metadata.get("annotations")), list(containers))
        self._trial = next((c for c in containers if c.get("name") == self._name), {})
        statuses = _mappings(self._status.get("containerStatuses"))
        self._container = next((s for s in statuses if s.get("name") == self._name), {})
        state = _mapping(self._container.get("state"))
        self._waiting = _mapping(state.get("waiting"))
        self._running = _mapping(state.get("running"))
        self._terminated = _mapping(state.get("terminated"))

    def diagnose(self) -> Diagnosis:
        if self._phase == "Succeeded" or (self._terminated and self._terminated.get("exitCode") == 0):
            cause = self._cut_short()
            return self._ended(RunPhase.FAILED, *cause, 0) if cause else self._ended(RunPhase.SUCCEEDED, "", "", 0)
        if self._phase == "Failed" or self._terminated:
            return self._failed()
        if self._deleted is not None:
            return self._stopping()
        if self._running:
            return self._runs()
        return self._waits_for()

    # Ended

    def _failed(self) -> Diagnosis:
        """Why the Pod ended comes before how its program did: one that is evicted is killed like any other."""
        code = _whole(self._terminated.get("exitCode"))
        cause = self._cause()
        if cause is not None:
            return self._ended(RunPhase.FAILED, *cause, code)
        said = _word(self._terminated.get("reason"))
        words = _text(self._terminated.get("message"))
        if said == "OOMKilled":
            limit = _mapping(_mapping(self._trial.get("resources")).get("limits")).get("memory")
            most = f"its limit of {limit}" if limit else "what its node had left"
            message = f"it needed more memory than {most}; raise pod.limits.memory, or make the trial smaller"
            return self._ended(RunPhase.FAILED, PodReason.OOM_KILLED, message, code)
        if said in START_ERRORS and any(broken in words for broken in BROKEN_STARTS):
            message = _said("its node broke off its start", words)
            return self._ended(RunPhase.FAILED, PodReason.NODE_REFUSED, message, code)
        if said in START_ERRORS:
            message = _said("its command could not be started; correct the command or the image", words)
            return self._ended(RunPhase.FAILED, TrialReason.START_FAILED, message, code)
        if said == "DeadlineExceeded":
            return self._ended(RunPhase.FAILED, *POD_REASONS["DeadlineExceeded"], code)
        if code is None or _is_lost(self._terminated):
            return self._ended(RunPhase.FAILED, *self._unknown(), None)
        return self._ended(RunPhase.FAILED, *explain(code), code)

    def _cut_short(self) -> tuple[str, str] | None:
        """Why a program was asked to end that then ended well, with half of its result. What became of the Pod of one that
        had ended before does not count."""
        finished = time_of(self._terminated.get("finishedAt"))
        if finished is None:
            return None
        disruption = self._disruption(until=finished)
        if disruption is not None:
            return disruption
        return self._cause() if self._status.get("reason") in POD_REASONS and self._deletion() is not None else None

    def _cause(self) -> tuple[str, str] | None:
        """What ended the Pod as a whole."""
        said, words = _word(self._status.get("reason")), _text(self._status.get("message"))
        if said in POD_REASONS:
            own = said == "Evicted" and OWN_STORAGE.search(words)
            reason, what = STORAGE if own else POD_REASONS[said]
            return reason, _said(what, words)
        if said.startswith(REFUSALS):
            return PodReason.NODE_REFUSED, _said(f"its node did not take it: {said}", words)
        disruption = self._disruption()
        if disruption is not None:
            return disruption
        return self._deletion()

    def _disruption(self, until: datetime | None = None) -> tuple[str, str] | None:
        for kind in DISRUPTIONS:
            condition = self._conditions.get(kind)
            if condition is None or condition.get("status") != "True":
                continue
            if until is not None and until < (time_of(condition.get("lastTransitionTime")) or self._now):
                continue
            said, words = _word(condition.get("reason")), _text(condition.get("message"))
            default = PodReason.PREEMPTED if kind == "TerminationTarget" else PodReason.EVICTED
            reason, what = DISRUPTION_REASONS.get(said, (default, "the cluster ended it"))
            if said == "TerminationByKubelet" and "shutdown" in words:
                reason, what = PodReason.NODE_SHUTDOWN, "its node was shut down"
            elif said == "TerminationByKubelet" and "preempt" in words.lower():
                reason, what = PodReason.PREEMPTED, "it made room for a more important Pod"
            return reason, _said(what, words or said)
        return None

    def _deletion(self) -> tuple[str, str] | None:
        """A program that ended by itself before somebody deleted its Pod ended by itself."""
        if self._deleted is None:
            return None
        finished = time_of(self._terminated.get("finishedAt"))
        # Both times are whole seconds.
        if finished is not None and finished < self._deleted - self._grace - timedelta(seconds=1):
            return None
        return PodReason.POD_DELETED, "somebody deleted its Pod"

    def _unknown(self) -> tuple[str, str]:
        """A Pod that failed before its program ran, or of which nobody knows how."""
        said, words = _text(self._status.get("reason")), _text(self._status.get("message"))
        lost = PodReason.NODE_LOST, _said("its node lost sight of it, so how it ended is not known", words)
        if _is_lost(self._terminated):
            return lost
        for status in _mappings(self._status.get("initContainerStatuses")):
            ended = _mapping(_mapping(status.get("state")).get("terminated"))
            if _is_lost(ended):
                return lost
            code = _whole(ended.get("exitCode"))
            if code:
                name = _text(status.get("name"))
                if ended.get("reason") == "OOMKilled":
                    return PodReason.INIT_FAILED, f"init container {name} ran out of memory; raise its limit"
                words = _text(ended.get("message"))
                what = f"init container {name} failed: {explain(code)[1].replace('its output', 'its log')}"
                return PodReason.INIT_FAILED, _said(what, words)
        for status in _mappings(self._status.get("containerStatuses")):
            ended = _mapping(_mapping(status.get("state")).get("terminated"))
            if ended.get("exitCode") and status.get("name") != self._name:
                what = f"container {_text(status.get('name'))} beside it failed with code {ended.get('exitCode')}"
                return PodReason.POD_FAILED, what
        return PodReason.POD_FAILED, _said("its Pod failed and does not say why", f"{said} {words}".strip())

    def _ended(self, phase: RunPhase, reason: str, message: str, code: int | None) -> Diagnosis:
        ended = time_of(self._terminated.get("finishedAt"))
        if ended is None:
            changes = [self._conditions.get(kind, {}).get("lastTransitionTime") for kind in (*DISRUPTIONS, "Ready")]
            ended = max(filter(None, map(time_of, changes)), default=self._deleted or self._now)
        return Diagnosis(phase, reason, message, code, time_of(self._terminated.get("startedAt")), ended)

    # Going, running

    def _stopping(self) -> Diagnosis:
        """Asked to end by us or by somebody else: the trial says which, for its own reason comes first."""
        assert self._deleted is not None
        started = time_of(self._running.get("startedAt"))
        reason, message = self._disruption() or (PodReason.POD_DELETED, "somebody deleted its Pod")
        deadline = self._deleted + self._waits.gone
        # From its first sight, too: whoever was not there to see it deleted is told of that and of its end together.
        since = max(self._deleted, self._seen.get(_DELETED, self._now))
        late = min(since + NO_ANSWER_AFTER, deadline)
        if self._now < late:
            return Diagnosis(RunPhase.STOPPING, reason, message, started_at=started, look_again=late, trouble=_DELETED)
        node = _text(self._spec.get("nodeName")) or "its node"
        lost = f"its Pod does not go away: {node} does not answer; if it is gone, delete the node"
        hopeless = deadline <= self._now
        return Diagnosis(
            RunPhase.STOPPING,
            PodReason.NODE_LOST if hopeless or reason == PodReason.POD_DELETED else reason,
            lost,
            started_at=started,
            hopeless=hopeless,
            look_again=None if hopeless else deadline,
        )

    def _runs(self) -> Diagnosis:
        found = Diagnosis(RunPhase.RUNNING, started_at=time_of(self._running.get("startedAt")))
        disruption = self._disruption()
        if disruption is not None:
            return replace(found, reason=disruption[0], message=disruption[1])
        ready, containers = self._conditions.get("Ready", {}), self._conditions.get("ContainersReady", {})
        # Kubernetes takes back only the first of the two when it no longer hears from the node.
        away = ready.get("status") == "False" and containers.get("status") == "True"
        if self._phase == "Unknown" or (away and not self._spec.get("readinessGates")):
            node = _text(self._spec.get("nodeName")) or "its node"
            message = f"{node} does not answer: the trial goes on when it comes back, and is lost when it does not"
            return replace(found, reason=PodReason.NODE_NOT_READY, message=message)
        return found

    # Waiting

    def _waits_for(self) -> Diagnosis:
        scheduled = self._conditions.get("PodScheduled")
        on_node = bool(self._spec.get("nodeName")) or (scheduled or {}).get("status") == "True"
        if not on_node:
            return self._unscheduled(scheduled)
        # The first is by its node's clock: if it is still to come, that is wrong.
        moments = time_of(self._status.get("startTime")), time_of((scheduled or {}).get("lastTransitionTime"))
        since = max((at for at in (*moments, self._created) if at and at <= self._now), default=self._now)
        specs = _mappings(self._spec.get("initContainers"))
        sidecars = [spec.get("name") for spec in specs if spec.get("restartPolicy") == "Always"]
        for status in _mappings(self._status.get("initContainerStatuses")):
            state = _mapping(status.get("state"))
            since = max(since, time_of(_mapping(state.get("terminated")).get("finishedAt")) or since)
            trouble = self._trouble(status, f"init container {_text(status.get('name'))}: ")
            if trouble is not None:
                return trouble
            # What comes after a sidecar waits only until that has started; every init container that runs has.
            if state.get("running") and not (status.get("started") and status.get("name") in sidecars):
                since = max(since, time_of(_mapping(state.get("running")).get("startedAt")) or since)
                message = f"init container {_text(status.get('name'))} runs"
                return self._wait(PodReason.POD_INITIALIZING, message, since, self._waits.start)
        others = _mappings(self._status.get("containerStatuses"))
        for status in sorted(others, key=lambda s: s.get("name") != self._name):
            name = status.get("name")
            where = "" if name == self._name else f"container {_text(name)}: "
            trouble = self._trouble(status, where)
            if trouble is not None:
                return trouble
        node = _text(self._spec.get("nodeName"))
        there = f" on {node}" if node else ""
        if self._conditions.get("PodReadyToStartContainers", {}).get("status") == "False":
            message = f"volumes are mounted and the network is set up{there}"
            return self._wait(PodReason.CONTAINER_CREATING, message, since, self._waits.sandbox)
        return self._wait(
            PodReason.CONTAINER_CREATING, f"images are pulled and containers created{there}", since, self._waits.start
        )

    def _unscheduled(self, scheduled: Mapping[str, Any] | None) -> Diagnosis:
        since = self._created
        name = _text(self._spec.get("schedulerName")) or "the scheduler"
        if scheduled is None:
            message = f"{name} has not looked at it: is there a scheduler of that name?"
            found = self._wait(PodReason.NOT_SCHEDULED, message, since, self._waits.scheduler)
            shown = since + NOT_SCHEDULED_AFTER
            if found.hopeless or shown <= self._now:
                return found
            return replace(found, reason="", message="", look_again=min(found.look_again or shown, shown))
        words = _text(scheduled.get("message"))
        if scheduled.get("reason") == "SchedulingGated":
            gates = [_text(gate.get("name")) for gate in _mappings(self._spec.get("schedulingGates"))]
            message = f"it waits for {', '.join(gates)}" if gates else _said("it waits to be admitted", words)
            return self._wait(PodReason.SCHEDULING_GATED, message, since, self._waits.gated)
        # The condition's own time is that of the Pod's creation, however long gates held it.
        message = _said("no node can take it now", words)
        return self._wait_since_seen("node", PodReason.UNSCHEDULABLE, message, self._waits.unschedulable)

    def _trouble(self, status: Mapping[str, Any], where: str) -> Diagnosis | None:
        """What keeps one container from starting, unless it is simply being made."""
        waiting, name = _mapping(_mapping(status.get("state")).get("waiting")), _word(status.get("name"))
        said, words = _word(waiting.get("reason")), _text(waiting.get("message"))
        if said in NEVER:
            reason, what = NEVER[said]
            return Diagnosis(RunPhase.WAITING, reason, f"{where}{_said(what, words)}", hopeless=True)
        if said in IMAGE_WAITS:
            reason, what = IMAGE_WAITS[said]
            return self._wait_since_seen(f"image {name}", reason, f"{where}{_said(what, words)}", self._waits.image)
        if said == "CreateContainerConfigError":
            message = f"{where}{_said(CONFIG, words)}"
            return self._wait_since_seen(f"config {name}", PodReason.CONFIG_ERROR, message, self._waits.config)
        if said in CREATE_WAITS:
            message = f"{where}{_said(CREATE, words)}"
            return self._wait_since_seen(f"create {name}", PodReason.CREATE_ERROR, message, self._waits.create)
        return None

    def _wait_since_seen(self, trouble: str, reason: str, message: str, most: timedelta) -> Diagnosis:
        return replace(self._wait(reason, message, self._seen.get(trouble, self._now), most), trouble=trouble)

    def _wait(self, reason: str, message: str, since: datetime, most: timedelta) -> Diagnosis:
        """One that waits `most` since then, or as long as its study says."""
        total = self._waits.total
        deadline = since + most if total is None else self._created + total
        if self._now < deadline:
            return Diagnosis(RunPhase.WAITING, reason, message, look_again=deadline)
        if total is None:
            over = f"for {format_period(most)}; pod.start_timeout allows more"
        else:
            over = f"longer than pod.start_timeout ({format_period(total)})"
        what = f"{message}; it waited {over}" if message else f"it waited {over}"
        return Diagnosis(RunPhase.WAITING, reason or PodReason.NOT_SCHEDULED, what, hopeless=True)
