"""Commands of the model store."""

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import click

from katib.cli.documents import MODEL_FIELDS, PROJECT_FIELDS, model_document, project_document
from katib.cli.files import read_file
from katib.cli.find import MIN_PREFIX, find_study, find_trial
from katib.cli.output import Format, output_option, print_document, print_documents
from katib.cli.pages import collect, limit_option, note_more
from katib.cli.session import Session, connected, pass_session
from katib.cli.terminal import clean, fields, show_age, show_number, table, terminal_width
from katib.domain.errors import InvalidArgumentError, NotFoundError
from katib.domain.models import SavedModel, SavedStudy
from katib.domain.names import is_id_prefix

if TYPE_CHECKING:
    from katib.api.client import ManagerClient

# Of more studies of one name, or trials whose ids begin alike, the store is read as fast.
_FEW: Final = 20
# No number of a trial has more digits.
_DIGITS: Final = 10


@click.command("list-models")
@click.argument("study", required=False)
@limit_option("all of STUDY")
@output_option
@connected
@pass_session
def list_models(session: Session, study: str | None, limit: int | None, form: Format) -> None:
    """List the saved models of STUDY (a name, an id or its first characters); without it, the studies that have any."""
    with session.connect() as client:
        if study is None:
            _list_projects(client, form)
            return
        name = _project(client, study)
        models, more = collect(lambda size, token: client.saved_models(name, size, token), limit or 0)
    _print_models(models, form)
    note_more(more, len(models), "models")


@click.command("get-model")
@click.argument("study")
@click.argument("trial", required=False)
@output_option
@connected
@pass_session
def get_model(session: Session, study: str, trial: str | None, form: Format) -> None:
    """Show the model of TRIAL (its number, its id or the id's first characters) in STUDY; without TRIAL, all of them."""
    with session.connect() as client:
        name = _project(client, study)
        if trial is None:
            models, _ = collect(lambda size, token: client.saved_models(name, size, token), 0)
            _print_models(models, form)
            return
        model = _find(client, name, trial)
    if form is Format.TABLE:
        click.echo(describe_model(model))
    else:
        print_document(model_document(model), form, spread="parameters")


@click.command("push-study")
@click.argument("name")
@click.option("--owner", default="", help="Whose it is.")
@click.option("--description", default="", help="What it is about.")
@connected
@pass_session
def push_study(session: Session, name: str, owner: str, description: str) -> None:
    """Save a study of NAME in the model store, or change its owner and description there. Studies that the manager runs are
    there by themselves; this is for models from elsewhere."""
    with session.connect() as client:
        client.save_study(SavedStudy(name, owner, description))
    click.echo(f"Study {clean(name)} is saved.")


@click.command("push-model")
@click.option(
    "-f",
    "--file",
    "path",
    required=True,
    metavar="FILE",
    help="The model as YAML; - is standard input.",
)
@connected
@pass_session
def push_model(session: Session, path: str) -> None:
    """Save a model, such as one that was trained elsewhere, or say where a trial's model really is.

    FILE has study_name, trial_id, model_path, and as it likes parameters, metrics (a mapping of names to values each) and
    data_set (name and path).
    """
    from katib.domain.model_file import parse_model  # PyYAML, only here

    model = parse_model(*read_file(path))
    with session.connect() as client:
        client.save_model(model)
    click.echo(f"The model of trial {clean(model.trial_id)} is saved in study {clean(model.study_name)}.")


def _list_projects(client: "ManagerClient", form: Format) -> None:
    studies = client.saved_studies()
    if form is not Format.TABLE:
        print_documents([project_document(study) for study in studies], form, PROJECT_FIELDS)
    elif studies:
        rows = [(study.name, study.owner, study.description) for study in studies]
        click.echo(table(("STUDY", "OWNER", "DESCRIPTION"), rows, terminal_width()))
    else:
        click.echo("No studies with models.", err=True)


def _print_models(models: list[SavedModel], form: Format) -> None:
    if form is not Format.TABLE:
        print_documents([model_document(model) for model in models], form, MODEL_FIELDS, spread="parameters")
    elif models:
        rows = [
            (
                str(model.number or ""),
                model.trial_id,
                model.state.value if model.state else "",
                show_number(model.objective),
                show_age(model.saved_at) if model.saved_at else "",
                model.model_path or "none",
            )
            for model in sorted(models, key=lambda model: (model.study_id, model.number, model.trial_id))
        ]
        click.echo(table(("TRIAL", "ID", "STATE", "OBJECTIVE", "AGE", "MODEL"), rows, terminal_width()))
    else:
        click.echo("No models.", err=True)


def describe_model(model: SavedModel) -> str:
    return fields(
        ("Study", f"{model.study_name} ({model.study_id})" if model.study_id else model.study_name),
        ("Trial", f"{model.number} ({model.trial_id})" if model.number else model.trial_id),
        ("State", model.state.value if model.state else ""),
        ("Objective", "" if model.objective is None else repr(model.objective)),
        ("Model", model.model_path or "none: nothing was left in $KATIB_MODEL_DIR, nor reported by report_model"),
        ("Data set", " ".join(word for word in (model.data_set_name, model.data_set_path) if word)),
        (
            "Saved",
            f"{show_age(model.saved_at)} ago, by {'the manager' if model.kept else 'a client'}"
            if model.saved_at
            else "",
        ),
        *((p.name, p.value) for p in model.parameters),
        *((f"metric {name}", value) for name, value in model.metrics),
    )


def _project(client: "ManagerClient", text: str) -> str:
    """The name in the model store: studies are known there by name, and stay when they have been deleted here."""
    if any(study.name == text for study in client.saved_studies()):
        return text
    try:
        return client.get_study(find_study(client, text)).spec.name
    except NotFoundError:
        raise NotFoundError(f"no models were saved of a study '{clean(text)}'; see katib-cli list models") from None


def _find(client: "ManagerClient", name: str, text: str) -> SavedModel:
    try:
        return client.saved_model(name, text)
    except NotFoundError:
        pass
    exact = _of_trials(client, name, text)
    if not exact:
        # Of a study that has been deleted, or from elsewhere: the store is read from its beginning to its end.
        models, _ = collect(lambda size, token: client.saved_models(name, size, token), 0)
        exact = [model for model in models if str(model.number) == text]
        exact = exact or [model for model in models if len(text) > 1 and model.trial_id.startswith(text)]
    if not exact:
        raise NotFoundError(
            f"no model of a trial '{clean(text)}' was saved in study {clean(name)}; see katib-cli list models"
        )
    if len(exact) > 1:
        ids = ", ".join(clean(model.trial_id) for model in exact[:5])
        raise InvalidArgumentError(f"'{clean(text)}' may be each of these trials; give the id of one: {ids}")
    return exact[0]


def _of_trials(client: "ManagerClient", name: str, text: str) -> list[SavedModel]:
    """Those of the trials meant that the manager still has."""
    found = []
    for trial_id in _trials_meant(client, name, text):
        with suppress(NotFoundError):
            found.append(client.saved_model(name, trial_id))
    return found


def _trials_meant(client: "ManagerClient", name: str, text: str) -> Iterator[str]:
    if text.isascii() and text.isdecimal() and len(text) <= _DIGITS and int(text):
        studies = client.list_studies(name=name, page_size=_FEW + 1).items
        for study in studies if len(studies) <= _FEW else ():
            with suppress(NotFoundError):
                yield find_trial(client, study.id, int(text))
    elif is_id_prefix(text) and len(text) >= MIN_PREFIX:
        trials = client.list_trials(id_prefix=text, page_size=_FEW + 1).items
        yield from (trial.id for trial in trials if len(trials) <= _FEW)
