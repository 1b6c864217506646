"""The suggestions that clients' trials are made of: those that are prepared, or else what the service is asked for.

The use cases (giving.py) know the clients: who is to have how many, and what is stored. Here stands how a service is asked: its
settings first, what it needs to know of the trials, again where it has to be told in parts, and ahead where that is of use.
"""

import time
from collections.abc import Sequence
from typing import Final

from katib.domain.errors import UnavailableError
from katib.domain.nearest import advice
from katib.domain.study import Study, StudySpec
from katib.domain.views import ServiceKind
from katib.manager.history import StoredHistory
from katib.manager.service.checks import answer
from katib.manager.service.context import Context
from katib.manager.service.ends import trials_left
from katib.manager.service.prepared import Prepared
from katib.manager.service.questions import asking_for, checked_suggestions, question
from katib.manager.service.refills import Refills
from katib.manager.service_ports import (
    AskAgainError,
    History,
    MoreToTellError,
    Suggestion,
    SuggestionReply,
    SuggestionRequest,
)

# How long a service may think about suggestions while a client waits.
SUGGEST_S: Final = 60.0
# To read a study and its trials as they are at one revision.
_TRIES: Final = 20
# A service that lacks what it was sent before has it after three questions.
_ASKED_AGAIN: Final = 5


class Supply:
    """Safe from any thread. Nothing is stored here."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._storage = context.storage
        self._prepared = Prepared()
        self._refills = Refills(self._prepared, context.suggestions)

    def has_some(self, study_id: str, algorithm: str) -> bool:
        """A hint: whether `prepared` may find any."""
        return self._prepared.has_some(study_id, algorithm)

    def prepared(self, study: Study, algorithm: str, count: int) -> Sequence[Suggestion] | None:
        """See Prepared.take."""
        return self._prepared.take(study, algorithm, count)

    def look_ahead(self, study: Study, given: int, algorithm: str) -> None:
        """After so many of its trials were given: so that the next clients find something prepared. `study` as it is since."""
        self._refills.look(study, trials_left(study), given, algorithm)

    def ask(self, study: Study, count: int, algorithm: str, deadline: float) -> SuggestionReply | None:
        """The service's answer for the study's next `count` trials, or None: it has been put where `prepared` finds it, or
        another client was faster. `deadline` as in `settings_taken`."""
        spec = asking_for(study, count)
        needs = self.settings_taken(algorithm, study.id, spec, deadline).of(study, algorithm)
        if needs is History.NONE:
            return self._prepare(study, count, algorithm)
        # What is prepared is given by a write, faster than a question is answered: this one would hardly ever come in time.
        self._prepared.drop_others(study.id, algorithm)
        return self._generate(study, spec, algorithm, needs)

    def settings_taken(self, algorithm: str, study_id: str, spec: StudySpec, deadline: float) -> History:
        """What history the service needs, which has accepted these settings; see `History.of`. The caller waits until
        `deadline`, by the monotonic clock. Raises what the service says; UnavailableError, with those that are there, where
        none answers."""
        services = self._context.suggestions
        asked = self._context.patience.ask(
            lambda: services.set_parameters(algorithm, study_id, spec), f"suggestion-{algorithm}", SUGGEST_S, deadline
        )
        try:
            return asked.answer()
        except UnavailableError as error:
            there = self._context.directory.names(ServiceKind.SUGGESTION)
            raise UnavailableError(
                f"no service answers as {asked.who} ({error.message}); {advice(algorithm, there)}"
            ) from error

    def _prepare(self, study: Study, count: int, algorithm: str) -> SuggestionReply | None:
        """Asks for more than is needed, and puts it where `prepared` finds it. The reply where there is nothing in it."""
        ahead = self._prepared.ahead(study.id, algorithm)
        spec = asking_for(study, max(1, min(count + ahead, trials_left(study))))
        reply = self._generate(study, spec, algorithm, History.NONE)
        if reply is None or not reply.suggestions:
            return reply
        self._prepared.put(study, algorithm, checked_suggestions(study, reply), last=len(reply.suggestions) < count)
        return None

    def _generate(self, study: Study, spec: StudySpec, algorithm: str, needs: History) -> SuggestionReply | None:
        """None when another client was faster."""
        who = f"suggestion-{algorithm}"
        lacked = 0
        until = time.monotonic() + SUGGEST_S
        while lacked < _ASKED_AGAIN:
            request = self._question(study, spec, needs)
            if request is None:
                return None
            try:
                return answer(self._context.suggestions.generate(algorithm, request), SUGGEST_S, who)
            except MoreToTellError as error:
                if time.monotonic() >= until:
                    raise UnavailableError(f"{error.message}; try again, and it is sent the rest") from error
            except AskAgainError as error:
                lacked += 1
                last = error.message
        raise UnavailableError(f"{who} could not be asked {_ASKED_AGAIN} times ({last}); try again")

    def _question(self, study: Study, spec: StudySpec, needs: History) -> SuggestionRequest | None:
        """With the trials as they are at one revision of the study."""
        if needs is History.NONE:
            return question(study, spec)
        for _ in range(_TRIES):
            unfinished = self._storage.unfinished_trials(study.id)
            now = self._storage.get_study(study.id)
            if now.suggested != study.suggested:
                return None
            # None has begun, so as many are the same ones: none has finished between the two.
            if now.unfinished_trials == len(unfinished):
                return question(now, spec, StoredHistory(self._storage, now, needs), unfinished)
        return None
