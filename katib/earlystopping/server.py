"""`katib-earlystopping`: one early-stopping rule behind `api.EarlyStopping`."""

import sys
from typing import Any, Final

import click

from katib.api import logs, plugins
from katib.api.api_pb2_grpc import add_EarlyStoppingServicer_to_server
from katib.domain.errors import KatibError
from katib.earlystopping.base import Rule
from katib.earlystopping.servicer import EarlyStoppingServicer
from katib.earlystopping.told import BYTES_OF_A_VALUE, Told

SERVICE: Final = "api.EarlyStopping"
GROUP: Final = "katib.earlystopping"


def run(rule: str, listening: plugins.Listening, curves_cache_mib: int) -> None:
    """Serves the rule until SIGTERM or SIGINT; raises a KatibError that says why it cannot."""
    found: Rule = plugins.find(GROUP, "rule", rule)
    servicer = EarlyStoppingServicer(found, Told(found, curves_cache_mib * 2**20 // BYTES_OF_A_VALUE))
    plugins.serve(SERVICE, listening, lambda server: add_EarlyStoppingServicer_to_server(servicer, server))  # type: ignore[no-untyped-call]


@click.command(context_settings=plugins.COMMAND)
@click.argument("rule")
@plugins.options
@click.option(
    "--curves-cache-mib",
    type=click.IntRange(0, 2**20),
    default=384,
    help="How much memory may hold values of metrics that need not be told again: 384 MiB are 8 million of them.",
)
def main(rule: str, log_level: str, log_format: str, curves_cache_mib: int, **listening: Any) -> None:
    """Serves the early-stopping RULE. Every option is also read from KATIB_*."""
    logs.set_up_logging(log_level.upper(), log_format)
    try:
        run(rule, plugins.Listening(**listening), curves_cache_mib)
    except KatibError as error:
        click.echo(f"katib-earlystopping: {error.message}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
