"""Which trials a client gets that drives a study.

First come its own unfinished ones, then those that silent clients have left, then new ones. Where what it lacks is prepared,
one write gives it all of that (`prepared`), which may be that of the completion before. Otherwise it waits in a line for the
service (`lines`), and whoever is first there asks for all that wait.
"""

import logging
import random
import time
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Final

from katib.domain.errors import (
    AbortedError,
    FailedPreconditionError,
    KatibError,
    ResourceExhaustedError,
)
from katib.domain.names import new_id
from katib.domain.study import (
    Intent,
    Study,
    StudyReason,
    StudyState,
)
from katib.domain.trial import NewTrial, Trial
from katib.manager.changes import Applied, Giving, StudyChanges, StudyMove
from katib.manager.quotas import Room
from katib.manager.service.ask import MAX_SUGGESTIONS, Ask, CheckedAsk, checked, default_algorithm
from katib.manager.service.context import Context
from katib.manager.service.ends import trials_left
from katib.manager.service.lines import Lines, Want
from katib.manager.service.questions import checked_suggestions
from katib.manager.service.supply import SUGGEST_S, Supply
from katib.manager.service_ports import SuggestionReply
from katib.manager.suggested import clients_ask, noted, nothing_more

_log: Final = logging.getLogger(__name__)

_TRIES: Final = 20
# Of so many studies it is remembered which algorithm they name.
_NAMES: Final = 1024
# After a race that was lost: up to so long, doubling.
_PAUSE_FIRST_S: Final = 0.002
_PAUSE_MOST_S: Final = 0.25


# The trials, and whether there is nothing more to try.
Given = tuple[Sequence[Trial], bool]


class Giver:
    """Safe from any thread."""

    def __init__(self, context: Context, supply: Supply, room: Room) -> None:
        self._context = context
        self._storage = context.storage
        self._supply = supply
        self._room = room
        self.lines: Final = Lines()
        # Nobody changes the tags of a study.
        self._default = lru_cache(_NAMES)(lambda study_id: default_algorithm(self._storage.get_study(study_id).spec))

    def checked(self, study_id: str, ask: Ask, at: str = "") -> CheckedAsk:
        """With the study's own algorithm where none is named. Raises InvalidArgumentError. `at`: what comes before the names of
        its fields."""
        return checked(ask, ask.algorithm or self._default(study_id), at)

    def give(self, study_id: str, ask: CheckedAsk) -> Given:
        until = min(ask.deadline, time.monotonic() + SUGGEST_S)
        for tried in range(_TRIES):
            given = self._give_prepared(study_id, ask)
            if given is not None:
                return given
            if tried and time.monotonic() >= until:
                break
            self._client_driven(study_id)
            own = self._own(study_id, ask.client_id, ask.count, ask.period, again=False)
            if len(own) >= ask.count:
                return own, False
            want = Want(ask.client_id, ask.count, ask.period, own)
            serve = self._service(study_id, ask.algorithm, ask.deadline)
            answered = self.lines.ask(study_id, ask.algorithm, want, until, MAX_SUGGESTIONS, serve)
            if answered is not None:
                trials, completed = answered
                if not trials:
                    trials = self._own(study_id, ask.client_id, ask.count, ask.period, again=True)
                    completed = completed and not trials
                return trials, completed and not self._may_be_handed_on(study_id, ask.lease)
            if self._supply.has_some(study_id, ask.algorithm):
                continue
            # Apart from whom it met.
            time.sleep(random.uniform(0, min(_PAUSE_FIRST_S * 2**tried, _PAUSE_MOST_S)))  # noqa: S311
        raise AbortedError(f"study {study_id}: other clients were faster {_TRIES} times; ask again")

    def prepared(self, study_id: str, ask: CheckedAsk) -> Giving | None:
        """What may be given by a write alone, if anything."""
        if not self._supply.has_some(study_id, ask.algorithm):
            return None

        counting = self._room.counting()

        def choose(study: Study, lacking: int) -> Sequence[NewTrial]:
            counting.begin()
            _check_gives(study)
            room = min(lacking, trials_left(study), self._room_of(study, lacking))
            found = self._supply.prepared(study, ask.algorithm, room)
            if found is None:
                raise AbortedError(f"suggestion-{ask.algorithm} has to be asked first")
            counting.added(study, len(found))
            return [NewTrial(new_id(), s.parameters, s.tags, algorithm=ask.algorithm) for s in found]

        return Giving(study_id, ask.client_id, ask.count, ask.period, self._context.now(), choose)

    def given(self, study_id: str, applied: Applied, ask: CheckedAsk) -> Given | None:
        """What a write has given that had `prepared` with it; None where that is not enough."""
        trials = applied.given
        if trials is None:
            return None
        # So that the next clients find something prepared.
        self._supply.look_ahead(applied.study, len(trials), ask.algorithm)
        return trials, not trials and not self._may_be_handed_on(study_id, ask.lease)

    def _own(
        self, study_id: str, client_id: str, count: int, lease: timedelta | None, *, again: bool
    ) -> Sequence[Trial]:
        """Those that are its own, and what silent clients have left; with `again` also what more than one has left."""
        if lease is None or not self._storage.has_trials_for(study_id, client_id):
            return ()
        given = self._storage.hand_out(study_id, client_id, count, lease, self._context.now(), again)
        # One may have been handed on too often, and the study have come to its end with it.
        self._context.controller.wake_soon(study_id)
        return given

    def _may_be_handed_on(self, study_id: str, lease: timedelta | None) -> bool:
        """Whether there may be trials for a client after the last one was suggested, as far as it can wait for them."""
        return lease is not None and self._storage.has_leases(study_id)

    def _give_prepared(self, study_id: str, ask: CheckedAsk) -> Given | None:
        """Of what is there and of what is prepared. None where that is not enough; nothing where no more is to come."""
        giving = self.prepared(study_id, ask)
        if giving is None:
            return None
        try:
            applied = self._storage.give_trials(giving)
        except AbortedError:
            return None
        return self.given(study_id, applied, ask)

    def _service(self, study_id: str, algorithm: str, deadline: float) -> Callable[[Sequence[Want]], None]:
        """What serves all that wait by one question."""

        def serve(wants: Sequence[Want]) -> None:
            study = self._client_driven(study_id)
            if self._supply.prepared(study, algorithm, sum(want.count for want in wants)) is not None:
                # Brought by the question that they have waited for.
                return
            wants = self._lacking(study_id, wants)
            count = min(sum(want.count - len(want.own) for want in wants), trials_left(study))
            reply: SuggestionReply | None = SuggestionReply((), completed=True)
            if count > 0:
                count = min(count, self._room_of(study, count))
                reply = self._supply.ask(study, count, algorithm, deadline)
            if reply is not None:
                self._share_out(study, algorithm, wants, reply, count)
                self._tell(study, reply.note)

        return serve

    def _room_of(self, study: Study, wanted: int) -> int:
        """How many trials it may still be given, apart from its own limit. Raises ResourceExhaustedError for none."""
        if wanted <= 0:
            return wanted
        room, why = self._room.of(study)
        if room == 0:
            raise ResourceExhaustedError(why)
        return room

    def _lacking(self, study_id: str, wants: Sequence[Want]) -> Sequence[Want]:
        """Those that are to have new trials. A client that asks twice, since an answer was lost, gets what was its own."""
        found = []
        named = set()
        for want in wants:
            if want.waited:
                want.own = self._own(study_id, want.client_id, want.count, want.lease, again=False)
            if len(want.own) >= want.count:
                want.answer = want.own, False
            elif not want.client_id or want.client_id not in named:
                found.append(want)
                named.add(want.client_id)
        return found

    def _share_out(
        self, study: Study, algorithm: str, wants: Sequence[Want], reply: SuggestionReply, count: int
    ) -> None:
        """In one write, as long as nobody else has added trials since the question, or given any to one of these clients since
        it was looked for its own; otherwise there is no answer."""
        suggestions = checked_suggestions(study, reply)[:count]
        new: list[NewTrial] = []
        shares = []
        own: dict[str, Collection[str]] = {}
        for want in wants:
            share = suggestions[len(new) : len(new) + want.count - len(want.own)]
            new += [
                NewTrial(
                    new_id(),
                    s.parameters,
                    s.tags,
                    client_id=want.client_id,
                    lease=want.lease,
                    algorithm=algorithm,
                )
                for s in share
            ]
            shares.append(len(share))
            if share and want.lease is not None:
                own[want.client_id] = [t.id for t in want.own]
        added: Sequence[Trial] = ()
        if new:
            try:
                added = self._storage.add_trials(
                    study.id, study.suggested, new, self._context.now(), running=True, own=own
                )
            except AbortedError:
                return
        self._room.added(study, len(added))
        begin = 0
        for want, size in zip(wants, shares, strict=True):
            trials = (*want.own, *added[begin : begin + size])
            begin += size
            # Without any where others have some it asks again.
            if trials or not added:
                want.answer = trials, reply.completed and not trials
        if count > 0 and reply.completed and not reply.suggestions:
            self._exhausted(study, algorithm, reply)

    def _exhausted(self, study: Study, algorithm: str, reply: SuggestionReply) -> None:
        """Ends the study whose algorithm has nothing more to try, once no trial of it is open. A client may ask another one,
        which may have come to the end of its own points alone."""
        if study.unfinished_trials or default_algorithm(study.spec) != algorithm:
            return
        reason, message = nothing_more(algorithm, reply.reason)
        if reply.note:
            message = f"{message}; {noted(reply.note)}"
        move = StudyMove(StudyState.COMPLETED, reason, message, self._context.now(), study)
        self._storage.apply(study.id, StudyChanges(study=move))
        self._context.controller.wake(study.id)

    def _tell(self, study: Study, note: str) -> None:
        """Shows what the algorithm says of itself where nothing more urgent is shown, until it says something else."""
        message = clients_ask(noted(note))
        if not note or study.reason not in ("", StudyReason.CLIENT_DRIVEN) or study.message == message:
            return
        move = StudyMove(study.state, StudyReason.CLIENT_DRIVEN, message, read=study)
        try:
            self._storage.apply(study.id, StudyChanges(study=move))
        except KatibError as error:
            # The trials are there, which counts; the next answer says it again.
            _log.info("what %s uses could not be shown: %s", study.id, error.message)

    def _client_driven(self, study_id: str) -> Study:
        study = self._storage.get_study(study_id)
        _check_gives(study)
        return study


def _check_gives(study: Study) -> None:
    """Raises FailedPreconditionError for a study that has no trials for clients."""
    if not study.spec.client_driven:
        raise FailedPreconditionError(
            f"study {study.id} is driven by the manager with {study.spec.algorithm}: "
            "clients ask for trials of studies without an algorithm"
        )
    if study.state is not StudyState.RUNNING or study.intent is not Intent.NONE:
        raise FailedPreconditionError(
            f"study {study.id} is {study.state.value} ({study.reason}): only a running one has trials to give"
        )
