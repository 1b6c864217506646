"""The command `katib-manager`: its options, and a manager that runs until it is told to end."""

import logging
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import click

from katib.api import logs, rpc
from katib.api.descriptors import raise_limit
from katib.api.plugins import COMMAND, SERVICE_TOKEN, log_level_option
from katib.api.tls_options import server_options
from katib.domain.errors import KatibError
from katib.manager import settings as defaults
from katib.manager.limits import limit_options
from katib.manager.modelstore.open import DATABASE
from katib.manager.server import Manager
from katib.manager.settings import Settings

_log: Final = logging.getLogger(__name__)


one_processor_option: Final = click.option(
    "--one-processor/--no-one-processor",
    default=True,
    help="Keep the threads that answer calls on one processor, one that others leave free: Python runs one at a time.",
)


@click.command(context_settings=COMMAND)
@click.option("--listen", default=defaults.DEFAULT_LISTEN, help="Where the API answers: HOST:PORT, or unix:PATH.")
@click.option("--http", default=defaults.DEFAULT_HTTP, help="Where /metrics, /healthz and /readyz answer; '' for none.")
@click.option(
    "--database",
    default="sqlite:///katib.db",
    help="sqlite:///FILE, or mysql+pymysql://USER:PASSWORD@HOST:PORT/NAME.",
)
@click.option(
    "--database-password-file",
    metavar="FILE",
    default="",
    show_default=False,
    help="The password of --database, read for each connection: it stands on no command line then.",
)
@click.option("--worker", default="local", help="What runs the trials: local, kubernetes.")
@click.option(
    "--worker-option",
    metavar="NAME=VALUE",
    multiple=True,
    help="An option of the worker; may be given several times. KATIB_WORKER_OPTION holds several with spaces between.",
)
@click.option(
    "--mount-root",
    default="",
    help="With --worker kubernetes: where volume claims are mounted here, each under its name, to read metrics files there.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("katib-data"),
    help="Where the local worker keeps the runs' outputs.",
)
@click.option(
    "--advertise-address",
    default="",
    help="Where trials reach this API: HOST:PORT, unix:PATH, or none.  [default: with --worker local, --listen]",
)
@click.option(
    "--suggestion-address",
    default=defaults.DEFAULT_SUGGESTION,
    help="Where suggestion services are; {algorithm} stands for the algorithm's name.",
)
@click.option(
    "--earlystopping-address",
    default=defaults.DEFAULT_EARLYSTOPPING,
    help="Where early-stopping services are; {algorithm} stands for the rule's name.",
)
@click.option(
    "--model-store",
    default=DATABASE,
    help="Where the models' records are kept: database (the manager's own), or mlflow+http://HOST:PORT.",
)
@click.option(
    "--lease", type=click.FloatRange(1, 3600), default=10.0, help="Seconds until a silent manager's studies move."
)
@server_options
@click.option(
    "--report-listen",
    metavar="HOST:PORT",
    default="",
    show_default=False,
    help="Where trials report with the token of their attempt, which has to be shown there; nothing else is answered.",
)
@click.option(
    "--tls-ca",
    metavar="FILE",
    default="",
    show_default=False,
    help="The authorities that vouch for services, which are then called with TLS and shown --tls-cert; or 'system'.",
)
@click.option(
    "--advertise-ca",
    metavar="FILE",
    default="",
    show_default=False,
    help="The authorities by which trials know this API; or 'system'.  [default: --tls-ca]",
)
@click.option(
    "--auth",
    default="none",
    help="How callers show who they are: none (nobody is asked), or one or more of tokens, mtls, kubernetes with commas.",
)
@click.option(
    "--auth-role",
    metavar="NAME=ROLE,...",
    multiple=True,
    help="Roles of callers by certificate or service account; NAME may be group:NAME or *; may be given several times.  "
    "[default: *=user]",
    show_default=False,
)
@click.option(
    "--auth-namespace",
    metavar="NAME=NAMESPACE,...",
    multiple=True,
    help="Namespaces that a caller's Pods may go to, the first where a study names none; NAME as above.  "
    "[default: any that the worker allows]",
    show_default=False,
)
@click.option(
    "--auth-audience",
    default=defaults.DEFAULT_AUDIENCE,
    help="With kubernetes: the audience that service-account tokens must be for.",
)
@click.option(
    "--bootstrap-token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file with a token that may do everything as long as it is there, made where it is not: for the first real token.",
)
@click.option(
    SERVICE_TOKEN,
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file with the token that services are shown, which they have too.",
)
@click.option(
    "--audit-log",
    metavar="FILE",
    default="",
    show_default=False,
    help="Where every change that a caller makes or tries leaves a line of JSON; - for standard output.",
)
@limit_options
@one_processor_option
@log_level_option("INFO")
@click.option("--log-format", type=click.Choice(logs.FORMATS), default="text")
@click.version_option(package_name="katib")
def main(**options: Any) -> None:
    """The Katib manager: keeps studies, asks for suggestions, runs trials. Every option is also read from KATIB_*."""
    settings = Settings(**{f.name: options[f.name] for f in fields(Settings)})
    logs.set_up_logging(settings.log_level.upper(), settings.log_format)
    try:
        run(settings)
    except KatibError as error:
        click.echo(f"katib-manager: {error.message}", err=True)
        sys.exit(1)


def run(settings: Settings) -> None:
    """Runs a manager until SIGTERM or SIGINT, or until it knows that waiting for its database is of no use."""
    stop = rpc.stop_on_signals()
    raise_limit()
    _log.info("settings: %s", settings.shown())
    manager = Manager(settings)
    manager.serve()
    _log.info("serves", extra={"listen": settings.listen, "port": manager.port})
    works = manager.work_when_possible()
    works.add_done_callback(lambda _: stop.set() if works.exception() else _log.info("ready"))
    stop.wait()
    _log.info("ends: lets calls and passes under way finish; runs go on")
    manager.stop()
    if works.done():
        works.result()
    _log.info("ended")


if __name__ == "__main__":
    main()
