"""A study that is watched, as lines: for files and pipes."""

from datetime import datetime
from types import TracebackType

import click

from katib.cli.terminal import clean, show_number, show_reason
from katib.cli.watch_state import Watched, show_counts, show_parameters
from katib.domain.trial import Trial


class LineView:
    """A line for each thing that happened, with the local time."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._said: tuple[object, ...] = ()

    def __enter__(self) -> "LineView":
        return self

    def __exit__(
        self, type_: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def show(self, news: list[Trial]) -> None:
        study = self._watched.study
        for trial in news:
            self._line(trial_line(trial, study.objective_name, best=trial.id == study.best_trial_id))
        standing = (study.state, study.reason)
        if standing != self._said:
            reason = show_reason(study.reason, study.message)
            self._line(f"study {study.id}: {study.state.value}{f', {reason}' if reason else ''}; {show_counts(study)}")
            self._said = standing

    def say(self, text: str) -> None:
        click.echo(text, err=True)

    def _line(self, text: str) -> None:
        click.echo(f"{datetime.now():%H:%M:%S} {text}")


def trial_line(trial: Trial, objective_name: str, best: bool) -> str:
    """What there is to say of a trial that has just come to where it is."""
    parts = [f"trial {trial.number} ({trial.id}): {trial.state.value}"]
    if trial.objective is not None and trial.state.finished:
        parts.append(f"{clean(objective_name)} {show_number(trial.objective)}{' (the best so far)' if best else ''}")
    if trial.attempt > 1:
        parts.append(f"attempt {trial.attempt}")
    if trial.reason or trial.message:
        parts.append(show_reason(trial.reason, trial.message))
    elif not trial.state.finished:
        parts.append(show_parameters(trial))
    return ", ".join(parts)
