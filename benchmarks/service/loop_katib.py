"""A client of Katib's manager, by its client library: the loop that its documentation shows."""

from collections.abc import Callable

import katib
from benchmarks.service.work import METRICS


class Loop:
    def __init__(self, study: katib.Study, name: str) -> None:
        # Each trial is completed by asking for the next one, as by a `for` loop.
        self._trials = study.trials(client=name)

    def __call__(self) -> None:
        self._trial = next(self._trials)
        for name, value in METRICS:
            self._trial.report({name: value})

    def end(self) -> None:
        self._trial.complete()


def connect(address: str) -> Callable[[str, str], Loop]:
    def make(study: str, name: str) -> Loop:
        return Loop(katib.open_study(study, server=address), name)

    return make
