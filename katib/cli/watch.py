"""Following a study until it ends, through restarts of the manager."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from katib.cli.errors import FAILED, INTERRUPTED, OK
from katib.cli.find import find_study
from katib.cli.pages import PAGE_SIZE
from katib.cli.patience import Patience
from katib.cli.session import Session, connected, pass_session
from katib.cli.watch_lines import LineView
from katib.cli.watch_state import View, Watched, show_ending
from katib.domain.errors import DeadlineExceededError, UnavailableError
from katib.domain.study import StudyState
from katib.domain.trial import Trial, TrialState
from katib.domain.views import StudyEvent, StudySummary, every

if TYPE_CHECKING:
    from katib.api.client import ManagerClient


@click.command("watch")
@click.argument("study")
@connected
@pass_session
def watch(session: Session, study: str) -> int:
    """Follow a study until it ends: its progress, its best value, its running trials and why what waits does.

    The exit code is 0 when the study is COMPLETED, 1 when it ended otherwise or trials failed and none completed. Ctrl-C leaves
    the study running.
    """
    with session.connect() as client:
        return watch_study(client, find_study(client, study))


def watch_study(client: "ManagerClient", study_id: str) -> int:
    """Shows the study until it has ended; returns the exit code."""
    detail = client.get_study(study_id)
    watched = Watched(detail)
    # What had finished before is no news, and in a large study far more than what has not.
    there = _unfinished(client, detail.summary)
    try:
        with _view(watched) as view:
            for event in events(client, study_id, Patience(view.say), detail.summary.revision):
                # Later than what was there: it may have the same trials.
                trials = {trial.id: trial for trial in (*there, *event.trials)}
                there = ()
                view.show(watched.take(replace(event, trials=list(trials.values()))))
    except KeyboardInterrupt:
        click.echo(
            f"\nStudy {study_id} goes on. See it again: katib-cli watch {study_id}; end it: katib-cli stop-study {study_id}",
            err=True,
        )
        return INTERRUPTED
    if watched.in_vain and detail.summary.failed:
        # Trials had failed before.
        with suppress(UnavailableError, DeadlineExceededError):
            failed = client.list_trials(study_id, [TrialState.ERROR], page_size=1).items
            watched.first_failed = failed[0] if failed else None
    click.echo(show_ending(watched))
    return OK if watched.study.state is StudyState.COMPLETED and not watched.in_vain else FAILED


def events(client: "ManagerClient", study_id: str, patience: Patience, revision: int = 0) -> Iterator[StudyEvent]:
    """How the study stands, and every change after the revision until it has ended. A stream that breaks off is taken up again
    where it was."""
    while True:
        try:
            for event in client.watch_study(study_id, revision):
                patience.renew()
                revision = event.revision
                yield event
                if event.study.state.finished:
                    return
            error = UnavailableError("the manager is stopping")
        except UnavailableError as lost:
            error = lost
        patience.wait(error)


def _unfinished(client: "ManagerClient", study: StudySummary) -> Sequence[Trial]:
    if not study.pending + study.running:
        return ()
    states = (TrialState.PENDING, TrialState.RUNNING)
    return list(every(lambda token: client.list_trials(study.id, states, page_size=PAGE_SIZE, page_token=token)))


def _view(watched: Watched) -> View:
    # Nor can such a terminal draw over what is there.
    if not sys.stdout.isatty() or os.environ.get("TERM", "").lower() in ("dumb", "unknown"):
        return LineView(watched)
    from katib.cli.watch_live import LiveView  # rich is needed on a terminal only

    return LiveView(watched)
