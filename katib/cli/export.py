"""The command that gives all observations of a study to other programs."""

import csv
import json
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from enum import Enum
from itertools import chain
from typing import TYPE_CHECKING, Final

import click

from katib.cli.documents import observation_document
from katib.cli.find import find_study
from katib.cli.output import cell, finite
from katib.cli.pages import AT_ONCE, PAGE_SIZE, result
from katib.cli.session import Session, connected, pass_session
from katib.cli.terminal import clean
from katib.domain.errors import InvalidArgumentError
from katib.domain.views import every

if TYPE_CHECKING:
    from katib.api.client import ManagerClient
    from katib.cli.documents import Document
    from katib.domain.metrics import Observation
    from katib.domain.trial import Trial
    from katib.domain.views import Page

FIELDS: Final = ("trial_number", "trial_id", "attempt", "name", "value", "step", "time", "source")
# Of how many trials values are asked for at once, and for how many values. Where trials have many it is the second, which is no
# more in memory.
_SHORT: Final = (AT_ONCE, 2_500)
_LONG: Final = (8, 10_000)


class Form(Enum):
    CSV = "csv"
    JSON = "json"


@click.command("export")
@click.argument("study")
@click.option("--metric", "metrics", multiple=True, metavar="NAME", help="Only this metric; may be given again.")
@click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(Form, case_sensitive=False),
    default=Form.CSV,
    show_default="csv",
    help="How to print it.",
)
@connected
@pass_session
def export(session: Session, study: str, metrics: tuple[str, ...], form: Form) -> None:
    """Print every observation of STUDY, of all attempts, trial by trial in the order of their coming."""
    with session.connect() as client:
        study_id = find_study(client, study)
        rows = _rows(client, study_id, metrics)
        first = next(rows, None)
        if first is None:
            _refuse_unknown(client, study_id, metrics)
        seen: set[object] = set()
        noted = _noting(rows if first is None else chain([first], rows), seen)
        if form is Form.CSV:
            _print_csv(noted)
        else:
            _print_json(noted)
    missing = [name for name in metrics if name not in seen]
    if missing:
        click.echo(f"No trial has a value of {_quoted(missing)}.", err=True)


def _refuse_unknown(client: "ManagerClient", study_id: str, metrics: tuple[str, ...]) -> None:
    """Raises InvalidArgumentError for names of which there are no values and will hardly be any. Those who report by calls may
    use names that the study has not, so it is not said before."""
    spec = client.get_study(study_id).spec
    unknown = [name for name in metrics if name not in spec.metric_names]
    if unknown:
        raise InvalidArgumentError(
            f"no trial of study {study_id} has a value of {_quoted(unknown)}; "
            f"the study's metrics are {_quoted(spec.metric_names)}"
        )


def _noting(rows: "Iterable[Document]", seen: set[object]) -> "Iterator[Document]":
    for row in rows:
        seen.add(row["name"])
        yield row


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{clean(name)}'" for name in names)


def _rows(client: "ManagerClient", study_id: str, metrics: tuple[str, ...]) -> "Iterator[Document]":
    """A few pages in memory at a time."""
    trials = every(lambda token: client.list_trials(study_id, page_size=PAGE_SIZE, page_token=token))
    for trial, attempt, first in _first_pages(client, trials, metrics):
        for observation in _from(first, client, trial, attempt, metrics):
            yield {"trial_number": trial.number, "trial_id": trial.id, **observation_document(observation)}


def _from(
    first: "Page[Observation]", client: "ManagerClient", trial: "Trial", attempt: int, metrics: tuple[str, ...]
) -> "Iterator[Observation]":
    yield from first.items
    if first.next_token:
        _, size = _LONG
        yield from every(
            lambda token: client.list_observations(trial.id, attempt, metrics, size, token or first.next_token)
        )


def _first_pages(
    client: "ManagerClient", trials: "Iterable[Trial]", metrics: tuple[str, ...]
) -> "Iterator[tuple[Trial, int, Page[Observation]]]":
    """Of each attempt, in order. Those of the next are under way meanwhile: to wait for one after the other is most of what
    thousands of short calls take."""
    under_way: deque[tuple[Trial, int, Future[Page[Observation]]]] = deque()
    threads = ThreadPoolExecutor(_SHORT[0])
    try:
        at_once, size = _SHORT
        for trial in trials:
            for attempt in range(1, trial.attempt + 1):
                asked = threads.submit(client.list_observations, trial.id, attempt, metrics, size)
                under_way.append((trial, attempt, asked))
                while len(under_way) >= at_once:
                    first = _next(under_way)
                    at_once, size = _LONG if first[2].next_token or len(first[2].items) > _SHORT[1] else _SHORT
                    yield first
        while under_way:
            yield _next(under_way)
    finally:
        # One has failed, or nobody looks at them any more: those that are out end with their connection.
        threads.shutdown(wait=False, cancel_futures=True)


def _next(
    under_way: "deque[tuple[Trial, int, Future[Page[Observation]]]]",
) -> "tuple[Trial, int, Page[Observation]]":
    trial, attempt, asked = under_way.popleft()
    return trial, attempt, result(asked)


def _print_csv(rows: "Iterator[Document]") -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(FIELDS)
    for row in rows:
        writer.writerow([cell(row[name]) for name in FIELDS])


def _print_json(rows: "Iterator[Document]") -> None:
    """A list with an object to a line."""
    before = "[\n"
    for row in rows:
        sys.stdout.write(before + json.dumps(finite({name: row[name] for name in FIELDS}), allow_nan=False))
        before = ",\n"
    sys.stdout.write("[]\n" if before == "[\n" else "\n]\n")
