"""An algorithm that a program names is looked for when it is named, not by a loop that waits ten minutes for a trial."""

import socket
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

import katib
from katib.api.client import ManagerClient
from katib.domain.errors import DeadlineExceededError, UnavailableError, UnimplementedError
from tests.e2e.harness import World, world


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("algorithms")) as it:
        it.suggestion("random")
        it.manager()
        yield it


def create(it: World, name: str, **changes: Any) -> katib.Study:
    return katib.create_study(name, {"x": katib.Double(0, 1)}, maximize="acc", server=it.address, **changes)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [None, {"Seed": 1}])
def test_a_name_that_nobody_knows_is_refused_with_the_nearest_and_no_study_is_created(
    it: World, settings: dict[str, object] | None
) -> None:
    with pytest.raises(
        katib.InvalidArgumentError, match=r"^algorithm: 'bayes': did you mean bayesianoptimization\?"
    ) as e:
        create(it, "unknown", algorithm="bayes", settings=settings)
    assert "the manager knows " in str(e.value)
    with it.client() as client:
        assert not client.list_studies(name="unknown").items


@pytest.mark.slow
def test_a_loop_that_asks_with_a_name_that_nobody_knows_is_refused_before_it_begins(it: World) -> None:
    study = create(it, "asked", algorithm="random", max_trials=1)
    with pytest.raises(katib.InvalidArgumentError, match="did you mean random"):
        study.trials(algorithm="randm")
    assert [trial.number for trial in study.trials(algorithm="random", limit=1) if not trial.report(acc=1)] == [1]


@pytest.mark.slow
def test_a_known_algorithm_that_is_away_is_accepted(it: World) -> None:
    assert create(it, "away", algorithm="tpe").state == "RUNNING"


def test_one_of_the_users_own_that_is_away_is_known_by_the_study_that_is_opened_again(
    it: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[Exception | None] = [None, UnavailableError("away"), UnavailableError("away")]

    def check_settings(*_arguments: object) -> None:
        answer = answers.pop(0)
        if answer is not None:
            raise answer

    monkeypatch.setattr(ManagerClient, "check_settings", check_settings)
    study = create(it, "own", algorithm="mine", exist_ok=True)
    assert create(it, "own", algorithm="mine", exist_ok=True).id == study.id
    with pytest.raises(katib.InvalidArgumentError, match=r"'mine': no service answers"):
        create(it, "own", algorithm="mine")


@pytest.mark.parametrize("error", [UnimplementedError("no such call"), DeadlineExceededError("busy")])
def test_one_that_says_nothing_of_settings_is_accepted_where_there_are_none(
    it: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def check_settings(*_arguments: object) -> None:
        raise error

    monkeypatch.setattr(ManagerClient, "check_settings", check_settings)
    assert create(it, f"silent {type(error).__name__}", algorithm="mine").state == "RUNNING"


@pytest.mark.long
def test_where_no_manager_answers_that_is_what_is_said() -> None:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"localhost:{probe.getsockname()[1]}"
        begin = time.monotonic()
        with pytest.raises(UnavailableError, match="cannot be reached"):
            katib.create_study("s", {"x": katib.Int(1, 2)}, maximize="acc", algorithm="bayes", server=address)
        assert time.monotonic() - begin < 10
