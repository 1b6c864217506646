"""Databases that earlier versions have filled: released/ holds what was written under each schema."""

import math
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from katib.domain.study import StudyState
from katib.domain.trial import TrialAttempt
from katib.manager.modelstore.open import open_model_store
from katib.manager.ports import StudyFilter
from katib.manager.storage.open import open_storage
from katib.manager.storage.sql.engine import parse_url
from katib.manager.storage.sql.upgrading import migrations
from tests.storage.builders import (
    COMPLETED,
    NOW,
    PENDING,
    RUNNING,
    add,
    go,
    later,
    make_spec,
    make_study,
    new_trials,
    recount,
    running,
)
from tests.storage.execute import execute

RELEASED = sorted(Path(__file__).with_name("released").glob("*.sql"))
REVISIONS = sorted(script.revision for script in ScriptDirectory.from_config(migrations()).walk_revisions())


def fill(url, released):
    """A database as that version left it."""
    engine = create_engine(parse_url(url))
    with engine.connect() as connection:
        command.upgrade(migrations(connection), released.stem)
        connection.commit()
    engine.dispose()
    lines = released.read_text().splitlines()
    execute(url, *(line for line in lines if not line.startswith("--")))


def test_every_schema_but_the_newest_has_what_was_written_under_it():
    assert [path.stem for path in RELEASED] == REVISIONS[:-1]


def test_an_upgrade_logs_its_steps_and_nothing_else(tmp_path):
    """By a process of its own, as Alembic logs while it is imported too."""
    url = f"sqlite:///{tmp_path}/old.db"
    fill(url, RELEASED[0])
    (tmp_path / "old.db").chmod(0o600)
    code = (
        "import logging, sys; from katib.manager.storage.open import open_storage; logging.basicConfig(level='INFO', "
    )
    code += "format='%(message)s', stream=sys.stdout); open_storage(sys.argv[1]).close()"
    done = subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, timeout=60, check=True)
    steps = [line for line in done.stdout.splitlines() if line.startswith("Running upgrade ")]
    assert len(steps) == len(RELEASED)
    assert done.stdout.splitlines() == steps


@pytest.mark.long
def test_trials_that_an_older_manager_adds_beside_this_one_are_nobody_s(empty_url):
    with closing(open_storage(empty_url)) as storage:
        study = storage.create_study(make_study(spec=make_spec(algorithm="")))
        storage.add_trials(study.id, 0, new_trials(2, algorithm="grid"), NOW)
        assert storage.get_study(study.id).suggested_by("grid")
        # It knows nothing of who suggests, and leaves that column as it is.
        execute(empty_url, "UPDATE studies SET suggested = suggested + 1, revision = revision + 1")
        assert not storage.get_study(study.id).suggested_by("grid")
        storage.add_trials(study.id, 3, new_trials(1, algorithm="grid"), NOW)
        assert storage.get_study(study.id).suggester == ""


@pytest.fixture(params=RELEASED, ids=lambda path: path.stem)
def upgraded(request, empty_url):
    fill(empty_url, request.param)
    storage = open_storage(empty_url)
    yield storage
    storage.close()


class TestUpgrade:
    @pytest.mark.long
    def test_studies_trials_and_metrics_are_what_they_were(self, upgraded):
        study = upgraded.get_study("s000000000000001")
        assert (study.state, study.suggested, study.best_objective) == (StudyState.RUNNING, 4, 0.75)
        assert study.observed == 4
        assert (study.spec.algorithm, study.spec.limits.retry_limit) == ("random", 2)
        recount(upgraded, study.id)
        trial = upgraded.get_trial("t000000000000001")
        assert (trial.state, trial.objective, trial.ended_at) == (COMPLETED, 0.75, later(1))
        observations, _ = upgraded.latest_observations(trial.id, 9)
        assert [o.value for o in observations if o.name == "accuracy"] == [0.25, 0.75]
        assert [str(o.value) for o in observations if o.name == "loss"] == [str(math.nan), str(math.inf)]
        assert upgraded.get_study("s000000000000002").state is StudyState.STOPPED
        (model,) = open_model_store(upgraded).saved_models("digits", 9, "").items
        assert (model.model_path, model.saved_at, model.study_id, model.kept) == ("/m", None, "", False)
        assert upgraded.find_request("r-1") == study

    @pytest.mark.long
    def test_what_became_of_earlier_attempts_is_there_from_schema_2_on(self, upgraded, request):
        earlier = upgraded.earlier_attempts("t000000000000002")
        written = "0001" not in request.node.name
        assert [(a.number, a.reason, a.message) for a in earlier] == [(1, "ExitCode", "code 3")] * written

    @pytest.mark.long
    def test_work_goes_on_where_it_was_left(self, upgraded):
        study = upgraded.get_study("s000000000000001")
        waiting = upgraded.get_trial("t000000000000002")
        assert (waiting.state, waiting.attempt) == (PENDING, 2)
        earlier = list(upgraded.earlier_attempts(waiting.id))
        (again,) = go(upgraded, waiting, to=RUNNING, run="run-2", at=NOW)
        go(upgraded, again, to=PENDING, failed_reason="ExitCode", failed_message="code 3")
        assert upgraded.earlier_attempts(waiting.id) == [
            *earlier,
            TrialAttempt(2, "run-2", "ExitCode", "code 3", None, NOW, later(1)),
        ]
        running(upgraded, study)
        recount(upgraded, study.id)

    @pytest.mark.long
    def test_what_clients_had_before_there_were_leases_stays_theirs(self, upgraded, request):
        trial = upgraded.get_trial("t000000000000004")
        assert (trial.state, trial.lease, trial.lease_until) == (RUNNING, None, None)
        assert trial.client_id == "worker-1" * any(
            schema in request.node.name for schema in ("0004", "0005", "0006", "0007", "0008", "0009", "0010")
        )
        assert upgraded.hand_out(trial.study_id, "another", 9, timedelta(seconds=1), NOW) == ()

    @pytest.mark.long
    def test_where_a_study_s_runs_may_be_is_there_from_schema_9_on(self, upgraded, request):
        written = any(schema in request.node.name for schema in ("0009", "0010"))
        assert upgraded.get_study("s000000000000001").places == ("trials", "old") * written
        assert upgraded.get_study("s000000000000002").places == ()

    @pytest.mark.long
    def test_which_studies_were_deleted_is_there_from_schema_10_on(self, upgraded, request):
        assert upgraded.was_deleted("s000000000000009") == ("0010" in request.node.name)

    @pytest.mark.long
    def test_nobody_is_said_to_have_suggested_the_trials_that_there_are(self, upgraded):
        study = upgraded.get_study("s000000000000002")
        assert (study.suggested, study.suggester, study.suggested_by("random")) == (1, "", False)

    @pytest.mark.long
    def test_a_deleted_study_leaves_nothing(self, upgraded):
        study = upgraded.get_study("s000000000000001")
        add(upgraded, study)
        upgraded.delete_study(study.id)
        assert [s.id for s in upgraded.list_studies(StudyFilter(), 9, "").items] == ["s000000000000002"]
        assert upgraded.was_deleted(study.id)


def test_owners_and_permissions_of_before_count_in_lists_from_schema_6_on(empty_url):
    """More than one batch of them."""
    released = RELEASED[4]
    fill(empty_url, released)
    line = next(line for line in released.read_text().splitlines() if "s000000000000002" in line)
    granted = '{"owner":"ann","access_permissions":["reader:bob","me, you"],'
    lines = []
    for i in range(600):
        id_ = f"f{i:015x}"
        assert "'r-2'" not in line
        lines.append(line.replace("s000000000000002", id_).replace("'{", f"'{granted}", 1))
    execute(empty_url, *lines)
    storage = open_storage(empty_url)
    try:
        for name, count in (("ann", 600), ("bob", 600), ("me", 0), ("me, you", 0)):
            page = storage.list_studies(StudyFilter(visible_to=frozenset({name})), 1000, "")
            assert len(page.items) == count
    finally:
        storage.close()
