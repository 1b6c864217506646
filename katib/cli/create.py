"""The command that creates a study from a file."""

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from katib.cli.errors import OK
from katib.cli.files import STDIN, read_file
from katib.cli.output import Format, output_option, print_document
from katib.cli.session import Session, connected, pass_session
from katib.cli.terminal import clean
from katib.domain.errors import FailedPreconditionError, InvalidArgumentError
from katib.domain.study_checks import check_study
from katib.domain.study_file import StudyFile, parse_study

if TYPE_CHECKING:
    from katib.api.client import ManagerClient


@click.command("create-study")
@click.option("-f", "--file", "path", required=True, metavar="FILE", help="The study file; - is standard input.")
@click.option("-w", "--watch", is_flag=True, help="Then follow it until it ends, as the command watch does.")
@click.option("--request-id", default="", help="Created once under this id: the same one again gives the same study.")
@output_option
@connected
@pass_session
def create_study(session: Session, path: str, watch: bool, request_id: str, form: Format) -> int:
    """Create a study from a file and start it."""
    if watch and form is not Format.TABLE:
        raise click.UsageError("--watch shows progress for people: leave out --output")
    study = load(path)
    for warning in study.remarks:
        click.echo(clean(warning.render(study.source, "warning: ")), err=True)
    study = replace(study, warnings=())  # said once, also where the manager refuses the study
    with session.connect() as client:
        study_id = _create(client, study, request_id)
        if form is Format.TABLE:
            click.echo(f"Study {study_id} is created.")
        else:
            print_document({"id": study_id}, form)
        if not watch:
            return OK
        from katib.cli.watch import watch_study

        return watch_study(client, study_id)


def load(path: str) -> StudyFile:
    """Reads and checks a study file. Its working directory becomes absolute, seen from the file's folder: what the manager
    is told must not depend on where it runs itself.

    Raises StudyFileError, also when the file cannot be read.
    """
    study = parse_study(*read_file(path))
    directory = study.spec.working_dir
    if not directory:
        return study
    folder = "" if path == STDIN else os.path.dirname(path)
    spec = replace(study.spec, working_dir=os.path.abspath(os.path.join(folder, os.path.expanduser(directory))))
    try:
        check_study(spec, path="")
    except InvalidArgumentError as error:
        raise study.refused(error.violations) from None
    return replace(study, spec=spec)


def _create(client: "ManagerClient", study: StudyFile, request_id: str) -> str:
    try:
        return client.create_study(study.spec, request_id)
    except InvalidArgumentError as error:
        raise study.refused_by_manager(error) from None
    except FailedPreconditionError as error:
        # Nothing is wrong with the file in itself, but what it names is not there.
        problem = study.located(error.message)
        raise FailedPreconditionError(problem.render(study.source) if problem else error.message) from None
