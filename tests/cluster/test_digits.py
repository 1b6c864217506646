"""The digits study of examples/ on a cluster, as its user sees it: an image from its Dockerfile, katib-cli, kubectl."""

import json
import re

import pytest

from tests.cluster.api import Api
from tests.cluster.installation import build
from tests.cluster.outside import STUDY_S, Katib
from tests.deploy.manifests import ROOT
from tests.e2e.harness import until

DIGITS = ROOT / "examples" / "digits"
COUNT, EPOCHS = 4, 20


@pytest.fixture
def image(cluster: Api) -> str:
    """By buildah, on top of Debian's Python."""
    cluster.import_image(build("digits:1", DIGITS))
    return "digits:1"


@pytest.mark.timeout(900)
def test_the_digits_study_runs_as_pods_that_kubectl_shows(katib: Katib, image: str) -> None:
    text = (DIGITS / "cluster.yaml").read_text()
    assert f"image: {image}\n" in text
    # Half of them show as much.
    assert "max_trials: 8\n" in text
    text = text.replace("max_trials: 8", f"max_trials: {COUNT}")
    file = katib.world.folder / "cluster.yaml"
    # Another than the usual one shows that it is the study's word that counts.
    file.write_text(text.replace("scheduler: default-scheduler", f"scheduler: {katib.cluster.scheduler_name}"))
    katib.world.suggestion("random")
    katib.start("keep=all")
    created = katib.world.cli("create-study", "-f", file).stdout
    (study_id,) = re.findall(r"Study (\w+) is created", created)
    mine = ("get", "pods", "-l", f"katib.kubeflow.org/study={study_id}")

    def running() -> list[str]:
        return [row for row in katib.kubectl(*mine, "--no-headers").splitlines() if row.split()[2] == "Running"]

    assert len(until(lambda: running() if len(running()) == 2 else None, STUDY_S)) == 2
    katib.world.cli("watch", study_id, seconds=600)

    print(shown := katib.kubectl(*mine))
    rows = [row.split() for row in shown.splitlines()[1:]]
    assert [(row[1], row[2], row[3]) for row in rows] == [("0/1", "Completed", "0")] * COUNT
    columns = "custom-columns=NAME:.metadata.name,SCHEDULER:.spec.schedulerName,IMAGE:.spec.containers[0].image"
    print(shown := katib.kubectl(*mine, "-o", columns))
    assert {tuple(row.split()[1:]) for row in shown.splitlines()[1:]} == {(katib.cluster.scheduler_name, image)}

    print(katib.world.cli("list", "trials", study_id).stdout)
    trials = json.loads(katib.world.cli("list", "trials", study_id, "-o", "json").stdout)
    assert [trial["state"] for trial in trials] == ["COMPLETED"] * COUNT
    assert max(float(trial["objective"]) for trial in trials) > 0.9
    with katib.world.client() as client:
        for trial in trials:
            printed = katib.kubectl("logs", next(row[0] for row in rows if row[0].startswith(trial["id"])))
            said = re.findall(r"(loss|Validation-accuracy)=(\S+)", printed)
            assert len(said) == 2 * EPOCHS
            found = client.get_trial(trial["id"]).observations
            assert [(one.name, one.value) for one in found] == [(name, float(value)) for name, value in said]
