"""Suggestion and early-stopping services that answer when, and what, a test says."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final

from katib.domain.errors import (
    DeadlineExceededError,
    FailedPreconditionError,
    InternalError,
    InvalidArgumentError,
    KatibError,
    NotFoundError,
    UnavailableError,
    UnimplementedError,
)
from katib.domain.search_space import Parameter, ParameterType
from katib.domain.study import MAX_PARALLEL, SUGGESTION_NUM, StudySpec
from katib.manager.service_ports import (
    History,
    StoppingAnswer,
    StoppingDelta,
    StoppingRequest,
    Suggestion,
    SuggestionReply,
    SuggestionRequest,
)

# What each algorithm needs to see.
ALGORITHMS: Final = {"random": History.NONE, "model": History.FINALS, "curves": History.CURVES}
RULE: Final = "rule"
ERRORS: Final[dict[str, type[KatibError]]] = {
    "away": UnavailableError,
    "slow": DeadlineExceededError,
    "defect": InternalError,
    "refusal": InvalidArgumentError,
    "missing": NotFoundError,
    "forbidden": FailedPreconditionError,
}
ANSWERS: Final = ("ok", "one", "none", "completed", "last", "greedy", "wrong", *ERRORS)
MOST: Final = 12


@dataclass(eq=False)
class Call:
    """A call that waits for its answer; `make` knows what a good one would be."""

    study_id: str
    future: "Future[Any]"
    make: Callable[[str], Any]


@dataclass
class Services:
    """The services' side: one forgets what it was told when it is started again, as 0.1's did."""

    known: set[str] = field(default_factory=set)
    # Studies of which a service has said that there is nothing more to try.
    exhausted: set[str] = field(default_factory=set)
    calls: list[Call] = field(default_factory=list)
    suggested: int = 0

    def answer(self, call: Call, kind: str) -> None:
        self.calls.remove(call)
        if call.future.cancelled():
            return
        try:
            if kind in ERRORS:
                raise ERRORS[kind](f"the service is scripted to say {kind}")
            result = call.make(kind)
        except KatibError as error:
            call.future.set_exception(error)
        else:
            call.future.set_result(result)

    def accept(self, algorithm: str, study_id: str) -> History:
        self.known.add(study_id)
        return ALGORITHMS[algorithm]

    def suggest(self, request: SuggestionRequest, kind: str) -> SuggestionReply:
        if request.study_id not in self.known:
            raise NotFoundError(f"no settings of study {request.study_id} are known here")
        settings = {s.name: int(s.value) for s in request.spec.settings}
        room = settings.get(MAX_PARALLEL, MOST) - request.unfinished_count
        left = settings.get(SUGGESTION_NUM, 10**6) - request.first_number + 1
        count = {"one": 1, "none": 0, "completed": 0, "greedy": 3 * MOST}.get(kind, max(min(room, left, MOST), 0))
        completed = kind in ("completed", "last")
        if completed:
            self.exhausted.add(request.study_id)
        return SuggestionReply(tuple(self._suggestion(kind) for _ in range(count)), completed)

    def _suggestion(self, kind: str) -> Suggestion:
        """No two are alike, so that a trial that changed its parameters would show."""
        self.suggested += 1
        name = "y" if kind == "wrong" else "x"
        return Suggestion((Parameter(name, ParameterType.DOUBLE, repr(1 / (1 + self.suggested))),))


class Held:
    """Services as a controller sees them: each call waits in `Services.calls` for somebody to answer it."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def set_parameters(self, algorithm: str, study_id: str, spec: StudySpec) -> "Future[Any]":
        return self._call(study_id, lambda _kind: self._services.accept(algorithm, study_id))

    def generate(self, algorithm: str, request: SuggestionRequest) -> "Future[Any]":
        return self._call(request.study_id, lambda kind: self._services.suggest(request, kind))

    def stop(self, algorithm: str, study_id: str) -> None:
        self._services.known.discard(study_id)

    def _call(self, study_id: str, make: Callable[[str], Any]) -> "Future[Any]":
        call = Call(study_id, Future(), make)
        self._services.calls.append(call)
        return call.future


class HeldRules(Held):
    """Stops the second of the trials that run; the first for `one`, all for `completed`, and for `greedy` those that have ended
    too."""

    def set_parameters(self, algorithm: str, study_id: str, spec: StudySpec) -> "Future[Any]":
        return self._call(study_id, lambda _kind: None)

    def should_stop_delta(self, rule: str, delta: StoppingDelta) -> "Future[StoppingAnswer]":
        """As from a service of Katib 0.1, which is asked in full."""
        future: Future[StoppingAnswer] = Future()
        future.set_exception(UnimplementedError("it has no deltas"))
        return future

    def should_stop(self, rule: str, request: StoppingRequest) -> "Future[Mapping[str, str]]":
        running, ended = [t.id for t in request.running], [t.id for t in request.finished]
        stopped = {"ok": running[1:2], "one": running[:1], "completed": running, "greedy": running + ended}
        return self._call(request.study_id, lambda kind: dict.fromkeys(stopped.get(kind, ()), "behind"))


class AtOnce:
    """Services as a use case sees them, which waits for the answer: `kind` is given beforehand."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.kind = "ok"

    def set_parameters(self, algorithm: str, study_id: str, spec: StudySpec) -> "Future[Any]":
        return self._answered(lambda: self._services.accept(algorithm, study_id) if algorithm != RULE else None)

    def generate(self, algorithm: str, request: SuggestionRequest) -> "Future[Any]":
        return self._answered(lambda: self._services.suggest(request, self.kind))

    def should_stop(self, rule: str, request: StoppingRequest) -> "Future[Mapping[str, str]]":
        return self._answered(dict)

    def stop(self, algorithm: str, study_id: str) -> None: ...

    def _answered(self, make: Callable[[], Any]) -> "Future[Any]":
        future: Future[Any] = Future()
        try:
            if self.kind in ERRORS:
                raise ERRORS[self.kind](f"the service is scripted to say {self.kind}")
            future.set_result(make())
        except KatibError as error:
            future.set_exception(error)
        return future
