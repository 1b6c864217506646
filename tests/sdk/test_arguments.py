"""What `create_study` refuses is named as the program wrote it, before anything is asked of a manager or there is a study."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

import katib
from katib.domain.errors import InvalidArgumentError, UnavailableError, violation
from katib.domain.study import Setting
from katib.sdk.arguments import as_written, spec_of
from tests.e2e.harness import World, world


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("arguments")) as it:
        it.suggestion("random")
        it.manager()
        yield it


def create(**changes: Any) -> katib.Study:
    """Where no manager is: what is refused here was not sent to one."""
    arguments = {"name": "s", "parameters": {"x": katib.Double(0, 1)}, "maximize": "acc", **changes}
    return katib.create_study(**arguments, server="unix:/nowhere/at/all")


def spec(**changes: Any) -> Any:
    rest = dict.fromkeys(("minimize", "goal", "max_trials", "max_failed_trials", "max_duration", "settings"))
    rest |= {"early_stopping": "", "early_stopping_settings": None, "metrics": ()}
    arguments = {"parameters": {"x": katib.Double(0, 1)}, "maximize": "acc", "algorithm": "random", **rest, **changes}
    return spec_of("s", **arguments)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda: katib.Double(1, 0), "Double.min: '1.0': expected at most max, which is 0.0"),
        (lambda: katib.Double(0, 1, log=True), "Double.min: '0.0': expected more than 0 on a log scale"),
        (lambda: katib.Double(0, 1, step=0), "Double.step: '0': expected more than 0"),
        (lambda: katib.Double(0, "much"), "Double.max: 'much': expected a number"),  # type: ignore[arg-type]
        (lambda: katib.Double(None, 1), "Double.min: 'None': expected a number"),  # type: ignore[arg-type]
        (lambda: katib.Double(0, 10**400), "Double.max: '1000.*': expected a number"),
        (lambda: katib.Int(1.5, 3), "Int.min: '1.5': expected a whole number"),  # type: ignore[arg-type]
        (lambda: katib.Int(1, 9, step="a"), "Int.step: 'a': expected a number"),  # type: ignore[arg-type]
        (lambda: katib.Discrete(), "Discrete.values: expected at least one value"),
        (lambda: katib.Discrete(1, 1.0), r"Discrete.values\[1\]: '1.0': expected each value once"),
        (lambda: katib.Discrete([16, 32]), "each by itself as in katib.Discrete"),  # type: ignore[arg-type]
        (lambda: katib.Categorical(), "Categorical.values: expected at least one value"),
        (lambda: katib.Categorical("a", "a"), r"Categorical.values\[1\]: 'a': expected each value once"),
        (lambda: katib.Categorical(["a", "b"]), "expected each text by itself"),  # type: ignore[arg-type]
    ],
)
def test_a_range_that_is_none_is_refused_where_it_is_written(write: Callable[[], object], said: str) -> None:
    with pytest.raises(InvalidArgumentError, match=said):
        write()


@pytest.mark.parametrize(
    ("values", "instead"),
    [
        ((True, False), r"write katib.Categorical\('true', 'false'\)"),
        ((1, 2), r"write katib.Discrete\(1, 2\) or katib.Categorical\('1', '2'\)"),
        ((None, "a"), r"write katib.Categorical\('none', 'a'\)"),
        (("a", 2), r"values\[1\]: '2': expected a text: write katib.Categorical\('a', '2'\)"),
        (tuple(range(1000)), r"katib.Discrete\(0, 1, 2, 3, 4, \.\.\.\)"),
    ],
)
def test_what_would_become_a_text_in_silence_is_refused_with_what_to_write(values: Any, instead: str) -> None:
    with pytest.raises(InvalidArgumentError, match=instead):
        katib.Categorical(*values)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": 5}, "name: '5': expected a text"),
        ({"name": ""}, "name: expected a name for the study"),
        ({"maximize": ["a", "b"]}, "maximize: .*expected the name of one metric"),
        ({"maximize": "a b"}, "maximize: 'a b': expected printable"),
        ({"maximize": None, "minimize": "a b"}, "minimize: 'a b': expected printable"),
        ({"maximize": None}, "either maximize"),
        ({"minimize": "loss"}, "either maximize"),
        ({"goal": "0.9"}, "goal: '0.9': expected a number, not a text"),
        ({"goal": float("nan")}, "goal: 'nan': expected a number"),
        ({"max_trials": "5"}, "max_trials: '5': expected a whole number from 1 on, not a text"),
        ({"max_trials": 2.5}, "max_trials: '2.5': expected a whole number"),
        ({"max_trials": 0}, "max_trials: '0': expected a whole number"),
        ({"max_failed_trials": True}, "max_failed_trials: 'True': expected a whole number"),
        ({"max_duration": "10 minutes"}, "max_duration: '10 minutes': expected a timedelta, a number of seconds"),
        ({"max_duration": float("nan")}, "max_duration: 'nan': expected a timedelta"),
        ({"max_duration": [10]}, r"max_duration: '\[10\]': expected a timedelta"),
        ({"max_duration": -1}, "max_duration: '-1s': expected more than 0"),
        ({"parameters": [katib.Double(0, 1)]}, r"parameters: '\[Double\(0.0, 1.0\)\]': expected a mapping"),
        ({"parameters": {}}, "parameters: expected at least one parameter"),
        ({"parameters": {"lr": 0.5}}, r"parameters\['lr'\]: '0.5': expected katib.Double"),
        ({"parameters": {"lr": katib.Double}}, r"parameters\['lr'\]: .*expected katib.Double"),
        ({"parameters": {5: katib.Double(0, 1)}}, "parameters: '5': expected a text for each"),
        ({"parameters": {"l r": katib.Double(0, 1)}}, r"parameters\['l r'\]: 'l r': expected printable"),
        ({"algorithm": None}, "algorithm: 'None': expected the name of an algorithm"),
        ({"algorithm": "Bayes Opt"}, "algorithm: 'Bayes Opt': expected lower-case"),
        ({"settings": ["Seed"]}, "settings: .*expected a mapping"),
        ({"settings": {1: 1}}, "settings: '1': expected a text for each name"),
        ({"settings": {"Seed": "a\n"}}, r"settings\['Seed'\]: .*expected printable"),
    ],
)
def test_an_argument_that_is_wrong_is_named_with_its_value_and_what_is_expected(
    changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^{said}" if ":" in said else said):
        create(**changes)


def test_a_server_and_a_study_that_are_no_texts_are_refused() -> None:
    with pytest.raises(InvalidArgumentError, match=r"^server: '5'"):
        katib.create_study("s", {"x": katib.Int(1, 2)}, maximize="acc", server=5)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match=r"^study: '5'"):
        katib.open_study(5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "argument"),
    [
        ("study_config.parameter_configs.configs[0].feasible.min", "parameters['x'].min"),
        ("study_config.parameter_configs.configs[0].feasible.list[3]", "parameters['x'].values[3]"),
        ("study_config.parameter_configs.configs[0].feasible.scale", "parameters['x'].log"),
        ("study_config.parameter_configs.configs[0].name", "parameters['x']"),
        ("study_config.parameter_configs.configs[9].name", "parameters"),
        ("parameter_configs.configs", "parameters"),
        ("study_config.suggestion_parameters[1].name", "settings['b']"),
        ("suggestion_parameters[0].value", "settings['a']"),
        ("configs.max_duration", "max_duration"),
        ("study_config.early_stopping_parameters[0].value", "early_stopping_settings['c']"),
        ("study_config.tags[0].value", "algorithm"),
        ("suggest_algorithm", "algorithm"),
        ("study_config.optimization_goal", "goal"),
        ("study_config.objective_value_name", "maximize"),
        # Not from an argument: as it came.
        ("study_config.owner", "owner"),
    ],
)
def test_a_field_of_the_request_is_told_as_the_argument_that_it_came_from(field: str, argument: str) -> None:
    known = replace(
        spec(), settings=(Setting("a", "1"), Setting("b", "2")), early_stopping_settings=(Setting("c", "3"),)
    )
    (found,) = as_written(InvalidArgumentError([violation(field, "1", "expected 2")]), known).violations
    assert (found.field, found.value, found.expected) == (argument, "1", "expected 2")


def test_a_sentence_without_a_field_stays_as_it_is() -> None:
    error = InvalidArgumentError("there are too many")
    assert as_written(error, spec()) is error


@pytest.mark.parametrize("period", [timedelta(minutes=90), 5400, 5400.0, "90m", "1h30m", "5400"])
def test_a_duration_may_be_written_as_a_period_as_seconds_or_as_a_text(period: object) -> None:
    assert spec(max_duration=period).limits.max_duration == timedelta(minutes=90)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"limit": "5"}, "limit: '5': expected a whole number of trials, not a text"),
        ({"limit": 2.5}, "limit: '2.5': expected a whole number"),
        ({"limit": -1}, "limit: '-1': expected 0 or more trials"),
        ({"client": 5}, "client: '5': expected a text"),
        ({"client": "\udc80"}, r"client: '\\\\udc80': expected printable characters only"),
        ({"client": "x" * 129}, "client: 'x+...': expected at most 128 characters, got 129"),
        ({"lease": "10m"}, "lease: '10m': expected a number of seconds"),
        ({"patience": "a"}, "patience: 'a': expected a number"),
        ({"patience": -1}, "patience: '-1': expected seconds, 0 or more"),
        ({"algorithm": 5}, "algorithm: '5': expected the name"),
        ({"algorithm": "\udc80"}, r"algorithm: '\\\\udc80': expected lower-case letters"),
    ],
)
def test_an_argument_of_a_loop_that_is_wrong_is_named_before_a_trial_begins(
    it: World, changes: dict[str, Any], said: str
) -> None:
    parameters = {"x": katib.Int(1, 2)}
    study = katib.create_study("loop", parameters, maximize="acc", algorithm="random", exist_ok=True, server=it.address)
    with pytest.raises(InvalidArgumentError, match=f"^{said}"):
        study.trials(**changes)
    with pytest.raises(InvalidArgumentError, match=f"^{said}"):
        study.run(lambda _trial: 0.5, **changes)
    with pytest.raises(InvalidArgumentError, match=r"^body: '0.5': expected a function"):
        study.run(0.5)  # type: ignore[arg-type]
    assert study.results() == []


@pytest.mark.parametrize(
    "server",
    ["bad host", "bad", "a:1,b c:2", "localhost:99999", "localhost:0", ":6789", "http://a:1", ",", "a\udc80:1", 5],
)
def test_a_server_that_is_no_address_is_named_before_anything_is_asked(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^server: '.*': expected HOST:PORT, unix:PATH, or several"):
        katib.open_study("s", server=server)
    if isinstance(server, str) and server.isascii():
        monkeypatch.setenv("KATIB_SERVER", server)
        with pytest.raises(InvalidArgumentError, match=r"^KATIB_SERVER: '.*': expected HOST:PORT"):
            katib.create_study("s", {"x": katib.Double(0, 1)}, maximize="acc")


@pytest.mark.long
@pytest.mark.parametrize("server", ["localhost:1", "[::1]:1", "unix:/no where", "a.invalid:1, b.invalid:2"])
def test_a_server_where_none_is_is_an_address_all_the_same(server: str) -> None:
    with pytest.raises(UnavailableError):
        katib.open_study("s", server=server)


def test_what_a_service_refuses_is_told_as_the_setting_that_was_written(it: World) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^settings\['seed'\]: 'seed': did you mean Seed\?") as raised:
        katib.create_study(
            "s", {"x": katib.Int(1, 2)}, maximize="acc", algorithm="random", settings={"seed": 1}, server=it.address
        )
    assert [v.field for v in raised.value.violations] == ["settings['seed']"]


def test_a_range_shows_itself_as_it_is_written() -> None:
    ranges = [
        katib.Double(0.5, 1, log=True),
        katib.Int(1, 9, step=2),
        katib.Discrete(16, 0.5),
        katib.Categorical("a", "b"),
    ]
    assert [repr(range_) for range_ in ranges] == [
        "Double(0.5, 1.0, log=True)",
        "Int(1, 9, step=2)",
        "Discrete(16, 0.5)",
        "Categorical('a', 'b')",
    ]
