"""The `pod` block of a study file: its keys, a Pod template as YAML, and the lines of what is wrong."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from katib.domain.errors import violation
from katib.domain.pod import PodSettings, Toleration
from katib.domain.study_file import StudyFileError, parse_study
from katib.domain.study_file_writer import dump_study

HEAD = "name: s\nobjective: {name: loss, type: minimize}\nparameters: [{name: x, type: double, min: 0, max: 1}]\n"
WHOLE = f"""{HEAD}pod:
  namespace: team
  labels: {{kueue.x-k8s.io/queue-name: gpus, empty: }}
  annotations: {{note: "a\\nb"}}
  environment: {{OMP_NUM_THREADS: 1, ANSWER: yes}}
  requests: {{cpu: 0.5, memory: 2Gi}}
  limits: {{nvidia.com/gpu: 1}}
  node_selector: {{disk: ssd}}
  tolerations:
    - {{key: gpu, operator: Exists, effect: NoExecute, toleration_seconds: 30}}
  service_account: trainer
  start_timeout: 2h
"""


def template_of(text: str) -> object:
    """The template in which `text` stands, indented, below `spec`."""
    indented = "".join(f"      {line}\n" for line in text.splitlines())
    found = json.loads(parse_study(f"{HEAD}pod:\n  template:\n    spec:\n{indented}").spec.pod.template)
    return found["spec"]


def refusal(data: str) -> str:
    with pytest.raises(StudyFileError) as caught:
        parse_study(data, "f.yaml")
    return str(caught.value)


def test_every_key_is_read() -> None:
    assert parse_study(WHOLE).spec.pod == PodSettings(
        namespace="team",
        labels={"kueue.x-k8s.io/queue-name": "gpus", "empty": ""},
        annotations={"note": "a\nb"},
        environment={"OMP_NUM_THREADS": "1", "ANSWER": "yes"},
        requests={"cpu": "0.5", "memory": "2Gi"},
        limits={"nvidia.com/gpu": "1"},
        node_selector={"disk": "ssd"},
        tolerations=(Toleration("gpu", "Exists", "", "NoExecute", 30),),
        service_account="trainer",
        start_timeout=timedelta(hours=2),
    )


def test_the_spelling_of_kubernetes_is_known_too() -> None:
    names = {
        "node_selector": "nodeSelector",
        "service_account": "serviceAccount",
        "toleration_seconds": "tolerationSeconds",
    }
    spelled = WHOLE
    for ours, theirs in names.items():
        assert ours in spelled
        spelled = spelled.replace(ours, theirs)
    assert parse_study(spelled).spec == parse_study(WHOLE).spec


def test_a_file_without_pods_says_nothing_of_them() -> None:
    assert parse_study(HEAD).spec.pod == PodSettings()
    assert "pod" not in dump_study(parse_study(HEAD).spec)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("8080", 8080),
        ("-1", -1),
        ("0.5", 0.5),
        ("1e3", 1000.0),
        ("true", True),
        ("False", False),
        ("0644", 0o644),
        ("0o644", 0o644),
        ("null", None),
        ("yes", "yes"),
        ("2001-01-01", "2001-01-01"),
        ("12:30", "12:30"),
        ("1_000", "1_000"),
        ("0x1f", "0x1f"),
        ("0800", "0800"),
        ("'8080'", "8080"),
        ('"true"', "true"),
        ("{}", {}),
        ("[]", []),
    ],
)
def test_values_of_a_template_are_what_kubernetes_sees_in_them(written: str, read: object) -> None:
    assert template_of(f"key: {written}") == {"key": read}


def test_what_kubernetes_wants_as_text_keeps_its_text() -> None:
    assert template_of(
        "containers:\n"
        "  - command: [sleep, 10, 1e-5]\n"
        "    args: [0.030, true]\n"
        "    env: [{name: A, value: 0.030}, {name: B, value: }]\n"
        "    resources: {requests: {cpu: 1}, limits: {memory: 1e9}}\n"
        "    ports: [{containerPort: 80}]\n"
        "nodeSelector: {generation: 3}\n"
    ) == {
        "containers": [
            {
                "command": ["sleep", "10", "1e-5"],
                "args": ["0.030", "true"],
                "env": [{"name": "A", "value": "0.030"}, {"name": "B", "value": ""}],
                "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1e9"}},
                "ports": [{"containerPort": 80}],
            }
        ],
        "nodeSelector": {"generation": "3"},
    }


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("pod:\n  lables: {a: b}\n", "f.yaml:5: pod.lables: there is no such key (did you mean 'labels'?)"),
        (
            "pod: {serviceAcount: a}\n",
            "f.yaml:4: pod.serviceAcount: there is no such key (did you mean 'service_account'?)",
        ),
        ("pod: x\n", "f.yaml:4: pod: 'x': expected 'key: value' on each line"),
        ("pod:\n  labels: [a]\n", "f.yaml:5: pod.labels: expected 'key: value' on each line, found a list"),
        (
            "pod:\n  requests:\n    cpu: half\n",
            "f.yaml:6: pod.requests.cpu: 'half': expected a quantity such as 500m, 2, 512Mi or 8Gi",
        ),
        (
            "pod:\n  requests: {cpu: 2}\n  limits: {cpu: 1500m}\n",
            "f.yaml:5: pod.requests.cpu: '2': expected at most 1500m, its limit",
        ),
        (
            "pod:\n  environment:\n    TRIAL_ID: x\n",
            "f.yaml:6: pod.environment.TRIAL_ID: STUDY_ID, TRIAL_ID and KATIB_...",
        ),
        ("pod:\n  startTimeout: soon\n", "f.yaml:5: pod.startTimeout: 'soon': expected a period such as 90s"),
        ("pod:\n  startTimeout: 0\n", "f.yaml:5: pod.startTimeout: '0s': expected more than 0, at most 30 days"),
        (
            "pod:\n  tolerations:\n    - key: a\n      operator: Is\n",
            "f.yaml:7: pod.tolerations[0].operator: 'Is': expected Equal or Exists",
        ),
        (
            "pod:\n  tolerations:\n    - {key: a, operator: Exists, tolerationSeconds: soon}\n",
            "f.yaml:6: pod.tolerations[0].tolerationSeconds: 'soon': expected a whole number",
        ),
        ("pod:\n  template: x\n", "f.yaml:5: pod.template: 'x': expected a Pod's metadata and spec"),
        ("pod:\n  template: {}\n", "f.yaml:5: pod.template.spec: expected the spec of a Pod"),
        (
            "pod:\n  template:\n    spec: {}\n    status: {}\n",
            "f.yaml:7: pod.template.status: expected metadata and spec, as in a Kubernetes Pod",
        ),
        (
            "pod:\n  template:\n    spec:\n      a: 1\n      a: 2\n",
            "f.yaml:8: pod.template.spec.a: stands on line 7 already",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_line(lines: str, expected: str) -> None:
    message = refusal(HEAD + lines)
    assert message.startswith(expected)
    assert "\n" not in message


def test_what_the_manager_says_of_a_template_is_found_in_the_file() -> None:
    text = HEAD + "pod:\n  template:\n    spec:\n      volumes:\n        - name: v\n          hostPath: {path: /}\n"
    study = parse_study(text, "f.yaml")
    at = "study_config.pod.template.spec.volumes[0].hostPath"
    assert str(study.refused([violation(at, "", "not allowed here")])) == (
        "f.yaml:9: pod.template.spec.volumes[0].hostPath: not allowed here"
    )


def test_the_deepest_templates_of_kubernetes_fit() -> None:
    deep = "{a: " * 12 + "[1]" + "}" * 12
    assert json.dumps(template_of(f"affinity: {deep}")).endswith("[1]" + "}" * 13)


def test_a_template_with_every_kind_of_value_is_written_as_it_was_read() -> None:
    template = {
        "metadata": {"labels": {"a": "1", "b": "true", "": ""}},
        "spec": {
            "texts": ["1", "0644", "yes", "null", "", "1e5", "a: b", "# c", "x\ny\n", " ", "é", "*a", "12:30", "0.5"],
            "others": [1, -1, 0.5, 1e-7, 1e16, True, False, None, {}, []],
            "true": {"8080": {}},
        },
    }
    spec = parse_study(HEAD).spec
    spec = replace(spec, pod=PodSettings(template=json.dumps(template, separators=(",", ":"))))
    assert json.loads(parse_study(dump_study(spec)).spec.pod.template) == template
    assert parse_study(dump_study(spec)).spec == spec
