"""What a program gives to `create_study`, and what is wrong with it in the program's own words.

Whether what is said makes sense is the domain's and the manager's to check. Here is what Python would let pass or stumble over,
and the way back from the fields of a request to the arguments.
"""

import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from katib.domain.asked import ALGORITHM_TAG
from katib.domain.checks import check_text
from katib.domain.errors import FieldViolation, InvalidArgumentError
from katib.domain.names import check_service_name
from katib.domain.parameters import ParameterConfig
from katib.domain.study import Limits, Objective, Setting, StudySpec
from katib.domain.study_checks import check_study
from katib.domain.study_file_values import parse_period
from katib.domain.trial import Tag
from katib.sdk.space import Range, configs_of, range_field

_PERIOD: Final = "expected a timedelta, a number of seconds, or a text such as '90s', '10m', '2h' or '1h30m'"
_METRIC: Final = "expected the name of one metric, such as 'accuracy'"
# The manager's paths begin with a field of the request.
_REQUEST: Final = ("study_config.", "configs.")
_FIELDS: Final = {
    "optimization_goal": "goal",
    "parameter_configs": "parameters",
    "parameter_configs.configs": "parameters",
    "suggestion_parameters": "settings",
    "suggest_algorithm": "algorithm",
    "early_stopping_parameters": "early_stopping_settings",
    "early_stopping_algorithm": "early_stopping",
}
_ENTRY: Final = re.compile(
    r"(parameter_configs\.configs|suggestion_parameters|early_stopping_parameters|tags)\[(\d+)\](.*)", re.DOTALL
)
_SHOWN_NAME: Final = 80
_MAX_CLIENT: Final = 128
_SERVER: Final = "expected HOST:PORT, unix:PATH, or several with commas between"
_HOST: Final = re.compile(r"([^\s:/\[\]]+|\[[^\s\[\]]+\]):[0-9]{1,5}")
# What gRPC knows beside: it says itself what is wrong with it.
_OTHER: Final = re.compile(r"unix:.+|(unix-abstract|dns|ipv4|ipv6|vsock|xds|passthrough):\S+")
_PORTS: Final = 2**16


def spec_of(
    name: str,
    parameters: Mapping[str, Range],
    *,
    maximize: str | None,
    minimize: str | None,
    goal: float | None,
    max_trials: int | None,
    max_failed_trials: int | None,
    max_duration: timedelta | float | str | None,
    algorithm: str,
    settings: Mapping[str, object] | None,
    early_stopping: str | None,
    early_stopping_settings: Mapping[str, object] | None,
    metrics: Sequence[str],
) -> StudySpec:
    """Raises InvalidArgumentError."""
    for argument, metric in (("maximize", maximize), ("minimize", minimize)):
        if metric is not None:
            text_of(argument, metric, _METRIC)
    if bool(maximize) == bool(minimize):
        raise InvalidArgumentError(
            "say either maximize='METRIC' or minimize='METRIC': what the study is to make better"
        )
    asked = check_service_name("algorithm", text_of("algorithm", algorithm, "expected the name of an algorithm"))
    spec = StudySpec(
        name=text_of("name", name, "expected a text, the name of the study"),
        objective_name=maximize or minimize or "",
        optimization=Objective.MAXIMIZE if maximize else Objective.MINIMIZE,
        parameters=configs_of(parameters),
        goal=_number("goal", goal),
        settings=_settings("settings", settings),
        early_stopping=_rule(early_stopping, early_stopping_settings),
        early_stopping_settings=_settings("early_stopping_settings", early_stopping_settings),
        metrics=_metrics(metrics),
        tags=(Tag(ALGORITHM_TAG, asked),),
        limits=Limits(
            max_trials=_whole("max_trials", max_trials),
            max_failed_trials=_whole("max_failed_trials", max_failed_trials),
            max_duration=_period("max_duration", max_duration),
        ),
    )
    try:
        check_study(spec)
    except InvalidArgumentError as error:
        raise as_written(error, spec) from None
    return spec


def check_loop(limit: object, client: object, patience: object, algorithm: object) -> None:
    """What `Study.trials` and `Study.run` are given. Raises InvalidArgumentError."""
    most = _whole("limit", limit, "expected a whole number of trials")
    if most is not None and most < 0:
        raise InvalidArgumentError.of("limit", limit, "expected 0 or more trials, or None for no limit")
    name = text_of("client", client, "expected a text, the name of this program")
    if found := check_text("client", name, _MAX_CLIENT):
        raise InvalidArgumentError(found)
    if asked := text_of("algorithm", algorithm, "expected the name of an algorithm"):
        check_service_name("algorithm", asked)
    check_patience(patience)


def check_patience(patience: object) -> None:
    """Raises InvalidArgumentError."""
    seconds = _number("patience", patience)
    if seconds is None or not seconds >= 0:
        raise InvalidArgumentError.of("patience", patience, "expected seconds, 0 or more")


def check_server(argument: str, value: object) -> str:
    """Raises InvalidArgumentError for what can be no manager's address."""
    text = text_of(argument, value, _SERVER)
    for part in text.split(","):
        address = part.strip()
        port = address.rpartition(":")[2]
        if not address.isprintable() or not (
            _OTHER.fullmatch(address) or (_HOST.fullmatch(address) and 0 < int(port) < _PORTS)
        ):
            raise InvalidArgumentError.of(argument, text, _SERVER)
    return text


def as_written(error: InvalidArgumentError, spec: StudySpec) -> InvalidArgumentError:
    """The same about the arguments of `spec_of`."""
    if not error.violations:
        return error
    return InvalidArgumentError(replace(v, field=_argument(v, spec)) for v in error.violations)


def _argument(violation: FieldViolation, spec: StudySpec) -> str:
    field = violation.field
    for start in _REQUEST:
        field = field.removeprefix(start)
    if field == "objective_value_name":
        return "maximize" if spec.optimization is Objective.MAXIMIZE else "minimize"
    entry = _ENTRY.fullmatch(field)
    if entry is None:
        return _FIELDS.get(field, field)
    what, index, rest = entry[1], int(entry[2]), entry[3]
    if what == "tags":
        return "algorithm"
    named: Sequence[Setting | ParameterConfig] = spec.parameters
    if what != "parameter_configs.configs":
        named = spec.settings if what == "suggestion_parameters" else spec.early_stopping_settings
    if index >= len(named):
        return _FIELDS[what]
    return range_field(f"{_FIELDS[what]}[{named[index].name[:_SHOWN_NAME]!r}]", rest)


def text_of(argument: str, value: object, expected: str) -> str:
    if not isinstance(value, str):
        raise InvalidArgumentError.of(argument, value, expected)
    return value


def _number(argument: str, value: object) -> float | None:
    if value is None:
        return None
    try:
        if not isinstance(value, str):
            return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        pass
    raise InvalidArgumentError.of(argument, value, f"expected a number{_no_text(value)}")


def _whole(argument: str, value: object, expected: str = "expected a whole number from 1 on") -> int | None:
    if value is None:
        return None
    try:
        if not isinstance(value, bool):
            return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        pass
    raise InvalidArgumentError.of(argument, value, f"{expected}{_no_text(value)}")


def _no_text(value: object) -> str:
    """A refusal shows the text '5' as it shows the number."""
    return ", not a text" if isinstance(value, str) else ""


def _period(argument: str, value: timedelta | float | str | None) -> timedelta | None:
    if value is None or isinstance(value, timedelta):
        return value
    try:
        if isinstance(value, str):
            return parse_period(value)
        if not isinstance(value, bool):
            return timedelta(seconds=float(value))
    except (TypeError, ValueError, OverflowError):
        pass
    raise InvalidArgumentError.of(argument, value, _PERIOD)


def _settings(argument: str, value: Mapping[str, object] | None) -> tuple[Setting, ...]:
    if value is None:
        return ()
    if not isinstance(value, Mapping):
        raise InvalidArgumentError.of(argument, value, "expected a mapping from names to values, such as {'Seed': 1}")
    return tuple(Setting(text_of(argument, key, "expected a text for each name"), str(v)) for key, v in value.items())


def _rule(name: str | None, settings: Mapping[str, object] | None) -> str:
    if name is not None:
        text_of("early_stopping", name, "expected the name of an early-stopping rule, such as 'medianstopping'")
    if settings and not name:
        raise InvalidArgumentError.of(
            "early_stopping_settings", settings, "expected none without early_stopping, which names the rule"
        )
    return name or ""


def _metrics(value: Sequence[str]) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise InvalidArgumentError.of("metrics", value, "expected a list of names, such as ['loss']")
    return tuple(text_of(f"metrics[{i}]", name, "expected the name of a metric") for i, name in enumerate(value))
