"""`katib-suggestion`: one search algorithm behind `api.Suggestion`."""

import sys
from typing import Any, Final

import click

from katib.api import logs, plugins
from katib.api.api_pb2_grpc import add_SuggestionServicer_to_server
from katib.domain.errors import KatibError
from katib.suggestion.histories import Histories
from katib.suggestion.servicer import SuggestionServicer

SERVICE: Final = "api.Suggestion"
GROUP: Final = "katib.suggestions"


def run(algorithm: str, listening: plugins.Listening, history_cache_mib: int) -> None:
    """Serves the algorithm until SIGTERM or SIGINT; raises a KatibError that says why it cannot."""
    histories = Histories(history_cache_mib * 2**20)
    servicer = SuggestionServicer(plugins.find(GROUP, "algorithm", algorithm), histories)
    plugins.serve(SERVICE, listening, lambda server: add_SuggestionServicer_to_server(servicer, server))  # type: ignore[no-untyped-call]


@click.command(context_settings=plugins.COMMAND)
@click.argument("algorithm")
@plugins.options
@click.option(
    "--history-cache-mib",
    type=click.IntRange(0, 2**20),
    default=256,
    help="How much memory may hold trials that need not be sent again. 0: every question brings all of them.",
)
def main(algorithm: str, log_level: str, log_format: str, history_cache_mib: int, **listening: Any) -> None:
    """Serves the search ALGORITHM. Every option is also read from KATIB_*."""
    logs.set_up_logging(log_level.upper(), log_format)
    try:
        run(algorithm, plugins.Listening(**listening), history_cache_mib)
    except KatibError as error:
        click.echo(f"katib-suggestion: {error.message}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
