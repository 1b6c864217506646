"""What a part of a Pod may be, as generators of violations. Anything that is null is absent."""

import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from katib.domain.errors import FieldViolation, violation
from katib.domain.pod import QUANTITY_EXPECTED

Check = Callable[[Any, str], Iterator[FieldViolation]]


def anything(value: Any, path: str) -> Iterator[FieldViolation]:  # noqa: ARG001 -- a check like the others
    yield from ()


def fields(names: str) -> dict[str, Check]:
    """Known ones, whatever they hold."""
    return dict.fromkeys(names.split(), anything)


def mapping(known: Mapping[str, Check], value: Any, path: str, why: Mapping[str, str] | None = None) -> Any:
    if not isinstance(value, dict):
        yield violation(path, value, "expected a mapping")
        return
    for key, inner in value.items():
        if inner is None:
            continue
        if key in known:
            yield from known[key](inner, f"{path}.{key}")
        elif why and key in why:
            yield violation(f"{path}.{key}", "", why[key])
        else:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            yield violation(f"{path}.{key}", "", f"a study may not set this{hint}")


def mapping_of(check: Check, value: Any, path: str) -> Iterator[FieldViolation]:
    """A mapping with any keys."""
    if not isinstance(value, dict):
        yield violation(path, value, "expected a mapping")
        return
    for key, inner in value.items():
        yield from check(inner, f"{path}.{key}")


def items(check: Check, value: Any, path: str) -> Iterator[FieldViolation]:
    if not isinstance(value, list):
        yield violation(path, value, "expected a list")
        return
    for i, item in enumerate(value):
        yield from check(item, f"{path}[{i}]")


def only(allowed: tuple[object, ...], expected: str, value: Any, path: str) -> Iterator[FieldViolation]:
    # In Python 0 is False; in JSON it is not.
    if not any(type(value) is type(a) and value == a for a in allowed):
        yield violation(path, value, expected)


def text(value: Any, path: str) -> Iterator[FieldViolation]:
    if not isinstance(value, str):
        yield violation(path, value, "expected a text: put it in quotes")


def amount(value: Any, path: str) -> Iterator[FieldViolation]:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        yield violation(path, value, QUANTITY_EXPECTED)


def texts(value: Any, path: str) -> Iterator[FieldViolation]:
    yield from mapping_of(text, value, path)
