"""Commands that change studies and trials: stop, delete, pause, resume, update."""

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import click

from katib.cli.errors import FAILED, OK, report
from katib.cli.find import find_study, find_trial
from katib.cli.session import Period, Session, connected, pass_session
from katib.cli.studies import show_progress
from katib.cli.terminal import show_reason
from katib.domain.counted import counted
from katib.domain.ending import ended_by
from katib.domain.errors import KatibError, NotFoundError, UnavailableError
from katib.domain.study import Limits, StudyReason
from katib.domain.views import StudySummary

if TYPE_CHECKING:
    from katib.api.client import ManagerClient

_DELETION_S: Final = 1.0
_LOOK_S: Final = 0.05


@click.command("stop-study")
@click.argument("studies", nargs=-1, required=True, metavar="STUDY...")
@connected
@pass_session
def stop_study(session: Session, studies: tuple[str, ...]) -> int:
    """End studies and their running trials. What they have found is kept."""
    with session.connect() as client:

        def stop(text: str) -> str:
            before = client.get_study(find_study(client, text)).summary
            # Asked in any case: whether the caller may is for the manager to say.
            client.stop_study(before.id)
            if before.state.finished:
                return f"Study {before.id} has ended already: {before.state.value}."
            if before.reason == StudyReason.DELETING:
                return _going(before.id)
            return f"Study {before.id} is stopping."

        return _each(studies, stop)


@click.command("stop-trial")
@click.argument("trials", nargs=-1, required=True, metavar="TRIAL...")
@connected
@pass_session
def stop_trial(session: Session, trials: tuple[str, ...]) -> int:
    """End running trials; their studies go on."""
    with session.connect() as client:

        def stop(text: str) -> str:
            before = client.get_trial(find_trial(client, text)).trial
            client.stop_trial(before.id)
            if before.state.finished:
                return f"Trial {before.id} has ended already: {before.state.value}."
            return f"Trial {before.id} is stopping."

        return _each(trials, stop)


@click.command("delete-study")
@click.argument("studies", nargs=-1, required=True, metavar="STUDY...")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@connected
@pass_session
def delete_study(session: Session, studies: tuple[str, ...], yes: bool) -> int:
    """Delete studies with their trials, metrics and output; those that run are stopped first."""
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("deleting is for good, and there is no terminal to ask at: say --yes")
    with session.connect() as client:

        def delete(text: str) -> str:
            summary = client.get_study(find_study(client, text)).summary
            if not yes:
                trials = counted(summary.trials, "trial")
                question = f"Delete study {summary.id} ({summary.name!r}, {summary.state.value}, {trials})?"
                if not click.confirm(question):
                    return f"Study {summary.id} is kept."
            client.delete_study(summary.id)
            return f"Study {summary.id} is deleted." if _gone(client, summary.id) else _going(summary.id)

        return _each(studies, delete)


def _gone(client: "ManagerClient", study_id: str) -> bool:
    """Whether it is gone now, or as good as now: a study of which nothing runs goes within moments."""
    until = time.monotonic() + _DELETION_S
    prompt = client.within(_DELETION_S)
    while True:
        try:
            prompt.get_study(study_id)
        except NotFoundError:
            return True
        except KatibError:
            return False  # that it is to be deleted was stored
        if time.monotonic() > until:
            return False
        time.sleep(_LOOK_S)


def _going(study_id: str) -> str:
    return f"Study {study_id} is being deleted: it goes when its runs have ended."


@click.command("pause-study")
@click.argument("study")
@connected
@pass_session
def pause_study(session: Session, study: str) -> None:
    """Start no further trials until the study is resumed; those that run go on."""
    with session.connect() as client:
        summary = client.update_study(find_study(client, study), paused=True)
    click.echo(f"Study {summary.id} is paused; {counted(summary.running, 'trial', 'run', 'still')}.")


@click.command("resume-study")
@click.argument("study")
@connected
@pass_session
def resume_study(session: Session, study: str) -> None:
    """Go on with a paused study."""
    with session.connect() as client:
        summary = client.update_study(find_study(client, study), paused=False)
    click.echo(f"Study {summary.id} is {summary.state.value}.")


@click.command("update-study")
@click.argument("study")
@click.option("--max-trials", type=int, metavar="N", help="Trials in all.")
@click.option("--max-parallel", type=int, metavar="N", help="Trials that run at once.")
@click.option("--max-failed-trials", type=int, metavar="N", help="At so many failed trials the study ends FAILED.")
@click.option("--retry-limit", type=int, metavar="N", help="Further attempts of a trial that failed.")
@click.option("--trial-timeout", type=Period(), help="Of one attempt of a trial.")
@click.option("--max-duration", type=Period(), help="Of the study, from its creation.")
@click.option("--goal", type=float, metavar="NUMBER", help="The objective's value at which the study ends.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask where trials that run would be ended.")
@connected
@pass_session
def update_study(
    session: Session,
    study: str,
    max_trials: int | None,
    max_parallel: int | None,
    max_failed_trials: int | None,
    retry_limit: int | None,
    trial_timeout: timedelta | None,
    max_duration: timedelta | None,
    goal: float | None,
    yes: bool,
) -> None:
    """Change a study's limits. One that has ended goes on when the limit that ended it is raised.

    Where --max-trials or --max-failed-trials are reached already, the trials that still run are ended with the study; at a
    terminal that is asked first.
    """
    limits = Limits(max_trials, max_parallel, max_failed_trials, retry_limit, trial_timeout, max_duration)
    if limits == Limits() and goal is None:
        raise click.UsageError("nothing to change: give one of the limits, such as --max-trials 50")
    with session.connect() as client:
        study_id = find_study(client, study)
        if not yes and sys.stdin.isatty():
            before = client.get_study(study_id).summary
            cost = _ends(before, limits)
            if cost and not click.confirm(f"{cost} Go on?"):
                click.echo(f"Study {study_id} is left as it was.")
                return
        summary = client.update_study(study_id, limits, goal)
    why = f" ({show_reason(summary.reason, summary.message)})" if summary.state.finished else ""
    click.echo(f"Study {summary.id} is {summary.state.value}{why}; {show_progress(summary)} trials finished.")
    cost = _ends(summary, limits)
    if cost:
        click.echo(f"Warning: {cost}", err=True)


def _ends(study: StudySummary, limits: Limits) -> str:
    """What these limits make of trials that run; empty where it is nothing."""
    reached = ended_by(study, limits)
    if reached is None:
        return ""
    return (
        f"--{reached.name.replace('_', '-')} {reached.limit} is reached already, with "
        f"{counted(reached.count, 'trial')} {reached.what}: "
        f"the study ends, and with it what still runs, {counted(study.running, 'trial')}."
    )


def _each(names: tuple[str, ...], act: Callable[[str], str]) -> int:
    """Acts on each name; one that fails does not keep the others from it. The first failure's exit code counts."""
    code = OK
    for name in names:
        try:
            click.echo(act(name))
        except UnavailableError:
            raise  # so would be the others
        except KatibError as error:
            failed = report(error) or FAILED
            code = code or failed
    return code
