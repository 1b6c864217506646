"""The Pod of a run: what a study says is in it, it is valid for every study, and the program gets its words unchanged."""

import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from katib.domain.collector import MetricsCollector, MetricsReader, MetricsSource
from katib.domain.metric_lines import TextLines
from katib.domain.pod import PodSettings, Toleration, is_label_value, is_qualified_name
from katib.domain.study import Limits, Mount
from katib.worker.base import RunPhase
from katib.worker.kubernetes.marks import has_started, slim
from katib.worker.kubernetes.metric_files import manager_path, pod_path
from katib.worker.kubernetes.models import model_path
from katib.worker.kubernetes.pods import check_pod, label_value, make_pod, trial_container
from katib.worker.metric_files import open_metric_files
from tests.worker.kubernetes.diagnosing import diagnose
from tests.worker.kubernetes.pods import (
    ARGUMENTS,
    POLICY,
    STUDY,
    as_kubernetes_expands,
    container_of,
    pod_of,
    run_of,
    template,
    variables_of,
)
from tests.worker.kubernetes.statuses import container, running, terminated, waiting


class TestWhatAStudySays:
    def test_a_plain_study_has_one_container_and_nothing_more(self) -> None:
        run = run_of()
        assert make_pod(run, POLICY) == {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": run.name,
                "namespace": "katib",
                "labels": {
                    "katib.kubeflow.org/study": run.study_id,
                    "katib.kubeflow.org/trial": run.trial_id,
                    "katib.kubeflow.org/attempt": "2",
                    "katib.kubeflow.org/installation": "katib",
                    "app.kubernetes.io/managed-by": "katib",
                },
                "annotations": {
                    "katib.kubeflow.org/study-name": "s",
                    "katib.kubeflow.org/installation": "katib",
                    "katib.kubeflow.org/container": "trial",
                },
            },
            "spec": {
                "restartPolicy": "Never",
                "enableServiceLinks": False,
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": 10,
                "containers": [
                    {
                        "name": "trial",
                        "image": "registry.example/train:1",
                        "command": ["python", "train.py"],
                        "args": ["--lr=0.030", "kind=a"],
                        "env": [
                            {"name": "PYTHONUNBUFFERED", "value": "1"},
                            {"name": "STUDY_ID", "value": run.study_id},
                            {"name": "TRIAL_ID", "value": run.trial_id},
                            {"name": "KATIB_ATTEMPT", "value": "2"},
                        ],
                        "securityContext": {"allowPrivilegeEscalation": False},
                    }
                ],
            },
        }

    def test_everything_that_a_study_of_katib_0_1_says_is_there(self) -> None:
        pod = pod_of(gpu=2, scheduler="volcano", mount=Mount("data", "/data"), pull_secret="registry")
        assert pod["spec"]["schedulerName"] == "volcano"
        assert pod["spec"]["imagePullSecrets"] == [{"name": "registry"}]
        assert pod["spec"]["volumes"] == [{"name": "katib-mount", "persistentVolumeClaim": {"claimName": "data"}}]
        assert container_of(pod)["volumeMounts"] == [{"name": "katib-mount", "mountPath": "/data"}]
        gpus = {"nvidia.com/gpu": "2"}
        assert container_of(pod)["resources"] == {"requests": gpus, "limits": gpus}

    def test_the_ids_are_put_in_their_places_in_the_command(self) -> None:
        run = run_of(replace(STUDY, command=("run", "/out/{{STUDY_ID}}/{{TRIAL_ID}}", "{{OTHER}}")))
        command = container_of(make_pod(run, POLICY))["command"]
        assert command == ["run", f"/out/{run.study_id}/{run.trial_id}", "{{OTHER}}"]

    def test_without_a_command_the_parameters_follow_the_images_own_entry_point(self) -> None:
        container = container_of(pod_of(command=()))
        assert "command" not in container
        assert container["args"] == list(ARGUMENTS)

    def test_all_pod_settings_are_there(self) -> None:
        settings = PodSettings(
            namespace="team",
            labels={"kueue.x-k8s.io/queue-name": "gpus"},
            annotations={"scheduling.volcano.sh/queue-name": "q"},
            environment={"DATA": "/data", "PYTHONUNBUFFERED": ""},
            requests={"cpu": "500m", "amd.com/gpu": "1"},
            limits={"memory": "1Gi"},
            node_selector={"disk": "ssd"},
            tolerations=(Toleration("gpu", "Exists", "", "NoExecute", 0), Toleration("spot", value="yes")),
            service_account="trainer",
        )
        policy = replace(POLICY, namespaces=("team",), service_accounts=("trainer",))
        pod = pod_of(policy, pod=settings, working_dir="/work")
        spec, container = pod["spec"], container_of(pod)
        assert pod["metadata"]["namespace"] == "team"
        assert pod["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"
        assert pod["metadata"]["annotations"]["scheduling.volcano.sh/queue-name"] == "q"
        assert spec["nodeSelector"] == {"disk": "ssd"}
        assert spec["tolerations"] == [
            {"key": "gpu", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 0},
            {"key": "spot", "value": "yes"},
        ]
        assert spec["serviceAccountName"] == "trainer"
        # Who asks for an account asks for its rights.
        assert "automountServiceAccountToken" not in spec
        assert variables_of(container) | {"DATA": "/data", "PYTHONUNBUFFERED": ""} == variables_of(container)
        # What a device plugin brings is requested exactly as it is limited.
        assert container["resources"] == {
            "requests": {"cpu": "500m", "amd.com/gpu": "1"},
            "limits": {"memory": "1Gi", "amd.com/gpu": "1"},
        }
        assert container["workingDir"] == "/work"

    def test_nobody_sets_katibs_own_variables_and_labels(self) -> None:
        """However it got into the study."""
        mine = {"TRIAL_ID": "mine", "KATIB_ATTEMPT": "9", "KATIB_NEW": "mine"}
        labels = {"katib.kubeflow.org/trial": "mine", "app.kubernetes.io/managed-by": "me"}
        spec = {"containers": [{"name": "trial", "env": [{"name": "STUDY_ID", "value": "mine"}]}]}
        settings = replace(template(spec, labels=labels), environment=mine, labels=labels)
        run = run_of(replace(STUDY, pod=settings))
        pod = make_pod(run, POLICY)
        variables = variables_of(container_of(pod))
        assert (variables["STUDY_ID"], variables["TRIAL_ID"]) == (run.study_id, run.trial_id)
        assert variables["KATIB_ATTEMPT"] == "2"
        assert "KATIB_NEW" not in variables
        assert pod["metadata"]["labels"]["katib.kubeflow.org/trial"] == run.trial_id
        assert pod["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "katib"

    def test_the_operators_defaults_hold_where_the_study_says_nothing(self) -> None:
        policy = replace(
            POLICY,
            scheduler="volcano",
            pull_secret="registry",
            requests={"cpu": "1", "memory": "1Gi"},
            limits={"cpu": "2", "memory": "1Gi"},
            gpu_resource="amd.com/gpu",
        )
        pod = pod_of(policy, gpu=1, pod=PodSettings(limits={"cpu": "500m"}))
        assert pod["spec"]["schedulerName"] == "volcano"
        assert pod["spec"]["imagePullSecrets"] == [{"name": "registry"}]
        # A request of 1 under a limit of 500m would be no Pod at all.
        assert container_of(pod)["resources"] == {
            "requests": {"memory": "1Gi", "amd.com/gpu": "1"},
            "limits": {"cpu": "500m", "memory": "1Gi", "amd.com/gpu": "1"},
        }
        own = pod_of(policy, scheduler="mine", pull_secret="own")
        assert (own["spec"]["schedulerName"], own["spec"]["imagePullSecrets"]) == ("mine", [{"name": "own"}])

    def test_a_container_that_is_injected_before_the_trials_is_not_taken_for_it(self) -> None:
        pod = pod_of(pod=template({"containers": [{"name": "main"}, {"name": "helper", "image": "busybox"}]}))
        pod["spec"]["containers"].insert(0, {"name": "istio-proxy", "image": "istio"})
        assert trial_container(pod) == trial_container(slim(pod)) == "main"
        statuses = [container(running(), "istio-proxy"), container(terminated(0, "Completed"), "main")]
        pod["status"] = {"phase": "Running", "containerStatuses": statuses}
        assert diagnose(pod, 100).phase is RunPhase.SUCCEEDED
        assert diagnose(slim(pod), 100).phase is RunPhase.SUCCEEDED
        assert has_started(pod)
        statuses[1]["state"] = waiting("PodInitializing")
        assert diagnose(pod, 100).phase is RunPhase.WAITING
        assert not has_started(pod)

    def test_a_pod_whose_manager_never_comes_back_ends_all_the_same(self) -> None:
        assert "activeDeadlineSeconds" not in pod_of()["spec"]
        timeout = timedelta(minutes=30)
        own = pod_of(limits=Limits(trial_timeout=timeout), pod=PodSettings(start_timeout=timedelta(hours=2)))
        default = pod_of(limits=Limits(trial_timeout=timeout))
        shorter = template({"containers": [{}], "activeDeadlineSeconds": 5})
        endless = pod_of(limits=Limits(trial_timeout=timedelta(days=3650)), pod=shorter)
        # The time-out, what it may wait on its node for its network and its images, and ten minutes.
        assert own["spec"]["activeDeadlineSeconds"] == (30 + 120 + 10) * 60 + 1
        assert default["spec"]["activeDeadlineSeconds"] == (30 + 15 + 60 + 10) * 60 + 1
        assert endless["spec"]["activeDeadlineSeconds"] == 5

    def test_long_init_containers_do_not_eat_into_a_trials_time(self) -> None:
        inits = [{"name": name, "image": "busybox"} for name in ("dataset", "weights", "unpack")]
        limits, spec = Limits(trial_timeout=timedelta(minutes=30)), {"initContainers": inits, "containers": [{}]}
        default, own = (
            pod_of(limits=limits, pod=replace(template(spec), start_timeout=start_timeout))
            for start_timeout in (None, timedelta(hours=2))
        )
        assert default["spec"]["activeDeadlineSeconds"] == (30 + 15 + 4 * 60 + 10) * 60 + 1
        # It counts from creation, whatever a Pod waits for.
        assert own["spec"]["activeDeadlineSeconds"] == (30 + 120 + 10) * 60 + 1


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30) | st.sampled_from(
    ["$(TRIAL_ID)", "$$", "$", "$$(A)", "$($(A))", "$(", "a$(TRIAL_ID)$$b$", "{{TRIAL_ID", "${trialParameters.kind}"]
)
NAMES = st.text(st.characters(categories=["L", "M", "N", "P", "S"]), min_size=1, max_size=100) | st.sampled_from(
    ["-", ".", "a" * 100, "a/b", "-a-", "UPPER lower", "é", "🐍"]
)


@pytest.mark.long
@given(NAMES, NAMES | st.just(""), st.lists(TEXTS, min_size=1, max_size=3), st.lists(TEXTS, max_size=3), TEXTS)
def test_every_study_makes_a_valid_pod_and_its_program_gets_its_words_unchanged(
    name: str, owner: str, command: list[str], arguments: list[str], value: str
) -> None:
    words = tuple(word.replace("{{", "") for word in command)
    settings = PodSettings(environment={"VALUE": value})
    run = run_of(replace(STUDY, name=name, owner=owner, command=words, pod=settings), tuple(arguments))
    pod = make_pod(run, POLICY)
    assert json.loads(json.dumps(pod)) == pod
    metadata, container = pod["metadata"], container_of(pod)
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", metadata["name"])
    for key, text in metadata["labels"].items():
        assert is_qualified_name(key)
        assert is_label_value(text)
    variables: dict[str, str] = {}
    for variable, text in variables_of(container).items():
        variables[variable] = as_kubernetes_expands(text, variables)
    assert variables["VALUE"] == value
    given_words = [as_kubernetes_expands(word, variables) for word in container["command"] + container["args"]]
    assert given_words == [*words, *arguments]
    assert metadata["annotations"]["katib.kubeflow.org/study-name"] == name


@given(NAMES, NAMES)
def test_the_label_of_an_owner_is_no_other_owners(one: str, other: str) -> None:
    assert is_label_value(label_value(one))
    assert (label_value(one) == label_value(other)) == (one == other)


def test_the_label_of_an_owner_whose_name_can_be_one_is_that_name() -> None:
    assert label_value("team-a.b_C") == "team-a.b_C"
    assert label_value("Anna Müller").startswith("Anna-M-ller-")


class TestModels:
    def test_a_study_with_a_volume_has_a_place_for_each_trials_model(self) -> None:
        run = run_of(replace(STUDY, mount=Mount("data", "/data/")))
        place = f"data/{run.study_id}-{run.trial_id}"
        variables = variables_of(container_of(make_pod(run, POLICY)))
        assert variables["KATIB_MODEL_DIR"] == f"/data/{place}"
        assert model_path(run.study, run.study_id, run.trial_id) == f"data:/logs/{place}"

    def test_one_without_has_none(self) -> None:
        assert "KATIB_MODEL_DIR" not in variables_of(container_of(pod_of()))
        for mount in (None, Mount("", "")):
            assert model_path(replace(STUDY, mount=mount), "s", "t") == ""


class TestMetricFiles:
    FILE = MetricsCollector(source=MetricsSource.FILE)

    def test_a_pod_writes_where_the_manager_reads(self, tmp_path: Path) -> None:
        run = run_of(replace(STUDY, mount=Mount("claim", "/data/"), collector=self.FILE))
        given = variables_of(container_of(make_pod(run, POLICY)))["KATIB_METRICS_PATH"]
        assert given.startswith("/data/")
        # The claim, as the manager has it mounted.
        volume = tmp_path / "claim"
        volume.mkdir()
        (volume / given.removeprefix("/data/")).write_text("acc=0.5\n")
        path = manager_path(run.study, run.study_id, run.name, str(tmp_path))
        files = open_metric_files(self.FILE, path, TextLines(("acc",)), ("acc",), run.attempt)
        assert [o.value for o in files.read(1000, ended=True).observations] == [0.5]

    def test_every_attempt_has_a_path_of_its_own(self) -> None:
        study = replace(STUDY, mount=Mount("claim", "/data"), collector=self.FILE)
        paths = {pod_path(study, "s1", run) for run in ("t1-1", "t1-2", "t2-1")}
        assert len(paths) == 3

    @pytest.mark.parametrize(
        "collector",
        [MetricsCollector(), MetricsCollector(source=MetricsSource.FILE, path="m", reader=MetricsReader.SDK)],
    )
    def test_where_the_manager_has_nothing_to_read_a_pod_is_told_nothing(self, collector: MetricsCollector) -> None:
        study = replace(STUDY, mount=Mount("claim", "/data"), collector=collector)
        assert "KATIB_METRICS_PATH" not in variables_of(container_of(make_pod(run_of(study), POLICY)))
        assert check_pod(study, POLICY) == []

    @pytest.mark.parametrize(
        ("mount_root", "mount", "path", "field", "said"),
        [
            ("", Mount("claim", "/data"), "", "source", "mount-root PATH.*reader: sdk"),
            ("/mnt", None, "", "source", "expected also mount"),
            ("/mnt", Mount("claim", "/data"), "m", "path", "KATIB_METRICS_PATH"),
        ],
    )
    def test_a_file_that_the_manager_cannot_see_is_refused_with_what_to_do(
        self, mount_root: str, mount: Mount | None, path: str, field: str, said: str
    ) -> None:
        study = replace(STUDY, mount=mount, collector=replace(self.FILE, path=path))
        (found,) = check_pod(study, replace(POLICY, mount_root=mount_root))
        assert found.field == f"metrics_collector.{field}"
        assert re.search(said, found.expected)

    @pytest.mark.parametrize(
        ("path", "refused"), [("/data/logs", True), ("/data/../data/", True), ("/database", False)]
    )
    def test_the_sdk_reads_no_file_that_all_pods_share(self, path: str, refused: bool) -> None:
        collector = replace(self.FILE, path=path, reader=MetricsReader.SDK)
        found = check_pod(replace(STUDY, mount=Mount("claim", "/data"), collector=collector), POLICY)
        assert [v.field for v in found] == ["metrics_collector.path"] * refused

    def test_one_that_it_sees_is_taken(self) -> None:
        study = replace(STUDY, mount=Mount("claim", "/data"), collector=self.FILE)
        assert check_pod(study, replace(POLICY, mount_root="/mnt")) == []
