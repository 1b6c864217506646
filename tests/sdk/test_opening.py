"""How long a program waits for a manager that is away while it creates or opens its study."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

import katib
from katib.api.client import ManagerClient
from katib.domain.errors import InvalidArgumentError, UnavailableError
from katib.sdk import patience, study
from tests.e2e.harness import World, world

AWAY = "the database mysql://db/katib cannot be reached; start it, or correct the address in --database"


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("opening")) as it:
        it.suggestion("random")
        it.manager()
        yield it


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many calls of each name fail yet, as those of a manager do whose database is away. Who looks at the screen waits for
    none of them."""
    left: dict[str, int] = {}

    def fails(name: str) -> None:
        call = getattr(ManagerClient, name)

        def called(self: ManagerClient, *arguments: Any, **named: Any) -> Any:
            if left.get(name, 0) > 0:
                left[name] -= 1
                raise UnavailableError(AWAY)
            return call(self, *arguments, **named)

        monkeypatch.setattr(ManagerClient, name, called)

    for name in ("create_study", "list_studies", "check_settings", "list_algorithms", "get_study", "list_trials"):
        fails(name)
    monkeypatch.setattr(study, "OPEN_S", 0.0)
    monkeypatch.setattr(patience, "pause_s", lambda _tried: 0.001)
    return left


def create(it: World, name: str, **changes: Any) -> katib.Study:
    arguments = {"algorithm": "random", "max_trials": 1, **changes}
    return katib.create_study(name, {"x": katib.Double(0, 1)}, maximize="acc", server=it.address, **arguments)


def test_programs_that_share_a_study_wait_for_the_manager_as_long_as_their_loops_do(
    it: World, failing: dict[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "katib")
    failing["create_study"] = 5
    created = create(it, "shared", exist_ok=True)
    failing["create_study"] = 5
    assert create(it, "shared", exist_ok=True).id == created.id
    said = [record.getMessage() for record in caplog.records]
    assert f"creating study shared: {AWAY}; trying again for up to 600 s" in said
    assert "creating study shared: the manager answers again" in said


def test_who_creates_a_study_of_their_own_hears_at_once_that_the_manager_is_away(
    it: World, failing: dict[str, int]
) -> None:
    failing["create_study"] = 1
    with pytest.raises(UnavailableError, match="cannot be reached; start it"):
        create(it, "own")
    assert create(it, "own").state == "RUNNING"


def test_how_long_it_may_be_away_can_be_said(it: World, failing: dict[str, int]) -> None:
    failing["create_study"] = 1
    with pytest.raises(UnavailableError):
        create(it, "said", exist_ok=True, patience=0)
    failing["create_study"] = 3
    made = create(it, "said", patience=60)
    for which in ("said", made.id):
        failing |= {"list_studies": 3, "get_study": 3}
        assert katib.open_study(which, patience=60, server=it.address).id == made.id
    failing["list_studies"] = 1
    with pytest.raises(UnavailableError):
        katib.open_study("said", patience=0, server=it.address)


def test_what_a_study_is_asked_for_after_its_loop_is_waited_for_as_it_was(it: World, failing: dict[str, int]) -> None:
    patient = create(it, "after", exist_ok=True)
    patient.run(lambda trial: trial["x"])
    failing |= {"get_study": 3, "list_trials": 3}
    assert patient.best_trial is not None
    failing["get_study"] = 3
    assert len(patient.results()) == 1
    hasty = katib.open_study("after", patience=0, server=it.address)
    failing |= {"get_study": 1, "list_trials": 1}
    with pytest.raises(UnavailableError):
        hasty.results()
    with pytest.raises(UnavailableError):
        _ = hasty.best_trial


@pytest.mark.long
def test_an_algorithm_that_nobody_knows_is_refused_once_the_manager_is_back(it: World, failing: dict[str, int]) -> None:
    failing |= {"check_settings": 3, "list_algorithms": 3, "create_study": 3, "list_studies": 1}
    with pytest.raises(InvalidArgumentError, match=r"algorithm: 'randm': did you mean random\?"):
        create(it, "unknown", algorithm="randm", exist_ok=True)


@pytest.mark.parametrize("given", [-1, float("nan"), "long"])
def test_a_patience_that_is_none_is_refused(it: World, given: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^patience: "):
        create(it, "impatient", patience=given)
    with pytest.raises(InvalidArgumentError, match=r"^patience: "):
        katib.open_study("impatient", patience=given, server=it.address)
