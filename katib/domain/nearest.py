"""Which name may be meant by one that nobody has."""

import difflib
from collections.abc import Iterable
from typing import Final

# So many characters are a beginning.
_BEGINNING: Final = 3


def nearest(name: str, known: Iterable[str]) -> str:
    """The one that begins so or is spelled much alike; empty where none is, or it is known."""
    names = sorted(known)
    if name in names:
        return ""
    begun = [n for n in names if n.startswith(name)] if len(name) >= _BEGINNING else []
    return next(iter(begun or difflib.get_close_matches(name, names, n=1)), "")


def advice(name: str, known: Iterable[str]) -> str:
    """What to do where no service has that name."""
    near = nearest(name, known)
    other = "start one under that name, or choose another (katib-cli list algorithms shows them)"
    return f"did you mean {near!r}? Else {other}" if near else other
