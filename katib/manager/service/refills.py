"""Asks services for more suggestions before clients have to wait for them.

A question takes a service longer than a client's whole trial takes the manager, and all clients of a study wait for it where
the suggestions that were prepared have run out. So a busy study's service is asked while there are still some: nobody waits for
the answer, and where it does not come the next client asks as before, and is told why.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Final, TypeVar

from katib.domain.errors import KatibError
from katib.domain.search_space import SearchSpace
from katib.domain.study import SUGGESTION_NUM, Setting, Study, StudySpec, effective_max_trials, with_effective_settings
from katib.manager.ports import History, Suggestion, SuggestionReply, SuggestionRequest, SuggestionServices
from katib.manager.service.prepared import Prepared
from katib.manager.suggested import checked_parameters

_LOG: Final = logging.getLogger(__name__)

Reply = TypeVar("Reply")


class Refills:
    """Safe from any thread."""

    def __init__(self, prepared: Prepared, services: SuggestionServices) -> None:
        self._prepared: Final = prepared
        self._services: Final = services

    def look(self, study: Study, room: int, algorithm: str) -> None:
        """After trials were given: `study` as it is since, which may get `room` more."""
        found = self._prepared.begin_refill(study, algorithm)
        if found is None:
            return
        left, count = found
        count = min(count, room - left)
        if count <= 0:
            return
        # As it will be once what is left has been given.
        then = replace(study, suggested=study.suggested + left, pending=study.pending + left)
        spec = asking_for(then, count)

        def set_(needs: History) -> None:
            if needs is History.NONE:
                _then(self._services.generate(algorithm, question(then, spec)), fill, algorithm)

        def fill(reply: SuggestionReply) -> None:
            suggestions = checked_suggestions(then, reply)[:count]
            self._prepared.refill(then, left, algorithm, suggestions, last=len(suggestions) < count)

        _then(self._services.set_parameters(algorithm, study.id, spec), set_, algorithm)


def asking_for(study: Study, count: int) -> StudySpec:
    """The spec as the service must see it to suggest `count`: how many run at once, and when to end, is the clients'."""
    out = study.unfinished_trials
    settings = with_effective_settings(study.spec, out + count)
    if effective_max_trials(study.spec) is None:
        settings = (*settings, Setting(SUGGESTION_NUM, str(study.finished_trials + out + count)))
    return replace(study.spec, settings=settings)


def question(study: Study, spec: StudySpec) -> SuggestionRequest:
    """For a service that needs no history."""
    return SuggestionRequest(
        study_id=study.id,
        spec=spec,
        history=None,
        unfinished=(),
        finished_count=study.finished_trials,
        unfinished_count=study.unfinished_trials,
        first_number=study.suggested + 1,
    )


def checked_suggestions(study: Study, reply: SuggestionReply) -> Sequence[Suggestion]:
    """With its parameters as the study has them; raises InvalidArgumentError for what it does not allow."""
    space = SearchSpace.of(study.spec.parameters)
    return [replace(s, parameters=checked_parameters(space, s.parameters)) for s in reply.suggestions]


def _then(asked: "Future[Reply]", go_on: Callable[[Reply], None], algorithm: str) -> None:
    def done(future: "Future[Reply]") -> None:
        try:
            go_on(future.result())
        except KatibError as error:
            # Whoever needs a suggestion next asks for it, and is told.
            _LOG.debug("suggestion-%s was asked ahead in vain: %s", algorithm, error)

    asked.add_done_callback(done)
