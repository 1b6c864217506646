"""Tables of settings: what they accept, what a refusal says, and what they give."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from katib.domain.errors import InvalidArgumentError
from katib.domain.settings import Options, Values, choice, real, whole, words
from katib.domain.study import Setting

NUM = whole("Num", 3, "How many.", least=1)
ANY = whole("Any", None, "Any number.", default_text="none")
SEED = whole("Seed", 0, "A seed.", least=0, most=2**63 - 1)
NOISE = real("noise", 5e-5, "Noise.", above=0.0)
SHARE = real("share", 0.5, "A share.", least=0.0, most=1.0)
KERNEL = choice("kernel_type", "rbf", ("rbf", "matern", "linear"), "The kernel.")
NAMES = words("Names", (), "Some names.", default_text="all")
POINTS = whole("a parameter's name", None, "Points.", least=1, default_text="all")
TABLE = Options("some", (NUM, ANY, SEED, NOISE, SHARE, KERNEL, NAMES))
PER_PARAMETER = Options("some", (NUM,), per_parameter=POINTS)


def read(*settings: tuple[str, str], table: Options = TABLE, parameters: tuple[str, ...] = ()) -> Values:
    return table.read([Setting(name, value) for name, value in settings], "at", parameters)


def refusal(name: str, value: str, table: Options = TABLE) -> str:
    with pytest.raises(InvalidArgumentError) as caught:
        read((name, value), table=table)
    return str(caught.value)


def test_a_setting_that_is_not_there_has_its_default() -> None:
    values = read()

    assert (values[NUM], values[ANY], values[NOISE], values[KERNEL], values[NAMES]) == (3, None, 5e-5, "rbf", ())


def test_values_are_of_the_option_s_type() -> None:
    values = read(("Num", "+7"), ("Any", "-2"), ("noise", "1e-3"), ("kernel_type", "matern"), ("Names", " a, b c,a "))

    assert (values[NUM], values[ANY], values[NOISE]) == (7, -2, 0.001)
    assert (values[KERNEL], values[NAMES]) == ("matern", ("a", "b", "c"))


def test_the_last_setting_of_a_name_counts_and_all_are_checked() -> None:
    assert read(("Num", "1"), ("Num", "2"))[NUM] == 2
    with pytest.raises(InvalidArgumentError):
        read(("Num", "x"), ("Num", "2"))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("Num", "0", "at[0].value: '0': expected a whole number from 1 on for Num"),
        ("Num", "2147483648", "expected a whole number from 1 to 2147483647 for Num"),
        ("Any", "-2147483648", "expected a whole number from -2147483647 to 2147483647 for Any"),
        ("Any", "1.0", "expected a whole number for Any"),
        ("Seed", "9223372036854775808", "expected a whole number from 0 to 9223372036854775807 for Seed"),
        ("noise", "0", "expected a number more than 0 for noise"),
        ("noise", "nan", "expected a number more than 0 for noise"),
        ("noise", "inf", "expected a number more than 0 for noise"),
        ("share", "1.01", "expected a number from 0 to 1 for share"),
        ("kernel_type", "RBF", "expected rbf, matern or linear for kernel_type"),
        ("Names", " , ", "expected names separated by commas for Names"),
        ("num", "3", "at[0].name: 'num': did you mean Num? some knows the settings Num, Any,"),
        ("kernel-type", "rbf", "did you mean kernel_type?"),
        ("", "rbf", "some knows the settings"),
    ],
)
def test_a_refusal_names_the_setting_and_what_is_allowed(name: str, value: str, message: str) -> None:
    assert message in refusal(name, value)


def test_every_violation_is_found() -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        read(("Num", "0"), ("Any", "1"), ("nothing", "1"), ("noise", "x"))

    assert [v.field for v in caught.value.violations] == ["at[0].value", "at[2].name", "at[3].value"]


def test_a_table_without_settings_says_so() -> None:
    assert "some knows no settings" in refusal("x", "1", table=Options("some", ()))


def test_a_long_table_is_not_listed_to_its_end() -> None:
    names = tuple(f"p{i}" for i in range(200))

    with pytest.raises(InvalidArgumentError) as caught:
        read(("q", "1"), table=PER_PARAMETER, parameters=names)

    assert str(caught.value).endswith("p18, p19, ...")


def test_a_setting_may_bear_the_name_of_a_parameter() -> None:
    values = read(("lr", "4"), ("Num", "2"), table=PER_PARAMETER, parameters=("lr", "Num", "x"))

    assert values.of_parameter("lr", POINTS) == 4
    assert values.of_parameter("x", POINTS) is None
    assert values.of_parameter("Num", POINTS) is None
    assert values[NUM] == 2


def test_parameters_are_no_settings_of_a_table_that_does_not_say_so() -> None:
    with pytest.raises(InvalidArgumentError):
        read(("lr", "4"), parameters=("lr",))


def test_the_rows_are_what_the_documentation_shows() -> None:
    assert [(r.name, r.expected, r.default_text) for r in TABLE.rows] == [
        ("Num", "a whole number from 1 on", "3"),
        ("Any", "a whole number", "none"),
        ("Seed", "a whole number from 0 to 9223372036854775807", "0"),
        ("noise", "a number more than 0", "5e-05"),
        ("share", "a number from 0 to 1", "0.5"),
        ("kernel_type", "rbf, matern or linear", "rbf"),
        ("Names", "names separated by commas", "all"),
    ]


@given(st.text(max_size=30), st.text(max_size=30))
def test_whatever_text_comes_is_a_value_or_a_refusal(name: str, text: str) -> None:
    for known in (name, *(row.name for row in TABLE.rows)):
        try:
            values = read((known, text))
        except InvalidArgumentError:
            continue
        assert values[NUM] >= 1
        assert math.isfinite(values[NOISE])
