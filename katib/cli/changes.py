"""Commands that change studies and trials: stop, delete, pause, resume, update."""

import sys
from collections.abc import Callable
from datetime import timedelta

import click

from katib.cli.errors import FAILED, OK, report
from katib.cli.find import find_study, find_trial
from katib.cli.session import Period, Session, connected, pass_session
from katib.cli.studies import show_progress
from katib.domain.errors import KatibError, UnavailableError
from katib.domain.study import Limits


@click.command("stop-study")
@click.argument("studies", nargs=-1, required=True, metavar="STUDY...")
@connected
@pass_session
def stop_study(session: Session, studies: tuple[str, ...]) -> int:
    """End studies and their running trials. What they have found is kept."""
    with session.connect() as client:

        def stop(text: str) -> str:
            study_id = find_study(client, text)
            client.stop_study(study_id)
            return f"Study {study_id} is stopping."

        return _each(studies, stop)


@click.command("stop-trial")
@click.argument("trials", nargs=-1, required=True, metavar="TRIAL...")
@connected
@pass_session
def stop_trial(session: Session, trials: tuple[str, ...]) -> int:
    """End running trials; their studies go on."""
    with session.connect() as client:

        def stop(text: str) -> str:
            trial_id = find_trial(client, text)
            client.stop_trial(trial_id)
            return f"Trial {trial_id} is stopping."

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
                question = (
                    f"Delete study {summary.id} ({summary.name!r}, {summary.state.value}, {summary.trials} trials)?"
                )
                if not click.confirm(question):
                    return f"Study {summary.id} is kept."
            client.delete_study(summary.id)
            return f"Study {summary.id} is deleted."

        return _each(studies, delete)


@click.command("pause-study")
@click.argument("study")
@connected
@pass_session
def pause_study(session: Session, study: str) -> None:
    """Start no further trials until the study is resumed; those that run go on."""
    with session.connect() as client:
        summary = client.update_study(find_study(client, study), paused=True)
    click.echo(f"Study {summary.id} is paused; {summary.running} trials still run.")


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
) -> None:
    """Change a study's limits. One that has ended goes on when the limit that ended it is raised."""
    limits = Limits(max_trials, max_parallel, max_failed_trials, retry_limit, trial_timeout, max_duration)
    if limits == Limits() and goal is None:
        raise click.UsageError("nothing to change: give one of the limits, such as --max-trials 50")
    with session.connect() as client:
        summary = client.update_study(find_study(client, study), limits, goal)
    click.echo(f"Study {summary.id} is {summary.state.value}; {show_progress(summary)} trials finished.")


def _each(names: tuple[str, ...], act: Callable[[str], str]) -> int:
    """Acts on each name; one that fails does not keep the others from it. The first failure's exit code counts."""
    code = OK
    for name in names:
        try:
            click.echo(act(name))
        except UnavailableError:
            raise  # so would be the others
        except KatibError as error:
            code = code or report(error) or FAILED
    return code
