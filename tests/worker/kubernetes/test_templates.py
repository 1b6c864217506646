"""What a study may say of its Pods: what is taken, and what is refused."""

from dataclasses import replace
from typing import Any, Final

import pytest

from katib.domain.errors import InvalidArgumentError
from katib.domain.pod import PodSettings, Toleration
from katib.domain.study import Mount
from katib.domain.study_checks import check_study
from katib.worker.kubernetes.pods import check_pod, make_pod
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
