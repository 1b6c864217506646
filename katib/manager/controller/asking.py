"""A study's conversation with its suggestion service: one call at a time, never waited for.

What is remembered here is lost with the process, and costs one SetSuggestionParameters then: a 0.1 service that was restarted
meanwhile must be told anyway.
"""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from katib.domain.backoff import backoff
from katib.domain.errors import DeadlineExceededError, InvalidArgumentError, KatibError, UnavailableError
from katib.domain.names import new_id
from katib.domain.search_space import SearchSpace
from katib.domain.study import (
    Intent,
    Study,
    StudyReason,
    StudySpec,
    StudyState,
    effective_limits,
    with_effective_settings,
)
from katib.domain.study_checks import MAX_TAGS
from katib.domain.trial import NewTrial, Trial, TrialReason
from katib.manager.controller.observed import FREE_SLOT, Asking
from katib.manager.history import StoredHistory
from katib.manager.ports import Storage
from katib.manager.quotas import Room
from katib.manager.service_ports import (
    AskAgainError,
    History,
    Suggestion,
    SuggestionReply,
    SuggestionRequest,
    SuggestionServices,
)
from katib.manager.suggested import checked_parameters, noted, told_of

# A service that comes back is used within two seconds, however long it was away.
_AWAY_MOST_S: Final = 1.0
# One that answers but fails is given more time: it will hardly be mended within seconds.
_FAILING_MOST_S: Final = 30.0
# One that has nothing though nothing runs may be at work on it, and who waits for it has slots that are free.
_NOTHING_MOST_S: Final = 2.0
_FIRST_S: Final = 0.25
# A question that is out for so long, with room for trials, is shown on the study, and after each further half minute again.
_SHOWN_AFTER_S: Final = 5
_SHOWN_EVERY_S: Final = 30
# No service may fill the database with one reply.
MOST_AT_ONCE: Final = 1000
MAX_TAG_CHARACTERS: Final = 64 * 1024
# Where no more trials are kept, so often it is looked whether that is so.
_FULL: Final = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class _Question:
    """For suggestions; and how many trials the study had, and had finished, when it was asked."""

    call: Future[SuggestionReply]
    suggested: int
    finished: int


class Conversation:
    """One study's. Used by the thread that reconciles the study; `wake` is called from any when an answer has come."""

    def __init__(self, services: SuggestionServices, storage: Storage, wake: Callable[[], None], room: Room) -> None:
        self._room = room
        self._services = services
        self._storage = storage
        self._wake = wake
        # The study's settings as they were seen last; whether the service has accepted these, and what history it wants then.
        self._spec: StudySpec | None = None
        self._space: SearchSpace | None = None
        self._prepared = False
        self._history: History | None = None
        # What is out: the settings, or a question; and the question whose answer `take` has given last.
        self._out: Future[History] | _Question | None = None
        self._taken: _Question | None = None
        # When the present pass began, and when what is out was asked first.
        self._now: datetime | None = None
        self._asked_at: datetime | None = None
        # What was asked has to be asked again in this pass.
        self._again = False
        # In vain, on end; and before when it is not asked again.
        self._failures = 0
        self._not_before: datetime | None = None
        # How many trials had finished when it had nothing for now, if that was its last word; since when, while nothing ran.
        self._empty_at: int | None = None
        self._empty_since: datetime | None = None
        # The same of when it had nothing more at all; and its word for that.
        self._completed_at: int | None = None
        self._completed_reason = ""
        self._trouble: tuple[str, str] | None = None
        self._note: str | None = None

    def prepared(self, study: Study, history: History) -> None:
        """The service has accepted the study's settings a moment ago."""
        self._spec, self._prepared, self._history = study.spec, True, history.of(study, study.spec.algorithm)

    def look(self, study: Study, ahead: timedelta = timedelta()) -> Asking:
        """How the conversation stands, for the plan. `ahead`: by how much the plan's clock is ahead of the one that `take` is
        given, which nobody sets."""
        if self._spec is not study.spec and self._spec != study.spec:
            # Another limit or goal: a service that keeps state must be told.
            self._prepared = False
            self._completed_at = None
            if self._empty_at is not None:
                # Nor need it have nothing any more.
                self._empty_at = self._not_before = None
        self._spec = study.spec
        waits = self._not_before
        if self._empty_at is not None and self._empty_at != study.finished_trials:
            # More has finished since the service had nothing: it may have something now.
            waits = None
        trouble, until = self._shown(study)
        room, why = self._room.of(study)
        if room == 0 and _allowed(study) > 0:
            trouble, until = (StudyReason.QUOTA, why), None
            waits = max(waits or now, now + _FULL) if (now := self._now) is not None else waits
        return Asking(
            in_flight=self._out is not None,
            not_before=waits and waits + ahead,
            history=self._history,
            completed_at=self._completed_at,
            completed_reason=self._completed_reason,
            empty_since=self._empty_since and self._empty_since + ahead,
            trouble=trouble,
            trouble_until=until and until + ahead,
            note=self._note,
        )

    def _shown(self, study: Study) -> tuple[tuple[str, str] | None, datetime | None]:
        """What keeps the study from having trials, and until when that is to be shown."""
        if self._out is None or self._asked_at is None or self._now is None:
            return self._trouble, None
        seconds = int((self._now - self._asked_at).total_seconds())
        if seconds < _SHOWN_AFTER_S:
            return self._trouble, self.shown_from
        step = seconds // _SHOWN_EVERY_S * _SHOWN_EVERY_S
        message = (
            f"suggestion-{study.spec.algorithm} was asked more than {max(step, _SHOWN_AFTER_S)} s ago and has not answered "
            "yet; it may compute long, and its log may say more"
        )
        return (StudyReason.WAITING_FOR_SUGGESTIONS, message), self._asked_at + timedelta(seconds=step + _SHOWN_EVERY_S)

    def ask(self, study: Study, unfinished: list[Trial], count: int) -> None:
        """Starts the next call: the settings first where the service may not know them."""
        if not self._again:
            self._asked_at = self._now
        algorithm = study.spec.algorithm
        if not self._prepared or self._history is None:
            spec = replace(study.spec, settings=with_effective_settings(study.spec))
            settings = self._out = self._services.set_parameters(algorithm, study.id, spec)
            settings.add_done_callback(lambda _: self._wake())
            return
        history = self._history
        out = len(unfinished)
        # Where no history is needed we ask ahead; the service must believe that there is room for it.
        most = out + count if history is History.NONE else None
        request = SuggestionRequest(
            study_id=study.id,
            spec=replace(study.spec, settings=with_effective_settings(study.spec, most)),
            history=None if history is History.NONE else StoredHistory(self._storage, study, history),
            unfinished=() if history is History.NONE else unfinished,
            finished_count=study.finished_trials,
            unfinished_count=out,
            first_number=study.suggested + 1,
        )
        call = self._services.generate(algorithm, request)
        self._out = _Question(call, study.suggested, study.finished_trials)
        call.add_done_callback(lambda _: self._wake())

    @property
    def shown_from(self) -> datetime | None:
        """When a question that went out in this pass is to be shown: nothing else may happen before."""
        return self._asked_at and self._asked_at + timedelta(seconds=_SHOWN_AFTER_S)

    def take(self, study: Study, now: datetime) -> list[NewTrial]:
        """The new trials of an answer that has come; they belong behind trial number `asked_suggested`. Begins a pass."""
        self._now, self._again = now, False
        out = self._out
        if out is None:
            return []
        if not isinstance(out, _Question):
            if out.done():
                self._settings_answered(study, out, now)
            return []
        if not out.call.done():
            return []
        if study.state is not StudyState.RUNNING or study.intent is not Intent.NONE:
            # It takes no new trials. A service may count what it gives out, so the answer is kept for when the study goes on.
            return []
        self._taken, self._out = out, None
        try:
            reply = out.call.result()
            most = min(_allowed(study), self._room.of(study)[0])
            trials = [self._new_trial(study, s) for s in reply.suggestions[:most]]
        except AskAgainError:
            # Nothing is out any more, so this pass asks.
            self._again = True
            return []
        except KatibError as error:
            self._failed(study, error, now)
            return []
        if trials and study.suggested != out.suggested:
            # Somebody else has added some: these were suggested without knowing them.
            self.lost()
            return []
        self._note = noted(reply.note)
        self._trouble = None
        if not trials and not reply.completed:
            self._empty(study, out, now)
            return []
        self._failures = 0
        self._not_before = None
        self._empty_at = None
        if trials:
            self._empty_since = None
        else:
            # With trials it only said that these were the last; should they not be stored, it must be asked again.
            self._completed_at = out.finished
            self._completed_reason = reply.reason
        return trials

    def _settings_answered(self, study: Study, settings: Future[History], now: datetime) -> None:
        self._out = None
        try:
            self._history = settings.result().of(study, study.spec.algorithm)
            self._prepared = True
        except KatibError as error:
            self._failed(study, error, now)

    @property
    def asked_suggested(self) -> int:
        """How many trials the study had when that was asked whose answer `take` has given last."""
        assert self._taken is not None
        return self._taken.suggested

    def not_stored(self) -> None:
        """What `take` gave could not be stored now: it gives it again, unless trials have been added by then."""
        self._out = self._taken

    def lost(self) -> None:
        """What the service gave is not going to be stored. If it counts what it gives out, it must begin anew."""
        self._prepared = False

    def stop(self, study: Study) -> None:
        if study.spec.algorithm:
            self._services.stop(study.spec.algorithm, study.id)

    def _new_trial(self, study: Study, suggestion: Suggestion) -> NewTrial:
        """Raises InvalidArgumentError when the service suggests something else than the study's parameters, or more tags than
        are kept."""
        tags = sum(len(tag.name) + len(tag.value) for tag in suggestion.tags)
        if tags > MAX_TAG_CHARACTERS or len(suggestion.tags) > MAX_TAGS:
            shown = f"{len(suggestion.tags)} tags of {tags} characters"
            raise InvalidArgumentError.of("trials.tags", shown, f"expected at most {MAX_TAGS} of {MAX_TAG_CHARACTERS}")
        if self._space is None:
            self._space = SearchSpace.of(study.spec.parameters)
        return NewTrial(
            new_id(),
            checked_parameters(self._space, suggestion.parameters),
            suggestion.tags,
            TrialReason.WAITING_FOR_SLOT,
            FREE_SLOT,
        )

    def _empty(self, study: Study, question: _Question, now: datetime) -> None:
        # Ever more seldom, as long as no other trial has finished: whoever waits for one may wait for hours.
        self._failures = self._failures + 1 if self._empty_at == question.finished else 1
        self._empty_at = question.finished
        self._not_before = now + self._backoff(_FAILING_MOST_S if study.unfinished_trials else _NOTHING_MOST_S)
        if study.unfinished_trials == 0:
            self._empty_since = self._empty_since or now
            self._trouble = (
                StudyReason.NO_SUGGESTIONS,
                f"{study.spec.algorithm} has no suggestion although nothing runs; it is asked again",
            )

    def _failed(self, study: Study, error: KatibError, now: datetime) -> None:
        self._prepared = False
        # How often it had nothing before says nothing of how soon it is mended.
        self._failures = self._failures + 1 if self._empty_at is None else 1
        away = isinstance(error, UnavailableError | DeadlineExceededError)
        self._not_before = now + self._backoff(_AWAY_MOST_S if away else _FAILING_MOST_S)
        self._empty_at = None
        reason = StudyReason.SUGGESTION_UNAVAILABLE if away else StudyReason.SUGGESTION_FAILED
        told = told_of(f"suggestion-{study.spec.algorithm}", noted(error.message))
        self._trouble = (reason, f"{told}; it is asked again until it answers")

    def _backoff(self, most: float) -> timedelta:
        return timedelta(seconds=backoff(self._failures, _FIRST_S, most, 0.6))


def _allowed(study: Study) -> int:
    """How many new trials the study may still have, whatever its service sends."""
    most = effective_limits(study.spec).max_trials
    return MOST_AT_ONCE if most is None else max(0, min(most - study.suggested, MOST_AT_ONCE))
