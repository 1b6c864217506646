"""The Pod of a run: what a study says is in it, it is valid for every study, and the program gets its words unchanged."""

import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from katib.domain.collector import MetricsCollector, MetricsReader, MetricsSource
from katib.domain.errors import InvalidArgumentError
from katib.domain.metric_lines import TextLines
from katib.domain.names import new_id, run_name
from katib.domain.pod import PodSettings, Toleration, is_label_value, is_qualified_name
from katib.domain.search_space import FeasibleSpace, ParameterConfig, ParameterType
from katib.domain.study import Limits, Mount, Objective, StudySpec, check_study
from katib.worker.base import RunSpec
from katib.worker.kubernetes.metric_files import manager_path, pod_path
from katib.worker.kubernetes.models import model_path
from katib.worker.kubernetes.pods import check_pod, label_value, make_pod, trial_container
from katib.worker.kubernetes.policy import Policy
from katib.worker.metric_files import open_metric_files

POLICY = Policy(namespace="katib")
STUDY = StudySpec(
    name="s",
    objective_name="loss",
    optimization=Objective.MINIMIZE,
    parameters=(
        ParameterConfig("--lr", ParameterType.DOUBLE, FeasibleSpace("0", "1")),
        ParameterConfig("kind", ParameterType.CATEGORICAL, FeasibleSpace(list=("a", "b"))),
    ),
    algorithm="random",
    image="registry.example/train:1",
    command=("python", "train.py"),
)
ARGUMENTS = ("--lr=0.030", "kind=a")


def run_of(study: StudySpec = STUDY, arguments: tuple[str, ...] = ARGUMENTS, **changes: Any) -> RunSpec:
    trial_id = new_id()
    run = RunSpec(run_name(trial_id, 2), new_id(), trial_id, 2, study.command, arguments, study)
    return replace(run, **changes)


def pod_of(policy: Policy = POLICY, **changes: Any) -> dict[str, Any]:
    study = replace(STUDY, **changes)
    assert check_pod(study, policy) == []
    return make_pod(run_of(study), policy)


def container_of(pod: dict[str, Any]) -> dict[str, Any]:
    (found,) = (c for c in pod["spec"]["containers"] if c["name"] == trial_container(pod))
    return dict(found)


def variables_of(container: dict[str, Any]) -> dict[str, str]:
    names = [variable["name"] for variable in container["env"]]
    assert len(set(names)) == len(names)
    return {variable["name"]: variable["value"] for variable in container["env"] if "value" in variable}


def template(spec: Any, **metadata: Any) -> PodSettings:
    return PodSettings(template=json.dumps({"metadata": metadata, "spec": spec}))


def as_kubernetes_expands(text: str, variables: dict[str, str]) -> str:
    """`$(NAME)` is the variable where there is one, `$$` a dollar; everything else stays."""

    def replaced(match: re.Match[str]) -> str:
        return "$" if match[0] == "$$" else variables.get(match[1], match[0])

    return re.sub(r"\$\$|\$\(([^()]*)\)", replaced, text)


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
                "annotations": {"katib.kubeflow.org/study-name": "s"},
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

    def test_a_pod_whose_manager_never_comes_back_ends_all_the_same(self) -> None:
        assert "activeDeadlineSeconds" not in pod_of()["spec"]
        timeout = timedelta(minutes=30)
        own = pod_of(limits=Limits(trial_timeout=timeout), pod=PodSettings(start_timeout=timedelta(hours=2)))
        default = pod_of(limits=Limits(trial_timeout=timeout))
        shorter = template({"containers": [{}], "activeDeadlineSeconds": 5})
        endless = pod_of(limits=Limits(trial_timeout=timedelta(days=3650)), pod=shorter)
        # The time-out, what it may wait on its node, and ten minutes.
        assert own["spec"]["activeDeadlineSeconds"] == (30 + 120 + 10) * 60 + 1
        assert default["spec"]["activeDeadlineSeconds"] == (30 + 60 + 10) * 60 + 1
        assert endless["spec"]["activeDeadlineSeconds"] == 5


class TestChecks:
    @pytest.mark.parametrize(
        ("changes", "field", "expected"),
        [
            ({"image": ""}, "image", "expected the image that a trial runs in"),
            ({"scheduler": "a b"}, "scheduler", "expected lower-case letters"),
            ({"pull_secret": "A"}, "pull_secret", "expected lower-case letters"),
            ({"mount": Mount("A", "/a")}, "mount.pvc", "expected lower-case letters"),
            ({"mount": Mount("a", "a")}, "mount.path", "expected an absolute path"),
            ({"mount": Mount("a", "/a:b")}, "mount.path", "expected an absolute path"),
            ({"working_dir": "work"}, "working_dir", "expected an absolute path"),
            ({"pod": PodSettings(namespace="kube-system")}, "pod.namespace", "--worker-option namespaces=kube-system"),
            (
                {"pod": PodSettings(service_account="admin")},
                "pod.service_account",
                "--worker-option service_accounts=admin",
            ),
            ({"gpu": 2, "pod": PodSettings(limits={"nvidia.com/gpu": "1"})}, "gpu", "expected 1, as pod says"),
            (
                {
                    "pod": PodSettings(
                        annotations={"container.apparmor.security.beta.kubernetes.io/trial": "unconfined"}
                    )
                },
                "pod.annotations.container.apparmor.security.beta.kubernetes.io/trial",
                "expected runtime/default",
            ),
        ],
    )
    def test_what_cannot_run_here_is_refused_with_its_path(
        self, changes: dict[str, Any], field: str, expected: str
    ) -> None:
        study = replace(STUDY, **changes)
        check_study(study)
        (found,) = check_pod(study, POLICY)
        assert found.field == field
        assert expected in found.expected

    def test_clients_run_their_trials_themselves(self) -> None:
        assert check_pod(replace(STUDY, algorithm="", image="", command=()), POLICY) == []

    def test_what_the_operator_opens_is_open(self) -> None:
        study = replace(STUDY, pod=PodSettings(namespace="team", service_account="trainer"))
        named = replace(POLICY, namespaces=("team",), service_accounts=("trainer",))
        anything = replace(POLICY, namespaces=("*",), service_accounts=("*",))
        assert check_pod(study, named) == check_pod(study, anything) == []

    def test_an_operator_who_closes_something_closes_it_for_studies_that_run(self) -> None:
        open_policy = replace(POLICY, namespaces=("team",), service_accounts=("trainer",), allow_host_path=True)
        volumes = [{"name": "v", "hostPath": {"path": "/"}}]
        for settings in (
            PodSettings(namespace="team"),
            PodSettings(service_account="trainer"),
            template({"containers": [{"name": "trial"}], "volumes": volumes}),
        ):
            run = run_of(replace(STUDY, pod=settings))
            make_pod(run, open_policy)
            with pytest.raises(InvalidArgumentError, match=r"not open|not allowed"):
                make_pod(run, POLICY)

    def test_a_study_that_began_on_another_worker_is_refused_in_words(self) -> None:
        """Nobody has checked for Pods what was created for processes."""
        for settings in (
            template("x"),
            template({"containers": "x"}),
            template({"containers": []}),
            template({"containers": ["x"]}),
            template({"containers": [{"name": "trial", "env": "x"}]}),
            template({"containers": [{"name": "trial", "resources": {"limits": "x"}}]}),
            template({"containers": [{"name": "trial", "volumeMounts": [1]}]}),
            template({"containers": [{"name": "trial"}], "nodeSelector": 1, "tolerations": 2, "imagePullSecrets": 3}),
            PodSettings(template='{"metadata":"x","spec":{"containers":[{"name":"trial"}]}}'),
            PodSettings(template="{}"),
        ):
            with pytest.raises(InvalidArgumentError):
                make_pod(run_of(replace(STUDY, pod=settings, gpu=1, mount=Mount("a", "/a"))), POLICY)
        with pytest.raises(InvalidArgumentError, match="image"):
            make_pod(run_of(replace(STUDY, image="")), POLICY)


class TestTemplates:
    SPEC: Final = {
        "containers": [
            {"name": "proxy", "image": "proxy:1"},
            {
                "name": "trial",
                "image": "train:2",
                "command": ["train", "--rate=${trialParameters.--lr}", "$(DATA)/${trialParameters.kind}"],
                "env": [
                    {"name": "RUN", "value": "${trialSpec.name}-${trialSpec.Attempt}"},
                    {"name": "DATA", "value": "/data/{{STUDY_ID}}"},
                    {"name": "HOST", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}},
                ],
                "resources": {"requests": {"cpu": "1", "memory": "1Gi"}},
            },
        ],
        "initContainers": [{"name": "log", "image": "log:1", "restartPolicy": "Always"}],
        "tolerations": [{"operator": "Exists"}],
        "imagePullSecrets": [{"name": "one"}],
    }

    def test_the_trials_values_are_put_in(self) -> None:
        run = run_of(
            replace(STUDY, pod=template(self.SPEC, labels={"kind": "${trialParameters.kind}"}), image="", command=())
        )
        policy = replace(POLICY, labels=("kind",))
        assert check_pod(run.study, policy) == []
        pod = make_pod(run, policy)
        container = container_of(pod)
        assert pod["metadata"]["labels"]["kind"] == "a"
        assert container["image"] == "train:2"
        assert container["command"] == ["train", "--rate=0.030", "$(DATA)/a"]
        assert "args" not in container
        assert variables_of(container)["RUN"] == f"{run.trial_id}-2"
        assert variables_of(container)["DATA"] == f"/data/{run.study_id}"
        assert [c["name"] for c in pod["spec"]["containers"]] == ["proxy", "trial"]
        assert "env" not in pod["spec"]["containers"][0]

    def test_the_studys_own_fields_win_over_it(self) -> None:
        settings = replace(
            template(self.SPEC),
            environment={"DATA": "/mine"},
            requests={"cpu": "2"},
            tolerations=(Toleration("a", "Exists"),),
        )
        pod = pod_of(pod=settings, pull_secret="two", gpu=1)
        container = container_of(pod)
        assert (container["image"], container["command"]) == (STUDY.image, ["python", "train.py"])
        assert container["args"] == list(ARGUMENTS)
        assert variables_of(container)["DATA"] == "/mine"
        assert container["resources"]["requests"] == {"cpu": "2", "memory": "1Gi", "nvidia.com/gpu": "1"}
        assert pod["spec"]["tolerations"] == [{"operator": "Exists"}, {"key": "a", "operator": "Exists"}]
        assert pod["spec"]["imagePullSecrets"] == [{"name": "one"}, {"name": "two"}]

    def test_what_a_template_says_of_the_pod_stays(self) -> None:
        spec = {"containers": [{"image": "a"}], "terminationGracePeriodSeconds": 60, "enableServiceLinks": True}
        found = pod_of(pod=template(spec))["spec"]
        assert (found["terminationGracePeriodSeconds"], found["enableServiceLinks"]) == (60, True)
        assert found["restartPolicy"] == "Never"

    @pytest.mark.parametrize(
        ("change", "changes", "field", "expected"),
        [
            ({"x": "${trialParameters.lr}"}, {}, "pod.template.spec.hostname", "is no parameter of the study"),
            ({"x": "${trialParameters.-lr}"}, {}, "pod.template.spec.hostname", "did you mean '--lr'?"),
            ({"x": "${trialSpec.kind}"}, {}, "pod.template.spec.hostname", "expected one of attempt, name, namespace"),
            ({"x": "${trialParameter.--lr}"}, {}, "pod.template.spec.hostname", "expected ${trialParameters.NAME}"),
            ({}, {"command": ()}, "pod.template", "expected ${trialParameters.--lr} somewhere in it, or a command"),
            ({"x": "${trialParameters.--lr}"}, {"command": ()}, "pod.template", "expected ${trialParameters.kind}"),
            ({}, {"image": ""}, "pod.template.spec.containers[0].image", "expected the image"),
        ],
    )
    def test_what_would_be_missing_is_said_at_creation(
        self, change: dict[str, str], changes: dict[str, Any], field: str, expected: str
    ) -> None:
        spec = {"containers": [{"name": "trial"}], "hostname": change.get("x", "")}
        study = replace(STUDY, pod=template(spec), **changes)
        check_study(study)
        found = check_pod(study, POLICY)
        assert found[0].field == field
        assert expected in found[0].expected

    def test_something_else_in_braces_is_the_shells(self) -> None:
        spec = {"containers": [{"name": "trial", "command": ["sh", "-c", "echo ${HOME} $PWD $(date)"]}]}
        found = container_of(make_pod(run_of(replace(STUDY, pod=template(spec), command=())), POLICY))
        assert found["command"] == ["sh", "-c", "echo ${HOME} $PWD $(date)"]

    def test_a_value_that_looks_like_a_reference_stays_as_it_is(self) -> None:
        spec = {"containers": [{"name": "trial", "args": ["${trialParameters.kind}", "${trialParameters.--lr}"]}]}
        arguments = ("kind=${trialParameters.--lr}{{TRIAL_ID}}$(TRIAL_ID)", "--lr=a=b")
        run = run_of(replace(STUDY, pod=template(spec), command=()), arguments)
        container = container_of(make_pod(run, POLICY))
        found = [as_kubernetes_expands(word, variables_of(container)) for word in container["args"]]
        assert found == ["${trialParameters.--lr}{{TRIAL_ID}}$(TRIAL_ID)", "a=b"]


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
