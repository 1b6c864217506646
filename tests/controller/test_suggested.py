"""What a suggestion service sends, before it becomes a trial."""

import pytest

from katib.domain.errors import InvalidArgumentError
from katib.domain.parameters import FeasibleSpace, Parameter, ParameterConfig, ParameterType
from katib.domain.search_space import SearchSpace
from katib.manager.suggested import checked_parameters

SPACE = SearchSpace.of(
    [
        ParameterConfig("lr", ParameterType.DOUBLE, FeasibleSpace("0", "1")),
        ParameterConfig("layers", ParameterType.INT, FeasibleSpace("1", "5")),
        ParameterConfig("width", ParameterType.DISCRETE, FeasibleSpace(list=("16", "32"))),
        ParameterConfig("kind", ParameterType.CATEGORICAL, FeasibleSpace(list=("1_0", " a"))),
    ]
)
GOOD = {"lr": "0.5", "layers": "3", "width": "32", "kind": "1_0"}


def sent(**changes: str) -> list[Parameter]:
    return [Parameter(d.name, d.type, {**GOOD, **changes}[d.name]) for d in SPACE]


@pytest.mark.parametrize("name", ["lr", "layers", "width"])
@pytest.mark.parametrize(
    "text", ["", "much", "1_6", " 16", "16\n", "\u0661\u0666", "16\u2028", "0x10", "nan", "inf", "1e999"]
)
def test_a_number_that_not_every_language_reads_is_refused_with_its_name(name: str, text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"{name}: "):
        checked_parameters(SPACE, sent(**{name: text}))


@pytest.mark.parametrize("text", ["1.5", "1e-1", "9" * 300, "9007199254740992"])
def test_a_value_of_an_int_that_is_no_whole_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"layers: .*expected a whole number"):
        checked_parameters(SPACE, sent(layers=text))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"lr": "1e-3"},
        {"lr": "+.5"},
        {"lr": "7"},
        {"layers": "3.0"},
        {"layers": "1e0"},
        {"layers": "-9"},
        {"kind": " a"},
    ],
)
def test_a_value_is_kept_as_it_was_written(changes: dict[str, str]) -> None:
    assert [p.value for p in checked_parameters(SPACE, sent(**changes))] == [*{**GOOD, **changes}.values()]
