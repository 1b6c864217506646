"""The command that shows which algorithms and rules there are."""

from collections.abc import Sequence

import click

from katib.cli.documents import SERVICE_FIELDS, service_document
from katib.cli.output import Format, output_option, print_documents
from katib.cli.session import Session, connected, pass_session
from katib.cli.terminal import table, terminal_width
from katib.domain.views import ServiceKind, ServiceStatus

_KINDS = {ServiceKind.SUGGESTION: "algorithm", ServiceKind.EARLY_STOPPING: "early stopping"}


@click.command("list-algorithms")
@output_option
@connected
@pass_session
def list_algorithms(session: Session, form: Format) -> None:
    """List the algorithms and early-stopping rules that the manager finds, and whether they answer now."""
    with session.connect() as client:
        services = client.list_algorithms()
    if form is not Format.TABLE:
        print_documents([service_document(s) for s in services], form, SERVICE_FIELDS)
    elif services:
        click.echo(services_table(services, terminal_width()))
    else:
        click.echo("The manager finds no algorithms.", err=True)


def services_table(services: Sequence[ServiceStatus], columns: int | None) -> str:
    return table(
        ("NAME", "KIND", "SERVING", "ADDRESS", "MESSAGE"),
        [(s.name, _KINDS[s.kind], "yes" if s.serving else "no", s.address, s.message) for s in services],
        columns,
    )
