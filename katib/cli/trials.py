"""Commands that show trials."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from katib.cli.curve import curves_of, draw
from katib.cli.documents import TRIAL_FIELDS, trial_detail_document, trial_document
from katib.cli.find import find_study, find_trial, trial_arguments
from katib.cli.output import Format, output_option, print_document, print_documents
from katib.cli.pages import collect, limit_option, note_more
from katib.cli.ranking import best_trials
from katib.cli.session import Session, connected, pass_session
from katib.cli.terminal import fields, in_colour, show_age, show_number, show_reason, table, terminal_width
from katib.domain.metrics import Observation
from katib.domain.search_space import Parameter, ParameterType
from katib.domain.trial import Trial, TrialState
from katib.domain.views import TrialDetail

if TYPE_CHECKING:
    from katib.api.client import ManagerClient

_NEWEST = 50
_BEST = 10
# More columns than this would leave no room for what follows.
_PARAMETER_COLUMNS = 8
# Of one trial: how many values are shown one by one, of how many metrics the curves, up to how many values from the beginning.
_LATEST = 20
_CURVES = 6
_CURVE_OBSERVATIONS = 50_000
# Where standard output is no terminal.
_PIPE_COLUMNS = 80


@click.command("list-trials")
@click.argument("study", required=False, metavar="[STUDY]")
@click.option(
    "--state",
    "states",
    type=click.Choice(TrialState, case_sensitive=False),
    multiple=True,
    help="Only trials in this state; may be given again.",
)
@click.option("--newest", is_flag=True, help="Newest first. Always so without STUDY.")
@click.option("--best", is_flag=True, help="Completed trials (or those of --state) by objective, the best first.")
@limit_option(f"all of STUDY, {_NEWEST} without it, {_BEST} with --best")
@output_option
@connected
@pass_session
def list_trials(
    session: Session,
    study: str | None,
    states: tuple[TrialState, ...],
    newest: bool,
    best: bool,
    limit: int | None,
    form: Format,
) -> None:
    """List the trials of STUDY (an id, its first characters, or a name), or the newest of all studies."""
    if best and study is None:
        raise click.UsageError(
            "--best is about the objective of one study: name it, as in katib-cli list trials STUDY --best"
        )
    if best and newest:
        raise click.UsageError("--best and --newest are two orders: give one of them")
    if limit is None:
        limit = _BEST if best else _NEWEST if study is None else 0
    with session.connect() as client:
        study_id = "" if study is None else find_study(client, study)
        if best:
            trials, more = best_trials(client, study_id, states or (TrialState.COMPLETED,), limit)
        else:
            trials, more = collect(
                lambda size, token: client.list_trials(
                    study_id=study_id, states=states, newest_first=newest, page_size=size, page_token=token
                ),
                limit,
            )
    if form is not Format.TABLE:
        print_documents([trial_document(t) for t in trials], form, TRIAL_FIELDS, spread="parameters")
    elif trials:
        click.echo(trials_table(trials, terminal_width(), with_study=study is None))
    else:
        click.echo("No trials with an objective yet." if best else "No trials.", err=True)
    note_more(more, len(trials), "best trials" if best else "trials")


def trials_table(trials: Sequence[Trial], columns: int | None, with_study: bool) -> str:
    """With a column for each parameter where the trials are of one study and there are not too many."""
    names = list(dict.fromkeys(p.name for t in trials for p in t.parameters))
    apart = not with_study and len(names) <= _PARAMETER_COLUMNS
    headers = (
        *(("STUDY",) if with_study else ()),
        *("TRIAL", "ID", "STATE", "OBJECTIVE"),
        *(names if apart else ("PARAMETERS",)),
        *("TRIES", "TOOK", "MESSAGE"),
    )
    rows = []
    for t in trials:
        values = {p.name: show_parameter(p) for p in t.parameters}
        rows.append(
            (
                *((t.study_id,) if with_study else ()),
                *(str(t.number), t.id, t.state.value, show_number(t.objective)),
                *(
                    [values.get(name, "") for name in names]
                    if apart
                    else [" ".join(f"{n}={v}" for n, v in values.items())]
                ),
                *(str(t.attempt), show_age(t.started_at, t.ended_at), show_reason(t.reason, t.message)),
            )
        )
    return table(headers, rows, columns)


def show_parameter(parameter: Parameter) -> str:
    """Doubles with six digits: the whole value is in `get trial` and in JSON."""
    if parameter.type is not ParameterType.DOUBLE:
        return parameter.value
    try:
        return show_number(float(parameter.value))
    except ValueError:
        return parameter.value


@click.command("get-trial")
@trial_arguments
@output_option
@connected
@pass_session
def get_trial(session: Session, trial: str, number: int | None, form: Format) -> None:
    """Show how a trial stands, the curves of its metrics and their latest values.

    TRIAL is an id or its first characters, or a study with the trial's NUMBER behind it.
    """
    with session.connect() as client:
        detail = client.get_trial(find_trial(client, trial, number))
        if form is not Format.TABLE:
            print_document(trial_detail_document(detail), form, spread="parameters")
            return
        observations = _from_the_beginning(client, detail) if detail.truncated else detail.observations
        # One value is no curve.
        names = client.get_study(detail.trial.study_id).spec.metric_names if len(observations) > 1 else ()
    click.echo(describe_trial(detail))
    show_curves(observations, names)


def _from_the_beginning(client: "ManagerClient", detail: TrialDetail) -> Sequence[Observation]:
    """The observations of the current attempt; of very many the newest."""
    found: list[Observation] = []
    token = ""
    while len(found) < _CURVE_OBSERVATIONS:
        page = client.list_observations(detail.trial.id, detail.trial.attempt, (), 10_000, token)
        found += page.items
        token = page.next_token
        if not token:
            return found
    return detail.observations


def show_curves(observations: Sequence[Observation], names: Sequence[str]) -> None:
    """A picture for each metric that has a curve."""
    columns = terminal_width() or _PIPE_COLUMNS
    able = _prints_unicode()
    for curve in curves_of(observations, names)[:_CURVES]:
        title, *lines = draw(curve, columns, unicode=able)
        click.echo(f"\n{title}")
        for line in lines:
            click.echo(in_colour(line, "cyan"))


def _prints_unicode() -> bool:
    try:
        "⣿█┤".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def describe_trial(detail: TrialDetail) -> str:
    trial = detail.trial
    text = fields(
        ("Trial", trial.id),
        ("Study", f"{trial.study_id}, number {trial.number}"),
        ("State", trial.state.value),
        ("Reason", show_reason(trial.reason, trial.message)),
        ("Objective", "" if trial.objective is None else repr(trial.objective)),
        ("Attempt", str(trial.attempt)),
        ("Run", trial.run),
        ("Client", trial.client_id),
        ("Lease until", "" if trial.lease_until is None else f"{trial.lease_until:%Y-%m-%d %H:%M:%S} UTC"),
        ("Age", show_age(trial.created_at)),
        ("Took", show_age(trial.started_at, trial.ended_at)),
        *((p.name, p.value) for p in trial.parameters),
        *((f"tag {tag.name}", tag.value) for tag in trial.tags),
    )
    if detail.earlier:
        earlier = [
            (
                str(a.number),
                a.run,
                show_number(a.objective),
                show_age(a.started_at, a.ended_at),
                show_reason(a.reason, a.message),
            )
            for a in detail.earlier
        ]
        text += (
            f"\n\n{table(('EARLIER ATTEMPT', 'RUN', 'OBJECTIVE', 'TOOK', 'WHY IT FAILED'), earlier, terminal_width())}"
        )
    if not detail.observations:
        return f"{text}\n\nNo metrics were taken in from this attempt."
    rows = [
        (o.name, repr(o.value), "" if o.step is None else str(o.step), f"{o.time:%Y-%m-%d %H:%M:%S}", o.source)
        for o in detail.observations[-_LATEST:]
    ]
    left_out = detail.truncated or len(rows) < len(detail.observations)
    older = "\n(older ones are left out: katib-cli export has all of them)" if left_out else ""
    return f"{text}\n\n{table(('METRIC', 'VALUE', 'STEP', 'TIME (UTC)', 'SOURCE'), rows, terminal_width())}{older}"
