"""Settings of algorithms and rules: each is described once, and from that description come its check, the sentence that a
refusal says, and the table in the documentation."""

import difflib
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar, cast

from katib.domain.errors import FieldViolation, InvalidArgumentError, violation
from katib.domain.metrics import parse_value
from katib.domain.study import MAX_COUNT, Setting

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,20}")
_SHOWN_NAMES: Final = 20


@dataclass(frozen=True, slots=True)
class Option(Generic[T_co]):
    """One setting that an algorithm or a rule knows.

    `parse` gives its value, or None when the text is none; `expected` says what would be one. `default` is the value without
    the setting; `default_text` says so in the documentation. `bounds`: of whole numbers, where `expected` does not mention a
    bound that no useful value comes near; said to whoever goes beyond it.
    """

    name: str
    meaning: str
    expected: str
    parse: Callable[[str], T_co | None]
    default: T_co
    default_text: str
    bounds: str = ""

    def refusal(self, name: str, text: str) -> str:
        """Of what `parse` takes for none, under the name by which it was given."""
        said = self.bounds if self.bounds and _WHOLE.fullmatch(text) and abs(int(text)) > MAX_COUNT else self.expected
        return f"expected {said} for {name}"


def whole(
    name: str, default: T, meaning: str, least: int | None = None, most: int = MAX_COUNT, default_text: str = ""
) -> "Option[int | T]":
    """A whole number from `least` to `most`."""

    def parse(text: str) -> int | None:
        if not _WHOLE.fullmatch(text):
            return None
        number = int(text)
        return number if (least is None or least <= number) and abs(number) <= most else None

    expected = "a whole number" if least is None else f"a whole number from {least} on"
    if most != MAX_COUNT:
        expected = f"a whole number from {least} to {most}"
    bounds = f"a whole number from {-most if least is None else least} to {most}" if most == MAX_COUNT else ""
    return Option(name, meaning, expected, parse, default, default_text or str(default), bounds)


def real(
    name: str,
    default: T,
    meaning: str,
    least: float = -math.inf,
    most: float = math.inf,
    above: float = -math.inf,
    default_text: str = "",
) -> "Option[float | T]":
    """A finite number from `least` to `most`, or more than `above` up to `most`."""

    def parse(text: str) -> float | None:
        number = parse_value(text)
        if number is None or not math.isfinite(number):
            return None
        return number if least <= number <= most and number > above else None

    bounds = [f"more than {above:g}"] if above > -math.inf else []
    if least > -math.inf:
        bounds.append(f"from {least:g} to {most:g}" if most < math.inf else f"from {least:g} on")
    elif most < math.inf:
        bounds.append(f"at most {most:g}")
    expected = f"a number {' and '.join(bounds)}".strip()
    return Option(name, meaning, expected, parse, default, default_text or str(default))


def choice(name: str, default: str, choices: Sequence[str], meaning: str) -> Option[str]:
    """One of some words."""
    expected = f"{', '.join(choices[:-1])} or {choices[-1]}"
    return Option(name, meaning, expected, lambda text: text if text in choices else None, default, default)


def words(name: str, default: tuple[str, ...], meaning: str, default_text: str = "") -> Option[tuple[str, ...]]:
    """Names, separated by commas or spaces, each once."""

    def parse(text: str) -> tuple[str, ...] | None:
        return tuple(dict.fromkeys(text.replace(",", " ").split())) or None

    return Option(name, meaning, "names separated by commas", parse, default, default_text or ",".join(default))


class Values:
    """What a study's settings say: `values[OPTION]` is the option's value, or its default."""

    def __init__(self, values: Mapping[str, object], of_parameters: Mapping[str, object]) -> None:
        self._values = values
        self._of_parameters = of_parameters

    def __getitem__(self, option: Option[T]) -> T:
        return cast(T, self._values.get(option.name, option.default))

    def of_parameter(self, name: str, option: Option[T]) -> T:
        """The value of the setting that bears a parameter's name; `option` is the table's `per_parameter`."""
        return cast(T, self._of_parameters.get(name, option.default))


@dataclass(frozen=True, slots=True)
class Options:
    """The settings table of an algorithm or a rule, `owner` by name.

    `per_parameter`, where there is one, stands for as many settings as the study has parameters, each under the parameter's
    name; where that is the name of a setting of its own, it is that one.
    """

    owner: str
    rows: tuple[Option[object], ...]
    per_parameter: Option[object] | None = None

    def read(self, settings: Sequence[Setting], path: str, parameters: Collection[str] = ()) -> Values:
        """Checks all settings, the last one of a name counts.

        `path` is that of the list of settings. Raises InvalidArgumentError with every violation found.
        """
        rows = {option.name: option for option in self.rows}
        known = dict.fromkeys(parameters, self.per_parameter) if self.per_parameter is not None else {}
        known |= rows
        found: list[FieldViolation] = []
        values: dict[str, object] = {}
        of_parameters: dict[str, object] = {}
        for i, (name, text) in enumerate((s.name, s.value) for s in settings):
            option = known.get(name)
            if option is None:
                found.append(violation(f"{path}[{i}].name", name, self._unknown(name, list(known))))
                continue
            value = option.parse(text)
            if value is None:
                found.append(violation(f"{path}[{i}].value", text, option.refusal(name, text)))
            (values if name in rows else of_parameters)[name] = value
        if found:
            raise InvalidArgumentError(found)
        return Values(values, of_parameters)

    def _unknown(self, name: str, known: list[str]) -> str:
        spelled = {k.lower(): k for k in known}
        near = difflib.get_close_matches(name.lower()[:100], spelled, n=1)
        hint = f"did you mean {spelled[near[0]]}? " if near else ""
        shown = ", ".join(known[:_SHOWN_NAMES]) + (", ..." if len(known) > _SHOWN_NAMES else "")
        return f"{hint}{self.owner} knows " + (f"the settings {shown}" if known else "no settings")
