"""Lists that come in pages."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, Final, TypeVar

import click

from katib.domain.views import Page

T = TypeVar("T")
U = TypeVar("U")
F = TypeVar("F", bound=Callable[..., Any])

# What the manager gives at most in one reply.
PAGE_SIZE: Final = 1000
# Calls under way at once, where many are needed: the more, the less it matters how far away the manager is.
AT_ONCE: Final = 32
# An interrupt that comes just as Python begins to wait is seen when that is over.
_LOOK_S: Final = 0.5


def limit_option(default: str) -> Callable[[F], F]:
    """`default` tells what the command does without it."""
    return click.option(
        "-n", "--limit", type=click.IntRange(min=0), help=f"At most so many; 0: all of them.  [default: {default}]"
    )


def collect(fetch: Callable[[int, str], Page[T]], limit: int) -> tuple[list[T], bool]:
    """As many items as `limit` allows (0: all), and whether there are more. `fetch(size, token)` gives a page."""
    items: list[T] = []
    token = ""
    while True:
        size = min(limit - len(items), PAGE_SIZE) if limit else PAGE_SIZE
        page = fetch(size, token)
        items += page.items
        token = page.next_token
        if not token or (limit and len(items) >= limit):
            return items, bool(token)


def each(function: Callable[[T], U], arguments: Iterable[T]) -> list[U]:
    """What a call gives for each of these, in their order, several of which are under way at once."""
    threads = ThreadPoolExecutor(AT_ONCE)
    try:
        return [result(asked) for asked in [threads.submit(function, argument) for argument in arguments]]
    finally:
        # One has failed, or nobody looks at them any more: those that are out end with their connection.
        threads.shutdown(wait=False, cancel_futures=True)


def result(asked: Future[T]) -> T:
    while not wait((asked,), _LOOK_S).done:
        pass
    return asked.result()


def note_more(more: bool, shown: int, what: str) -> None:
    """Says, beside the output and not in it, that it is not all."""
    if more:
        click.echo(f"The first {shown} {what}; --limit 0 shows all of them.", err=True)
