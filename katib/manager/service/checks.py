"""Checks that several use cases make of what a request carries."""

from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Final, TypeVar

from katib.domain.effort import waiting
from katib.domain.errors import (
    DeadlineExceededError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    violation,
)
from katib.domain.metrics import MAX_SOURCE, REPORT_SOURCE, Observation
from katib.domain.names import is_id
from katib.domain.search_space import check_name
from katib.domain.trial import Trial

DEFAULT_PAGE: Final = 100
MAX_PAGE: Final = 1000
MAX_REQUEST_ID: Final = 128
MAX_CLIENT_ID: Final = 128
MAX_OBSERVATIONS: Final = 10_000

Reply = TypeVar("Reply")


def study_id_of(text: str) -> str:
    """An id that could be one; anything else is no study's."""
    if not text:
        raise InvalidArgumentError.of("study_id", text, "expected the id of a study")
    if not is_id(text):
        raise NotFoundError(f"there is no study {_shown(text)}: ids are one letter and 15 hexadecimal digits")
    return text


def trial_id_of(text: str) -> str:
    if not text:
        raise InvalidArgumentError.of("trial_id", text, "expected the id of a trial")
    if not is_id(text):
        raise NotFoundError(f"there is no trial {_shown(text)}: ids are one letter and 15 hexadecimal digits")
    return text


def page_size_of(size: int, default: int = DEFAULT_PAGE, most: int = MAX_PAGE) -> int:
    """0 is the default; more than the most is the most, as lists may always be shorter than asked."""
    if size < 0:
        raise InvalidArgumentError.of("page_size", size, f"expected 0 (for {default}) to {most}")
    return min(size, most) or default


def label_of(field: str, text: str, most: int) -> str:
    """A name that a client gives itself: printable, not too long, possibly empty."""
    if len(text) > most or not text.isprintable():
        raise InvalidArgumentError.of(field, text, f"expected at most {most} printable characters")
    return text


def reporter_of(text: str) -> str:
    reporter = label_of("reporter", text, MAX_SOURCE - len(REPORT_SOURCE))
    return REPORT_SOURCE + reporter


def check_attempt(trial: Trial, attempt: int) -> None:
    """Raises FailedPreconditionError for a client that had the trial before it was handed on, or does not say which attempt it
    was given (0): only the present one may speak for it."""
    if attempt == trial.attempt or (attempt == 0 and trial.attempt == 1):
        return
    if attempt > trial.attempt:
        raise InvalidArgumentError.of("attempt", attempt, f"expected at most {trial.attempt}: so many there have been")
    what = f"what attempt {attempt} says" if attempt else "what is said without the number of the attempt"
    raise FailedPreconditionError(
        f"trial {trial.id} was handed on to client {trial.client_id} as attempt {trial.attempt}, because the one before gave "
        f"no sign of itself: {what} is not taken any more; ask for trials again"
    )


def check_observations(observations: Sequence[Observation]) -> None:
    """Raises InvalidArgumentError with every violation."""
    if len(observations) > MAX_OBSERVATIONS:
        raise InvalidArgumentError.of(
            "observations", f"{len(observations)} observations", f"expected at most {MAX_OBSERVATIONS} in one call"
        )
    found = []
    seen: set[int] = set()
    for i, observation in enumerate(observations):
        found += check_name(f"observations[{i}].name", observation.name)
        if not 0 < observation.position < 2**63:
            found.append(
                violation(
                    f"observations[{i}].sequence",
                    observation.position,
                    "expected the reporter's own number for it, from 1 on: it makes sending it again harmless",
                )
            )
        elif observation.position in seen:
            found.append(violation(f"observations[{i}].sequence", observation.position, "expected each number once"))
        seen.add(observation.position)
    if found:
        raise InvalidArgumentError(found)


def answer(call: "Future[Reply]", seconds: float, who: str) -> Reply:
    """The answer of a call under way; its error if it fails; DeadlineExceededError after `seconds`."""
    try:
        with waiting():
            return call.result(seconds)
    except FutureTimeoutError:
        call.cancel()
        raise DeadlineExceededError(f"{who} did not answer within {seconds:g} s; try again") from None


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:37]}...")
