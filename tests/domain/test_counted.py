"""Numbers of things, in sentences."""

import pytest

from katib.domain.counted import counted


@pytest.mark.parametrize(
    ("words", "one", "many"),
    [
        (("trial",), "1 trial", "0 trials"),
        (("trial", "have"), "1 trial has", "0 trials have"),
        (("trial", "run", "still"), "1 trial still runs", "0 trials still run"),
    ],
)
def test_one_thing_is_told_as_one(words: tuple[str, ...], one: str, many: str) -> None:
    assert (counted(1, *words), counted(0, *words)) == (one, many)
