"""Models from a trial's program to the command line, over real processes."""

import json
import sys
from pathlib import Path

import pytest

from katib.domain.models import SavedModel
from tests.e2e.harness import World, finished, study, trials, until

pytestmark = pytest.mark.long

LEAVE = 'mkdir "$KATIB_MODEL_DIR" && echo "$x" >"$KATIB_MODEL_DIR/weights"; echo "acc=$x"'


def ask(running: World, *arguments: str) -> object:
    return json.loads(running.cli(*arguments, "-o", "json").stdout)


@pytest.fixture(scope="module")
def name(running: World) -> str:
    """A study that keeps the models of its two best trials, and has ended."""
    with running.client() as client:
        study_id = client.create_study(study("keeps", LEAVE, keep_models="best:2"))
        finished(client, study_id)

        def settled() -> bool | None:
            """The study's project comes first, then its models, of which two stay."""
            there = "keeps" in [s.name for s in client.saved_studies()]
            kept = {model.number for model in client.saved_models("keeps").items} if there else set()
            ranked = sorted(trials(client, study_id), key=lambda trial: -(trial.objective or 0))
            return kept == {trial.number for trial in ranked[:2]} or None

        until(settled)
    return "keeps"


def test_the_models_of_the_best_trials_are_there_and_no_others(running: World, name: str) -> None:
    listed = ask(running, "list-trials", name)
    assert isinstance(listed, list)
    best = sorted(listed, key=lambda trial: -trial["objective"])[:2]
    models = ask(running, "list-models", name)
    assert isinstance(models, list)
    assert {model["trial_id"] for model in models} == {trial["id"] for trial in best}
    for model in models:
        weights = Path(model["model_path"], "weights").read_text().strip()
        assert float(weights) == pytest.approx(model["objective"])
    runs = Path(models[0]["model_path"]).parents[1]
    assert len(list(runs.glob("*/model"))) == 2


def test_a_model_is_shown_by_the_trials_number_or_id(running: World, name: str) -> None:
    (model, _) = ask(running, "list-models", name)  # type: ignore[misc]
    for text in (str(model["number"]), model["trial_id"], model["trial_id"][:6]):
        assert model["model_path"] in running.cli("get", "model", name, text).stdout
    missing = running.cli("get-model", name, "nothing", check=False)
    assert missing.returncode == 3
    assert "see katib-cli list models" in missing.stderr


def test_a_trial_says_itself_where_its_model_is(running: World, name: str, tmp_path: Path) -> None:
    (_, model) = ask(running, "list-models", name)  # type: ignore[misc]
    file = tmp_path / "model.yaml"
    file.write_text(f"study_name: {name}\ntrial_id: {model['trial_id']}\nmodel_path: s3://mine\n")
    running.cli("push", "model", "-f", str(file))
    with running.client() as client:
        found = client.saved_model(name, model["trial_id"])
    assert (found.model_path, found.number, found.kept) == ("s3://mine", model["number"], False)


def test_a_trial_without_a_model_is_shown_with_both_ways_to_leave_one(running: World) -> None:
    with running.client() as client:
        finished(client, client.create_study(study("leaves none", limits={"max_trials": 1})))
        until(
            lambda: (
                "leaves none" in [s.name for s in client.saved_studies()] and client.saved_models("leaves none").items
            )
        )
    shown = running.cli("get", "model", "leaves none", "1").stdout
    assert "none: nothing was left in $KATIB_MODEL_DIR, nor reported by report_model" in shown


def test_a_program_says_where_it_has_left_its_model(running: World) -> None:
    told = f'{sys.executable} -c "import katib; katib.report_model(\'s3://models/$TRIAL_ID\')"; echo "acc=$x"'
    with running.client() as client:
        study_id = client.create_study(study("tells", told, limits={"max_trials": 2}))
        finished(client, study_id)
        ids = {trial.id for trial in trials(client, study_id)}
        # Its project comes first.
        until(lambda: "tells" in [s.name for s in client.saved_studies()])
        until(lambda: len(client.saved_models("tells").items) == 2)
        models = client.saved_models("tells").items
    assert {model.model_path for model in models} == {f"s3://models/{trial_id}" for trial_id in ids}


def test_models_from_elsewhere_have_a_study_of_their_own(running: World) -> None:
    running.cli("push-study", "elsewhere", "--owner", "me")
    with running.client() as client:
        client.save_model(SavedModel("elsewhere", "run 7", (), (("acc", "0.9"),), "/m"))
    assert "elsewhere" in running.cli("list-models").stdout
    assert "run 7" in running.cli("list-models", "elsewhere").stdout


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("study_name: a\n", "trial_id: expected a text"),
        ("study_name: a\ntrial_id: b\nmodel_path: c\nmetric: {}\n", "did you mean 'metrics'?"),
        ("study_name: a\ntrial_id: b\nmodel_path: c\nmetrics: 3\n", "expected 'key: value' on each line"),
        ("study_name: nowhere\ntrial_id: b\nmodel_path: c\n", "no study nowhere was saved"),
    ],
)
def test_a_model_file_that_says_something_wrong_is_refused(
    running: World, tmp_path: Path, text: str, says: str
) -> None:
    file = tmp_path / "model.yaml"
    file.write_text(text)
    done = running.cli("push-model", "-f", str(file), check=False)
    assert done.returncode != 0
    assert says in done.stderr


def test_a_word_that_is_no_policy_is_refused_at_its_line(running: World, tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(
        "name: s\nobjective: {name: acc, type: maximize}\nparameters: [{name: x, type: int, min: 1, max: 2}]\n"
        "algorithm: random\ncommand: [echo]\nkeep_models: best\n"
    )
    done = running.cli("create-study", "-f", str(file), check=False)
    assert ":6: keep_models: 'best': expected all, none, or best:K" in done.stderr
