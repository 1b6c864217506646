"""Who stands on which rung: what the tags of a study's trials say."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from katib.domain.search_space import Parameter
from katib.domain.study import Objective
from katib.domain.trial import Tag, Trial, TrialState
from katib.suggestion.base import Request, Suggestion
from katib.suggestion.rungs.resource import Resource


@dataclass(frozen=True, slots=True)
class Mark:
    """What a trial's tags say of it. `configuration` is the number of the first trial that had its configuration: all trials of
    one have it in common. `bracket` is 0.1's s, `rung` counts the bracket's rungs from 0, those merged included."""

    configuration: str
    bracket: int
    rung: int


@dataclass(frozen=True, slots=True)
class Tags:
    """The names of the tags: 0.1's for hyperband, and others like them. The rung is counted from 1 there."""

    configuration: str
    bracket: str
    value: str
    rung: str

    @classmethod
    def of(cls, prefix: str) -> "Tags":
        return cls(f"{prefix}_BracketID", f"{prefix}_s", f"{prefix}_r", f"{prefix}_shi")

    def write(self, mark: Mark, value: str) -> tuple[Tag, ...]:
        return (
            Tag(self.configuration, mark.configuration),
            Tag(self.bracket, str(mark.bracket)),
            Tag(self.value, value),
            Tag(self.rung, str(mark.rung + 1)),
        )

    def read(self, trial: Trial) -> Mark | None:
        """None: the trial has none of ours."""
        texts = {t.name: t.value for t in trial.tags}
        bracket, rung = texts.get(self.bracket, ""), texts.get(self.rung, "")
        configuration = texts.get(self.configuration, "")
        if not (configuration and _small(bracket) and _small(rung)):
            return None
        return Mark(configuration, int(bracket), int(rung) - 1)


@dataclass(frozen=True, slots=True)
class Member:
    """A trial on a rung. `loss` (the less, the better) is what it came to: None while it runs, and for one that failed, was
    stopped or ended without a finite number, which is worse than all others and never goes on."""

    configuration: str
    parameters: tuple[Parameter, ...]
    number: int
    finished: bool
    loss: float | None


Rung = Mapping[str, Member]


class Board:
    """The rungs of a study, each with its members by configuration."""

    def __init__(self, tags: Tags, resource: Resource, request: Request) -> None:
        self._tags = tags
        self._resource = resource
        self._rungs: dict[tuple[int, int], dict[str, Member]] = {}
        for trial in (*request.finished, *request.unfinished):
            mark = tags.read(trial)
            if mark is not None:
                member = _member(mark.configuration, trial, request.problem.spec.optimization)
                # The first one counts, should a configuration stand on a rung twice.
                self._rungs.setdefault((mark.bracket, mark.rung), {}).setdefault(mark.configuration, member)

    def rung(self, bracket: int, rung: int) -> Rung:
        return self._rungs.get((bracket, rung), {})

    def rungs(self) -> Iterator[tuple[tuple[int, int], Rung]]:
        yield from self._rungs.items()

    def suggestion(self, configuration: tuple[Parameter, ...], mark: Mark, value: str) -> Suggestion:
        return Suggestion(self._resource.parameters(configuration, value), self._tags.write(mark, value))

    def rising(self, rung: Rung, count: int, above: Rung) -> list[tuple[str, tuple[Parameter, ...]]]:
        """Of the best `count` configurations of a rung those that are not above yet, the best first: fewer where fewer came to
        anything, or are of the study's search space. Of equals the earlier ones."""
        ranked = sorted((m.loss, m.number, m.configuration) for m in rung.values() if m.loss is not None)
        found: list[tuple[str, tuple[Parameter, ...]]] = []
        for _, _, configuration in ranked:
            if count <= 0:
                break
            if configuration not in above:
                parameters = self._resource.configuration(rung[configuration].parameters)
                if parameters is None:
                    continue
                found.append((configuration, parameters))
            count -= 1
        return found


def _member(configuration: str, trial: Trial, objective: Objective | None) -> Member:
    value = trial.objective
    loss = None
    if trial.state is TrialState.COMPLETED and value is not None and math.isfinite(value):
        loss = -value if objective is Objective.MAXIMIZE else value
    return Member(configuration, trial.parameters, trial.number, trial.state.finished, loss)


def _small(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 6
