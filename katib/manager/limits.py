"""The manager's limits, as options. Each has a default that nobody meets who does not flood."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from katib.api.admission import CallLimits
from katib.manager.quotas import Quotas
from katib.manager.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])

_MIB: Final = 1024 * 1024
_OPTIONS: Final = (
    ("--max-message", 1, "Of a request, in MiB."),
    ("--max-rate", 0, "Calls a second, in all."),
    ("--max-rate-per-caller", 0, "Calls a second of one caller."),
    ("--max-rate-per-trial", 0, "Calls a second of one trial's program."),
    ("--max-data-per-caller", 0, "MiB a second in the messages of one caller, or of one trial's program."),
    ("--max-waiting", 0, "Calls that wait for their turn, in all."),
    ("--max-waiting-per-caller", 0, "Calls of one caller that wait for their turn."),
    ("--max-streams", 1, "Streams (WatchStudy), in all."),
    ("--max-streams-per-caller", 0, "Streams of one caller."),
    ("--max-studies", 0, "Studies, in all."),
    ("--max-studies-per-owner", 0, "Studies of one owner; with --auth."),
    ("--max-trials", 0, "Trials, in all."),
    ("--max-trials-per-owner", 0, "Trials of one owner's studies."),
    ("--max-trials-per-study", 0, "Trials of one study."),
    ("--max-observations", 0, "Values that trials report, in all."),
    ("--max-observations-per-owner", 0, "Values that the trials of one owner's studies report."),
    ("--max-observations-per-trial", 0, "Values that one trial may report by calls."),
)
_MOST: Final = {"--max-message": 64, "--max-streams": 4096}


def limit_options(command: F) -> F:
    """One for each field of Settings that begins with `max_`; 0 is no limit."""
    for name, least, text in reversed(_OPTIONS):
        default = getattr(Settings(), name.removeprefix("--").replace("-", "_"))
        range_ = click.IntRange(least, _MOST.get(name))
        command = click.option(
            name, type=range_, default=default, metavar="NUMBER", help=text + ("" if least else "  0: any number.")
        )(command)
    return command


def call_limits(settings: Settings) -> CallLimits:
    return CallLimits(
        rate=settings.max_rate,
        rate_of_caller=settings.max_rate_per_caller,
        rate_of_trial=settings.max_rate_per_trial,
        data_of_caller=settings.max_data_per_caller,
        waiting=settings.max_waiting,
        waiting_of_caller=settings.max_waiting_per_caller,
        streams=settings.max_streams,
        streams_of_caller=settings.max_streams_per_caller,
    )


def quotas(settings: Settings) -> Quotas:
    return Quotas(
        studies=settings.max_studies,
        studies_of_owner=settings.max_studies_per_owner,
        trials=settings.max_trials,
        trials_of_owner=settings.max_trials_per_owner,
        trials_of_study=settings.max_trials_per_study,
        observations=settings.max_observations,
        observations_of_owner=settings.max_observations_per_owner,
        observations_of_trial=settings.max_observations_per_trial,
    )


def message_bytes(settings: Settings) -> int:
    return settings.max_message * _MIB
