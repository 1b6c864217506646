"""Lists that come in pages."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from katib.domain.views import Page

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

# What the manager gives at most in one reply.
PAGE_SIZE: Final = 1000


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


def note_more(more: bool, shown: int, what: str) -> None:
    """Says, beside the output and not in it, that it is not all."""
    if more:
        click.echo(f"The first {shown} {what}; --limit 0 shows all of them.", err=True)
