"""The overlay `katib-0.1` on a real cluster, with MySQL: what users of Katib 0.1 have written finds everything where it was."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from katib.api import api_pb2 as pb
from katib.api.api_pb2_grpc import ManagerStub
from katib.api.channel import open_channel
from katib.domain.study import StudyState
from katib.domain.trial import TrialState
from tests.cluster.installation import (
    Installation,
    Installations,
    build,
    described_if_tests_fail,
    mysql_image,
    overlay,
    studies_end,
)
from tests.cluster.people import follow
from tests.deploy.manifests import ROOT
from tests.deploy.pages import commands
from tests.e2e.harness import trials, until
from tests.storage.programs import mysql

pytestmark = pytest.mark.timeout(1200)

NODE_PORT = 30678
STUDY_S = 300.0
# Those that the studies below ask; ten Pythons that begin at once take a small machine half a minute.
SERVICES = ("random", "grid", "medianstopping")
# As 0.1's users wrote it: lower-case keys, enumerations as numbers, limits among the suggestion parameters.
STUDY = """
name: {name}
owner: root
optimizationtype: 2
objectivevaluename: Validation-accuracy
metrics:
  - loss
suggestalgorithm: {algorithm}
autostopalgorithm: median
suggestionparameters:
  -
    name: SuggestionNum
    value: 6
  -
    name: MaxParallel
    value: 3
parameterconfigs:
  configs:
    -
      name: --lr
      parametertype: 1
      feasible:
        min: 0.03
        max: 0.07
image: {image}
scheduler: default-scheduler
command:
  - sh
  - -c
  - 'echo Validation-accuracy=0.1 loss=2; sleep 3; echo Validation-accuracy=${{1#--lr=}} loss=1'
  - sh
"""


@pytest.fixture(scope="module")
def katib(installations: Installations, request: pytest.FixtureRequest) -> Iterator[Installation]:
    # Skips where there is none.
    mysql()
    it = installations.get("katib-0.1", lambda folder: overlay(folder, "katib-0.1", SERVICES), mysql_image)
    it.wait_until_working()
    with described_if_tests_fail(request.session, it):
        yield it


@pytest.fixture
def outside(katib: Installation) -> str:
    """Where 0.1's command line was told to look: a port of a node."""
    addresses = katib.cluster.get("nodes")["items"][0]["status"]["addresses"]
    (address,) = [it["address"] for it in addresses if it["type"] == "InternalIP"]
    return f"{address}:{NODE_PORT}"


def cli(katib: Installation, server: str, *arguments: str, data: str = "") -> str:
    command = ["katib-cli", "-s", server, *arguments]
    return katib.kubectl("exec", "-i", "deploy/katib-manager", "--", *command, data=data)


def test_the_services_have_the_names_of_0_1(katib: Installation) -> None:
    services = {it["metadata"]["name"] for it in katib.cluster.get("services", namespace=katib.namespace)["items"]}
    assert {
        "vizier-core",
        "vizier-suggestion-random",
        "vizier-suggestion-grid",
        "vizier-suggestion-hyperband",
    } <= services
    assert "vizier-earlystopping-medianstopping" in services
    assert not [name for name in services if name.startswith(("suggestion-", "earlystopping-"))]
    assert all(restarts == 0 for _, restarts in katib.lives().values())


def test_a_study_file_of_0_1_runs_by_the_command_line_at_vizier_core(katib: Installation) -> None:
    file = STUDY.format(name="old", algorithm="random", image=katib.cluster.busybox)
    said = cli(katib, "vizier-core:6789", "create-study", "-f", "-", data=file)
    study_id = re.findall(r"Study (\w+) is created", said)[0]
    studies_end(katib, study_id)
    listed = json.loads(cli(katib, "vizier-core:6789", "list", "trials", "old", "-o", "json"))
    assert len(listed) == 6
    assert "--lr" in cli(katib, "vizier-core:6789", "best", "old")


def test_a_client_of_0_1_gets_what_it_asks_for_at_the_port_of_the_node(katib: Installation, outside: str) -> None:
    """With nothing but the messages of that time."""
    config = pb.StudyConfig(
        name="wire",
        owner="root",
        optimization_type=pb.MAXIMIZE,
        parameter_configs=pb.StudyConfig.ParameterConfigs(
            configs=[
                pb.ParameterConfig(
                    name="--lr", parameter_type=pb.DOUBLE, feasible=pb.FeasibleSpace(min="0.01", max="0.03")
                )
            ]
        ),
        suggest_algorithm="grid",
        suggestion_parameters=[
            pb.SuggestionParameter(name="DefaultGrid", value="3"),
            pb.SuggestionParameter(name="MaxParallel", value="2"),
        ],
        objective_value_name="acc",
        image=katib.cluster.busybox,
        command=["sh", "-c", "echo acc=${1#--lr=}", "sh"],
        scheduler="default-scheduler",
    )
    with open_channel(outside) as channel:
        manager = ManagerStub(channel)  # type: ignore[no-untyped-call]
        study_id = manager.CreateStudy(pb.CreateStudyRequest(study_config=config), timeout=30).study_id

        def info() -> pb.StudyInfo | None:
            infos = manager.GetStudies(pb.GetStudiesRequest(), timeout=30).study_infos
            return next((i for i in infos if i.study_id == study_id and i.completed_trial_num == 3), None)

        assert until(info, STUDY_S, poll=0.5).name == "wire"
        # And a study that its client drives.
        config.name, config.suggest_algorithm = "driven", ""
        del config.suggestion_parameters[:]
        study_id = manager.CreateStudy(pb.CreateStudyRequest(study_config=config), timeout=30).study_id
        ask = pb.SuggestTrialsRequest(study_id=study_id, suggest_algorithm="random")
        (trial,) = manager.SuggestTrials(ask, timeout=30).trials
        done = pb.CompleteTrialRequest(
            study_id=study_id, trial_id=trial.trial_id, is_complete=True, objective_value="0.7"
        )
        manager.CompleteTrial(done, timeout=30)
        trial = manager.GetTrial(pb.GetTrialRequest(trial_id=trial.trial_id), timeout=30).trial
        assert (trial.status, trial.objective_value) == (pb.COMPLETED, "0.7")
        manager.StopStudy(pb.StopStudyRequest(study_id=study_id), timeout=30)


def test_a_service_beside_ours_is_found_by_the_name_that_0_1_gave_it(katib: Installation) -> None:
    """A stranger that knows the messages alone; as in 0.1 it may not be there from the beginning."""
    folder = ROOT / "examples" / "custom-suggestion" / "service"
    (folder / "api.proto").write_bytes((ROOT / "proto" / "api.proto").read_bytes())
    try:
        katib.cluster.import_image(build("suggestion-hillclimb:1", folder))
    finally:
        (folder / "api.proto").unlink()
    manifest = (folder / "suggestion.yaml").read_text().replace("name: suggestion-", "name: vizier-suggestion-")
    katib.kubectl("apply", "-f", "-", data=manifest)
    katib.wait_until_ready("deployment/vizier-suggestion-hillclimb")
    file = STUDY.format(name="climb", algorithm="hillclimb", image=katib.cluster.busybox)
    said = cli(katib, "vizier-core:6789", "create-study", "-f", "-", data=file)
    studies_end(katib, re.findall(r"Study (\w+) is created", said)[0])
    katib.kubectl("delete", "-f", "-", data=manifest)


def test_the_database_is_a_mysql_that_may_be_taken_away_in_the_middle(katib: Installation) -> None:
    version = katib.kubectl("exec", "katib-database-0", "--", "mysqld", "--version")
    assert "MariaDB" not in version
    print(version)
    file = STUDY.format(name="taken", algorithm="random", image=katib.cluster.busybox).replace("value: 6", "value: 12")
    file = file.replace("autostopalgorithm: median\n", "")
    said = cli(katib, "vizier-core:6789", "create-study", "-f", "-", data=file)
    study_id = re.findall(r"Study (\w+) is created", said)[0]
    with katib.client() as client:
        until(lambda: client.get_study(study_id).summary.completed >= 2, STUDY_S)
    lives = {name: life for name, life in katib.lives().items() if name != "katib-database-0"}
    katib.kubectl("delete", "pod", "katib-database-0", timeout=200)
    katib.wait_until_ready("statefulset/katib-database")
    studies_end(katib, study_id)
    katib.wait_until_working()
    with katib.client() as client:
        assert client.get_study(study_id).summary.state is StudyState.COMPLETED
        found = trials(client, study_id)
    assert [(trial.state, trial.attempt) for trial in found] == [(TrialState.COMPLETED, 1)] * 12
    assert {name: life for name, life in katib.lives().items() if name != "katib-database-0"} == lives


def test_a_copy_is_made_and_put_back_as_the_page_says(katib: Installation, tmp_path: Path) -> None:
    (copy,) = commands("install.md", "Upgrade")
    (put_back,) = commands("install.md", "Restore")
    follow(katib, tmp_path, copy)
    with katib.client() as client:
        before = {study.name: study.state for study in client.list_studies().items}
    assert before["taken"] is StudyState.COMPLETED
    file = STUDY.format(name="later", algorithm="random", image=katib.cluster.busybox)
    cli(katib, "vizier-core:6789", "create-study", "-f", "-", data=file)
    follow(katib, tmp_path, put_back)
    katib.wait_until_working()
    with katib.client() as client:
        assert {study.name: study.state for study in client.list_studies().items} == before
    said = cli(katib, "vizier-core:6789", "create-study", "-f", "-", data=file)
    studies_end(katib, re.findall(r"Study (\w+) is created", said)[0])
