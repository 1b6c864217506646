"""Which name may be meant by one that nobody has."""

from collections.abc import Iterable
from typing import Final

# So many characters are a beginning.
_BEGINNING: Final = 3


def nearest(name: str, known: Iterable[str]) -> str:
    """As `bayesianoptimization` by `bayes`, `grid` by `gridsearch` and `cmaes` by `cma-es`: one of two begins like the other,
    or they are spelled much alike. Empty where none is meant, or it is known."""
    import difflib  # only where something is wrong

    plain = {k.replace("-", ""): k for k in sorted(known)}
    if name in plain.values():
        return ""
    word = name.replace("-", "")
    for other, original in plain.items():
        if len(word) >= _BEGINNING and (other.startswith(word) or word.startswith(other)):
            return original
    return next((plain[found] for found in difflib.get_close_matches(word, plain, n=1)), "")


def advice(name: str, known: Iterable[str]) -> str:
    """What to do where no service has that name."""
    near = nearest(name, known)
    other = "start one under that name, or choose another (katib-cli list algorithms shows them)"
    return f"did you mean {near!r}? Else {other}" if near else other
