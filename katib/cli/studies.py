"""Commands that show studies."""

import shlex
from collections.abc import Sequence

import click

from katib.cli.documents import STUDY_FIELDS, study_detail_document, study_document, trial_document
from katib.cli.find import find_study, matching_studies
from katib.cli.output import Format, output_option, print_document, print_documents
from katib.cli.pages import PAGE_SIZE, collect, limit_option, note_more
from katib.cli.session import Session, connected, pass_session
from katib.cli.terminal import clean, fields, show_age, show_number, show_reason, table, terminal_width
from katib.domain.asked import algorithm_of
from katib.domain.errors import NotFoundError
from katib.domain.study import Setting, StudySpec
from katib.domain.study_file_values import format_period
from katib.domain.trial import Trial
from katib.domain.views import StudyDetail, StudySummary

_NEWEST = 100


@click.command("list-studies")
@click.argument("study", required=False, metavar="[STUDY]")
@limit_option(f"{_NEWEST} without STUDY")
@output_option
@connected
@pass_session
def list_studies(session: Session, study: str | None, limit: int | None, form: Format) -> None:
    """List studies, newest first. STUDY, an id, its first characters or a name, leaves out the others."""
    with session.connect() as client:
        if study is not None:
            studies, more = matching_studies(client, study, limit or PAGE_SIZE), False
        else:
            studies, more = collect(
                lambda size, token: client.list_studies(page_size=size, page_token=token),
                _NEWEST if limit is None else limit,
            )
    if form is not Format.TABLE:
        print_documents([study_document(s) for s in studies], form, STUDY_FIELDS)
    elif studies:
        click.echo(studies_table(studies, terminal_width()))
    else:
        click.echo("No studies." if study is None else f"No study has the name or id {clean(study)!r}.", err=True)
    note_more(more, len(studies), "studies")


def studies_table(studies: Sequence[StudySummary], columns: int | None) -> str:
    return table(
        ("ID", "NAME", "OWNER", "STATE", "TRIALS", "RUNNING", "FAILED", "BEST", "AGE", "MESSAGE"),
        [
            (
                s.id,
                s.name,
                s.owner,
                s.state.value,
                show_progress(s),
                str(s.running),
                str(s.failed),
                show_number(s.best_objective),
                show_age(s.created_at),
                show_reason(s.reason, s.message),
            )
            for s in studies
        ],
        columns,
    )


def show_progress(study: StudySummary) -> str:
    """Finished trials, of how many at most."""
    return f"{study.finished_trials}/{study.max_trials}" if study.max_trials is not None else str(study.finished_trials)


@click.command("get-study")
@click.argument("study")
@click.option("--spec", is_flag=True, help="Print the study's own file, from which it can be created again.")
@output_option
@connected
@pass_session
def get_study(session: Session, study: str, spec: bool, form: Format) -> None:
    """Show how a study stands and what was asked for."""
    with session.connect() as client:
        detail = client.get_study(find_study(client, study))
    if spec:
        from katib.domain.study_file_writer import dump_study

        click.echo(dump_study(detail.spec), nl=False)
    elif form is not Format.TABLE:
        print_document(study_detail_document(detail), form)
    else:
        click.echo(describe_study(detail))


def describe_study(detail: StudyDetail) -> str:
    summary, spec = detail.summary, detail.spec
    limits = spec.limits
    periods = (("trial timeout", limits.trial_timeout), ("max duration", limits.max_duration))
    lines = fields(
        ("Study", summary.id),
        ("Name", summary.name),
        ("Owner", summary.owner),
        ("State", summary.state.value),
        ("Reason", show_reason(summary.reason, summary.message)),
        ("Age", show_age(summary.created_at)),
        ("Took", show_age(summary.created_at, summary.ended_at) if summary.ended_at else ""),
        ("Objective", _objective(spec)),
        ("Algorithm", _algorithm(spec)),
        ("Early stopping", _with_settings(spec.rule, spec.early_stopping_settings) if spec.rule else ""),
        (
            "Trials",
            f"{show_progress(summary)} finished: {summary.completed} completed, {summary.killed} killed, "
            f"{summary.failed} failed; {summary.running} running, {summary.pending} pending",
        ),
        (
            "Limits",
            ", ".join(
                [
                    f"{name.replace('_', ' ')} {value}"
                    for name, value in (
                        ("max_trials", summary.max_trials),
                        ("max_parallel", summary.max_parallel),
                        ("max_failed_trials", limits.max_failed_trials),
                        ("retry_limit", limits.retry_limit),
                    )
                    if value is not None
                ]
                + [f"{name} {format_period(period)}" for name, period in periods if period is not None]
            ),
        ),
        ("Command", shlex.join(spec.command)),
        ("Image", spec.image),
        ("Working dir", spec.working_dir),
        ("Best trial", describe_best(detail.best_trial, spec.objective_name) if detail.best_trial else ""),
    )
    rows = [
        (p.name, p.type.value if p.type else "", ", ".join(p.feasible.list) or f"{p.feasible.min} .. {p.feasible.max}",
         p.feasible.step, p.feasible.scale.value)
        for p in spec.parameters
    ]  # fmt: skip
    return f"{lines}\n\n{table(('PARAMETER', 'TYPE', 'VALUES', 'STEP', 'SCALE'), rows, terminal_width())}"


def describe_best(trial: Trial, objective_name: str) -> str:
    parameters = " ".join(f"{p.name}={p.value}" for p in trial.parameters)
    return f"trial {trial.number} ({trial.id}): {objective_name} {show_number(trial.objective)} with {parameters}"


def _objective(spec: StudySpec) -> str:
    goal = "" if spec.goal is None else f", goal {show_number(spec.goal)}"
    return f"{spec.optimization.value if spec.optimization else 'optimize'} {spec.objective_name}{goal}"


def _algorithm(spec: StudySpec) -> str:
    if not spec.client_driven:
        return _with_settings(spec.algorithm, spec.settings)
    return f"{_with_settings(algorithm_of(spec) or 'none', spec.settings)}: its clients ask for trials"


def _with_settings(name: str, settings: Sequence[Setting]) -> str:
    words = ", ".join(f"{s.name}={s.value}" for s in settings)
    return f"{name} ({words})" if words else name


@click.command("best")
@click.argument("study")
@output_option
@connected
@pass_session
def best(session: Session, study: str, form: Format) -> None:
    """Show the best trial of a study."""
    with session.connect() as client:
        detail = client.get_study(find_study(client, study))
    if detail.best_trial is None:
        raise NotFoundError(
            f"no trial of study {detail.summary.id} has completed with a value of {detail.spec.objective_name!r} yet; "
            f"see katib-cli list trials {detail.summary.id}"
        )
    if form is not Format.TABLE:
        print_document(trial_document(detail.best_trial), form, spread="parameters")
        return
    trial = detail.best_trial
    click.echo(
        fields(
            ("Trial", f"{trial.number} ({trial.id})"),
            ("State", trial.state.value),
            (detail.spec.objective_name, repr(trial.objective)),
            *((p.name, p.value) for p in trial.parameters),
        )
    )
