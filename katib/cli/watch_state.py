"""What is known of a study that is watched, and what a view of it is."""

import math
from types import TracebackType
from typing import Protocol

from katib.cli.terminal import clean, show_number, show_reason
from katib.domain.study import StudySpec
from katib.domain.trial import Trial, TrialReason, TrialState
from katib.domain.views import StudyDetail, StudyEvent, StudySummary


class Watched:
    """A study and its unfinished trials, kept up to date by events. It does not grow with the finished ones."""

    def __init__(self, detail: StudyDetail) -> None:
        self.spec: StudySpec = detail.spec
        self.study: StudySummary = detail.summary
        self.first_failed: Trial | None = None
        self._best: Trial | None = detail.best_trial
        self._unfinished: dict[str, Trial] = {}
        self._known = detail.summary.trials

    def take(self, event: StudyEvent) -> list[Trial]:
        """Takes an event in; returns the trials that a user should hear of, by number: new ones, and those whose state,
        attempt or reason is another one now. What had finished before the watching began is no news."""
        self.study = event.study
        news = []
        for trial in sorted(event.trials, key=lambda t: t.number):
            before = self._unfinished.pop(trial.id, None)
            if trial.state is TrialState.ERROR and (
                self.first_failed is None or trial.number < self.first_failed.number
            ):
                self.first_failed = trial
            if not trial.state.finished:
                self._unfinished[trial.id] = trial
            elif before is None and trial.number <= self._known:
                continue
            if before is None or _standing(before) != _standing(trial):
                news.append(trial)
            self._compare(trial)
        return news

    @property
    def unfinished(self) -> list[Trial]:
        """By number."""
        return sorted(self._unfinished.values(), key=lambda t: t.number)

    @property
    def in_vain(self) -> bool:
        """Trials failed, and none has completed."""
        return bool(self.study.failed and not self.study.completed)

    @property
    def best(self) -> Trial | None:
        """The best trial, when it is known beyond its id."""
        return self._best if self._best is not None and self._best.id == self.study.best_trial_id else None

    def _compare(self, trial: Trial) -> None:
        # The study of an event is a little older than its trials: its best one may have come before the study says so.
        if trial.objective is None or math.isnan(trial.objective) or not trial.state.finished:
            return
        best = self._best
        if (
            best is None
            or best.objective is None
            or trial.id == self.study.best_trial_id
            or self.spec.better(trial.objective, best.objective)
        ):
            self._best = trial


class View(Protocol):
    """Shows a study that is watched, from entering to leaving it."""

    def __enter__(self) -> "View": ...

    def __exit__(
        self, type_: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, news: list[Trial]) -> None:
        """The study has changed; `news` is what `Watched.take` gave."""

    def say(self, text: str) -> None:
        """A remark beside the study itself."""


def _standing(trial: Trial) -> tuple[object, ...]:
    return trial.state, trial.attempt, trial.reason


def show_parameters(trial: Trial) -> str:
    return " ".join(f"{clean(p.name)}={clean(p.value)}" for p in trial.parameters)


def show_counts(study: StudySummary) -> str:
    """`12 of 20 trials finished, 1 failed, 2 killed; 2 running, 1 pending`."""
    total = f" of {study.max_trials}" if study.max_trials is not None else ""
    apart = [f"{n} {word}" for n, word in ((study.failed, "failed"), (study.killed, "killed")) if n]
    return (
        f"{', '.join([f'{study.finished_trials}{total} trials finished', *apart])}; "
        f"{study.running} running, {study.pending} pending"
    )


def show_best(watched: Watched) -> str:
    study = watched.study
    if not study.best_trial_id:
        return f"no trial has completed with a value of {clean(study.objective_name)!r} yet"
    value = f"{clean(study.objective_name)} {show_number(study.best_objective)}"
    trial = watched.best
    if trial is None:
        return f"{value}, trial {study.best_trial_id}"
    return f"{value}, trial {trial.number} ({trial.id}): {show_parameters(trial)}"


def show_ending(watched: Watched) -> str:
    """The last words about a study that has ended."""
    study = watched.study
    reason = show_reason(study.reason, study.message)
    return (
        f"Study {study.id} is {study.state.value}{f' ({reason})' if reason else ''}: {show_counts(study).split(';')[0]}.\n"
        f"{_show_failures(watched) if watched.in_vain else f'Best: {show_best(watched)}'}"
    )


def _show_failures(watched: Watched) -> str:
    study, trial = watched.study, watched.first_failed
    failed = study.failed
    if failed == study.finished_trials:
        said = "Its one trial failed" if failed == 1 else f"All {failed} trials failed"
    else:
        said = f"No trial completed, and {failed} failed"
    if trial is None:
        return f"{said}: see katib-cli list-trials {study.id} --state ERROR"
    # What has never begun has printed nothing, and what runs at a client prints there.
    silent = watched.spec.client_driven or trial.reason == TrialReason.START_FAILED
    return (
        f"{said}. Trial {trial.number}: {show_reason(trial.reason, trial.message) or trial.state.value}\n"
        f"See more of it: katib-cli {'get-trial' if silent else 'logs'} {trial.id}"
    )
