"""What a trial in the hands of a program is given that it cannot use: named, with what would do."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import katib
from katib.domain.errors import InvalidArgumentError
from katib.domain.trial import TrialReason
from tests.e2e.harness import World, world


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("given")) as it:
        it.suggestion("random")
        it.manager()
        yield it


@pytest.fixture
def trial(it: World) -> Iterator[katib.Trial]:
    arguments: Any = {"maximize": "acc", "algorithm": "random", "exist_ok": True, "server": it.address}
    study = katib.create_study("given", {"x": katib.Double(0, 1)}, **arguments)
    for trial in study.trials(limit=1):
        yield trial
        trial.report(acc=0.5)


class Unprintable:
    def __repr__(self) -> str:
        raise ValueError("no text")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda t: t.report(0.93), r"metrics: '0.93': expected names with values, as in report\(accuracy=0.93\)"),
        (lambda t: t.report([("acc", 1)]), r"metrics: .*: expected names with values"),
        (lambda t: t.report(np.array([1.0, 2.0])), r"metrics: 'array\(.*': expected names with values"),
        (lambda t: t.report(Unprintable()), "metrics: 'a Unprintable': expected names"),
        (lambda t: t.report({3: 1.0}), "metric: '3': expected a text, the name of a metric"),
        (lambda t: t.report({None: 1.0}), "metric: 'None': expected a text"),
        (lambda t: t.report({"a b": 1.0}), "metric: 'a b': expected printable characters without spaces"),
        (lambda t: t.report({"\udc80": 1.0}), r"metric: '\\\\udc80': expected printable"),
        (lambda t: t.report(acc=10**400), "acc: '1000.*': expected a number"),
        (lambda t: t.report(acc=10**9999), "acc: 'a int': expected a number"),
        (lambda t: t.report(acc=np.array([1.0, 2.0])), r"acc: 'array\(.*': expected a number"),
        (lambda t: t.report(acc=Unprintable()), "acc: 'a Unprintable': expected a number"),
        (lambda t: t.report(acc=1, step=np.array([1, 2])), r"step: 'array\(.*': expected a whole number"),
        (lambda t: t.report_model(3), "path: '3': expected a text or a path object"),
        (lambda t: t.report_model(None), "path: 'None': expected a text or a path"),
        (lambda t: t.report_model(b"/x"), "path: \"b'/x'\": expected a text or a path"),
        (lambda t: t.report_model("\udc80"), r"path: '\\\\udc80': expected printable"),
    ],
)
def test_it_is_named_with_its_value_and_what_is_expected(
    trial: katib.Trial, call: Callable[[katib.Trial], None], said: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^{said}"):
        call(trial)


def test_what_can_be_used_is(trial: katib.Trial) -> None:
    trial.report({"loss": np.float32(0.5)}, step=np.int64(3), acc=True)
    trial.report_model(Path("/x"))


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
        (KeyboardInterrupt(), "KeyboardInterrupt: "),
        (UnprintableError(), "UnprintableError"),
        ("broken", "broken"),
        (3, "3"),
        (None, "failed"),
        ("", "failed"),
    ],
)
def test_a_trial_fails_with_an_exception_a_text_or_whatever_has_one(it: World, error: object, said: str) -> None:
    study = katib.create_study(
        "fails", {"x": katib.Double(0, 1)}, maximize="acc", algorithm="random", server=it.address
    )
    for trial in study.trials(limit=1):
        trial.fail(error)
    (result,) = study.results()
    assert (result.state, result.reason, result.message) == ("ERROR", TrialReason.FAILED_AT_CLIENT, said)
