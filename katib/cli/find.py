"""What STUDY and TRIAL mean on the command line: an id, its beginning, or a study's name."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from katib.cli.pages import PAGE_SIZE
from katib.cli.terminal import clean
from katib.domain.errors import InvalidArgumentError, NotFoundError
from katib.domain.names import is_id, is_id_prefix
from katib.domain.study import MAX_COUNT

if TYPE_CHECKING:
    from katib.api.client import ManagerClient
    from katib.domain.views import StudySummary

F = TypeVar("F", bound=Callable[..., Any])

# Shorter texts are names: `a` would be the beginning of one id in six.
MIN_PREFIX: Final = 4
_CANDIDATES: Final = 10


def find_study(client: "ManagerClient", text: str) -> str:
    """The id of the one study meant.

    Raises NotFoundError, or InvalidArgumentError that lists the candidates: a name may stand for several studies.
    """
    if is_id(text):
        return text
    found = matching_studies(client, text, _CANDIDATES + 1)
    if not found:
        raise NotFoundError(
            f"no study has the name {_quoted(text)} or an id that begins so; see katib-cli list studies"
        )
    if len(found) > 1:
        raise _ambiguous(text, "studies", (f"{s.id}  {s.state.value:9}  {clean(s.name)}" for s in found), len(found))
    return found[0].id


def matching_studies(client: "ManagerClient", text: str, limit: int) -> "list[StudySummary]":
    """The newest studies whose id begins with `text`, and those of that name. Raises InvalidArgumentError for an empty one."""
    if not text.strip():
        # As of a variable that is not set: to the manager an empty name is any.
        raise InvalidArgumentError(
            "STUDY is empty: expected an id, its beginning or a name; see katib-cli list studies"
        )
    if not text.isprintable():
        return []
    found: dict[str, StudySummary] = {}
    if is_id_prefix(text) and len(text) >= MIN_PREFIX:
        found = {study.id: study for study in client.list_studies(id_prefix=text, page_size=limit).items}
    found |= {study.id: study for study in client.list_studies(name=text, page_size=limit).items}
    return list(found.values())


def trial_arguments(function: F) -> F:
    """What `find_trial` takes, as arguments of a command that is about one trial."""
    function = click.argument("number", required=False, type=click.IntRange(min=1), metavar="[NUMBER]")(function)
    return click.argument("trial", metavar="TRIAL")(function)


def find_trial(client: "ManagerClient", text: str, number: int | None = None) -> str:
    """The id of the one trial meant; with a number, of that one of the study `text`. Raises as `find_study` does."""
    if number is not None:
        return _numbered(client, find_study(client, text), number)
    if is_id(text):
        return text
    if len(text) < MIN_PREFIX or not is_id_prefix(text):
        raise NotFoundError(
            f"{_quoted(text)} is no trial's id, nor its first {MIN_PREFIX} characters or more; "
            "give these, or where a command takes them its study and its number; see katib-cli list trials"
        )
    found = client.list_trials(id_prefix=text, page_size=_CANDIDATES + 1).items
    if not found:
        raise NotFoundError(f"no trial's id begins with {_quoted(text)}; see katib-cli list trials")
    if len(found) > 1:
        raise _ambiguous(
            text, "trials", (f"{t.id}  {t.state.value:9}  trial {t.number} of {t.study_id}" for t in found), len(found)
        )
    return found[0].id


def _numbered(client: "ManagerClient", study_id: str, number: int) -> str:
    # An older manager knows no such question, and gives all trials, upwards.
    token, left = "", number if number <= MAX_COUNT else 0
    while left:
        page = client.list_trials(study_id, page_size=min(left, PAGE_SIZE), page_token=token, number=number)
        found = next((trial.id for trial in page.items if trial.number == number), None)
        if found is not None:
            return found
        token, left = page.next_token, left - len(page.items)
        if not token:
            break
    raise NotFoundError(f"study {study_id} has no trial {number}; see katib-cli list trials {study_id}")


def _ambiguous(text: str, kind: str, candidates: Iterable[str], count: int) -> InvalidArgumentError:
    shown = list(candidates)[:_CANDIDATES]
    if count > len(shown):
        shown.append("...")
    lines = "\n  ".join(shown)
    return InvalidArgumentError(f"{_quoted(text)} may be each of these {kind}; give the id of one:\n  {lines}")


def _quoted(text: str) -> str:
    return f"'{clean(text)}'"
