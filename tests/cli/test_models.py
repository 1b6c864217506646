"""A saved model by what a user knows of its trial."""

import json

import pytest

from katib.domain.models import SavedModel
from tests.cli.conftest import Cli
from tests.cli.scripted import ScriptedManager, study, trial

A, B = "a" + "0" * 15, "b" + "0" * 15
GONE = "f" * 16


def id_of(number: int) -> str:
    return f"c{number:03x}{'0' * 12}"


def saved(trial_id: str, number: int, study_id: str = A) -> SavedModel:
    return SavedModel("digits", trial_id, (), (), f"/of/{trial_id}", study_id=study_id, number=number, kept=True)


@pytest.fixture
def kept(manager: ScriptedManager) -> ScriptedManager:
    """With a thousand models of a study, and some of one that is deleted."""
    manager.add(study(A, name="digits"))
    manager.trials = [trial(number, id=id_of(number)) for number in range(1, 1001)]
    manager.models = [saved(t.id, t.number) for t in manager.trials]
    manager.models += [saved(GONE, 2000, B), saved("e" * 16, 7, B)]
    return manager


def path(cli: Cli, *arguments: str) -> str:
    done = cli("get-model", *arguments, "-o", "json")
    assert done.code == 0, done.err
    return str(json.loads(done.out)["model_path"])


@pytest.mark.parametrize("text", ["7", id_of(7), id_of(7)[:6]], ids=["number", "id", "beginning"])
def test_one_model_is_asked_for_however_many_there_are(text: str, cli: Cli, kept: ScriptedManager) -> None:
    assert path(cli, "digits", text) == f"/of/{id_of(7)}"
    assert kept.models_given == 1


@pytest.mark.parametrize("text", ["2000", GONE, GONE[:15]], ids=["number", "id", "beginning"])
def test_a_model_of_a_study_that_is_deleted_is_found_as_well(text: str, cli: Cli, kept: ScriptedManager) -> None:
    kept.models.pop()
    assert path(cli, "digits", text) == f"/of/{GONE}"


def test_a_number_that_two_studies_of_a_name_have_is_no_ones_answer(cli: Cli, kept: ScriptedManager) -> None:
    kept.add(study(B, name="digits"))
    kept.trials.append(trial(7, id=GONE, study_id=B))
    kept.models.append(saved(GONE, 7, B))
    done = cli("get-model", "digits", "7")
    assert (done.code, done.out) == (2, "")
    assert done.err == f"Error: '7' may be each of these trials; give the id of one: {id_of(7)}, {GONE}\n"


def test_what_nobody_has_saved_is_said_to_be_that(cli: Cli, kept: ScriptedManager) -> None:
    for text in ("0", "1001", "99999999999999999999", "nothing"):
        done = cli("get-model", "digits", text)
        assert (done.code, done.out) == (3, "")
        assert "no model of a trial" in done.err
