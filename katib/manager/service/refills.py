"""Asks services for more suggestions before clients have to wait for them.

A question takes a service longer than a client's whole trial takes the manager, and all clients of a study wait for it where
the suggestions that were prepared have run out. So a busy study's service is asked while there are still some: nobody waits for
the answer, and where it does not come the next client asks as before, and is told why.
"""

import logging
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Final, TypeVar

from katib.domain.study import Study
from katib.manager.service.prepared import Prepared
from katib.manager.service.questions import asking_for, checked_suggestions, question
from katib.manager.service_ports import History, SuggestionReply, SuggestionServices

_log: Final = logging.getLogger(__name__)

Reply = TypeVar("Reply")


class Refills:
    """Safe from any thread."""

    def __init__(self, prepared: Prepared, services: SuggestionServices) -> None:
        self._prepared: Final = prepared
        self._services: Final = services

    def look(self, study: Study, room: int, given: int, algorithm: str) -> None:
        """After `given` trials were given to one client: `study` as it is since, whose own limit leaves `room` for more. Other
        limits are looked at when trials are stored. Never raises: the client has its trials."""
        try:
            self._look(study, room, given, algorithm)
        except Exception:  # noqa: BLE001 - see above
            _log.exception("suggestion-%s could not be asked ahead", algorithm)

    def _look(self, study: Study, room: int, given: int, algorithm: str) -> None:
        found = self._prepared.begin_refill(study, algorithm, given)
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
            if needs.of(then, algorithm) is History.NONE:
                _then(self._services.generate(algorithm, question(then, spec)), fill, algorithm)

        def fill(reply: SuggestionReply) -> None:
            self._prepared.refill(then, left, algorithm, checked_suggestions(then, reply)[:count])

        _then(self._services.set_parameters(algorithm, study.id, spec), set_, algorithm)


def _then(asked: "Future[Reply]", go_on: Callable[[Reply], None], algorithm: str) -> None:
    def done(future: "Future[Reply]") -> None:
        try:
            go_on(future.result())
        except Exception as error:  # noqa: BLE001 - whoever needs a suggestion next asks for it, and is told
            _log.info("suggestion-%s was asked ahead in vain: %s", algorithm, error)

    asked.add_done_callback(done)
