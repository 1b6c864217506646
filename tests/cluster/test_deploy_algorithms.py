"""Algorithms of one's own on a cluster, and what the images hold."""

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from katib.domain.errors import FailedPreconditionError
from katib.domain.study import StudyReason
from katib.domain.trial import TrialState
from tests.cluster.inspection import look
from tests.cluster.installation import (
    MANAGER,
    SUGGESTION,
    Installation,
    Installations,
    build,
    described_if_tests_fail,
    mariadb_image,
    studies_end,
    with_mariadb,
)
from tests.cluster.people import follow
from tests.deploy.manifests import ROOT
from tests.deploy.pages import commands
from tests.e2e.harness import study, trials, until

pytestmark = pytest.mark.timeout(1200)

EXAMPLES = ROOT / "examples" / "custom-suggestion"
# From a service's answer to a study's first step: the manager asks again after at most a few seconds.
AT_ONCE_S = 20.0
STUDY_S = 300.0
# So long a name is looked for in vain, by when whoever looks would make long pauses if it ever did: a gRPC channel asks the
# name server no more often than every 30 s unless it is told to, and connects again after up to two minutes.
IN_VAIN_S = 120.0


@pytest.fixture(scope="module")
def installed(installations: Installations, request: pytest.FixtureRequest) -> Iterator[Installation]:
    """Of Katib's own services only that which the study beside asks: the others would take their time to begin."""
    it = installations.get("for algorithms", lambda folder: with_mariadb(folder, services=("random",)), mariadb_image)
    with described_if_tests_fail(request.session, it):
        yield it


@pytest.mark.parametrize("form", ["package", "service"])
def test_an_algorithm_of_ones_own_joins_and_leaves_and_nothing_else_notices(installed: Installation, form: str) -> None:
    name = {"package": "halton", "service": "hillclimb"}[form]
    archive = example_image(form, name)
    installed.cluster.import_image(archive)
    manifest = (EXAMPLES / form / "suggestion.yaml").read_text()
    mine = study(
        name=name,
        algorithm=name,
        image=installed.cluster.busybox,
        script="sleep 1; echo acc=$x",
        limits={"max_trials": 400},
    )
    others = study(
        name=f"beside-{name}",
        image=installed.cluster.busybox,
        script="sleep 1; echo acc=$x",
        limits={"max_trials": 400},
    )
    with installed.client() as client:
        beside = client.create_study(others)
        lives = installed.lives()
        refused_until = time.monotonic() + (IN_VAIN_S if form == "package" else 0)
        while True:
            with pytest.raises(FailedPreconditionError, match=f"suggestion-{name}"):
                client.create_study(mine)
            if time.monotonic() > refused_until:
                break
            time.sleep(1)
        installed.kubectl("apply", "-f", "-", data=manifest)
        installed.wait_until_ready(f"deployment/suggestion-{name}")
        begin = time.monotonic()
        # The cluster takes a moment to send what comes for a Service to a Pod that has become ready: the manager waits for it.
        study_id = client.create_study(mine)
        print(f"{name}: the first study {time.monotonic() - begin:.1f} s after the Pod was ready")
        until(lambda: client.get_study(study_id).summary.running > 0, AT_ONCE_S)
        until(lambda: client.get_study(study_id).summary.completed >= 2, STUDY_S)

        installed.kubectl("delete", "-f", "-", data=manifest)
        done = client.get_study(beside).summary.completed
        reason = StudyReason.SUGGESTION_UNAVAILABLE
        until(lambda: client.get_study(study_id).summary.reason == reason, STUDY_S)
        until(lambda: client.get_study(beside).summary.completed > done + 2, STUDY_S)
        assert client.get_study(beside).summary.reason == ""

        waiting = client.get_study(study_id).summary.completed
        installed.kubectl("apply", "-f", "-", data=manifest)
        installed.wait_until_ready(f"deployment/suggestion-{name}")
        until(lambda: client.get_study(study_id).summary.completed > waiting + 2, STUDY_S)
        for one in (study_id, beside):
            client.stop_study(one)
    installed.kubectl("delete", "-f", "-", data=manifest)
    until(lambda: installed.lives().keys() == lives.keys(), STUDY_S, poll=0.5)
    assert installed.lives() == lives


def example_image(form: str, name: str) -> Path:
    folder = EXAMPLES / form
    if form == "service":
        (folder / "api.proto").write_bytes((ROOT / "proto" / "api.proto").read_bytes())
    try:
        return build(f"suggestion-{name}:1", folder, SUGGESTION=SUGGESTION)
    finally:
        (folder / "api.proto").unlink(missing_ok=True)


def test_the_page_takes_a_reader_to_a_running_algorithm_on_a_cluster(installed: Installation, tmp_path: Path) -> None:
    """Its commands, word for word, but for docker and kind, which there are none of here."""
    shutil.copytree(EXAMPLES, tmp_path / "examples" / "custom-suggestion")
    shutil.copytree(ROOT / "proto", tmp_path / "proto")
    deploying, asking = commands("own-algorithm.md", "On a cluster")
    serving, climbing = commands("own-algorithm.md", "A service")

    follow(installed, tmp_path, deploying)
    begin = time.monotonic()
    said = follow(installed, tmp_path, asking)
    print(f"the study on halton took {time.monotonic() - begin:.1f} s\n{said}")
    assert re.search(r"x=0\.25\b", said), said
    assert "COMPLETED" in said
    follow(installed, tmp_path, serving)
    follow(installed, tmp_path, climbing)
    with installed.client() as client:
        (climb,) = [s for s in client.list_studies().items if s.name == "climb"]
    studies_end(installed, climb.id)
    with installed.client() as client:
        assert [t.state for t in trials(client, climb.id)] == [TrialState.COMPLETED] * 6
    for form in ("package", "service"):
        installed.kubectl("delete", "-f", str(EXAMPLES / form / "suggestion.yaml"))


# Images


def test_the_suggestion_image_has_what_algorithms_need_and_nothing_of_the_manager(installed: Installation) -> None:
    wanted = ("katib.suggestion.server", "numpy", "scipy", "sklearn", "grpc")
    unwanted = (
        *("sqlalchemy", "alembic", "pymysql", "kubernetes", "prometheus_client", "pytest", "grpc_tools"),
        *("katib.manager", "katib.worker", "katib.cli", "katib.local", "katib.earlystopping"),
    )
    found = look(installed, "look-suggestion", SUGGESTION, *wanted, *unwanted)
    assert found["modules"] == list(wanted)
    assert (found["programs"], found["caches"], found["uid"]) == ([], [], 65532)
    bill = found["bill"]
    assert isinstance(bill, list)
    assert {"katib", "numpy", "grpcio"} <= set(bill)
    assert "sqlalchemy" not in bill


def test_the_manager_image_has_its_programs_and_nothing_of_the_algorithms(installed: Installation) -> None:
    wanted = ("katib.manager.main", "katib.earlystopping.server", "katib.cli.main", "sqlalchemy", "kubernetes")
    found = look(installed, "look-manager", MANAGER, *wanted, "scipy", "sklearn", "pytest", "grpc_tools")
    assert found["modules"] == list(wanted)
    assert (found["programs"], found["caches"], found["uid"]) == ([], [], 65532)
