"""What a study says of its Pods: what Kubernetes would refuse is refused before anything is stored."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from katib.domain.pod import (
    MAX_DEPTH,
    MAX_TEMPLATE,
    NO_POD_SETTINGS,
    PodSettings,
    Toleration,
    check_pod_settings,
    is_label_value,
    is_qualified_name,
    parse_template,
    quantity,
)

FULL = PodSettings(
    namespace="team-a",
    labels={"kueue.x-k8s.io/queue-name": "gpus", "empty": "", "A_b.c-D": "v_1.x-Y"},
    annotations={"scheduling.volcano.sh/queue-name": "any text\nat all"},
    environment={"OMP_NUM_THREADS": "1", "_x.y-z": ""},
    requests={"cpu": "500m", "memory": "1Gi", "nvidia.com/gpu": "1"},
    limits={"cpu": "0.5", "memory": "1.5e9", "nvidia.com/gpu": "1", "hugepages-2Mi": "4Mi"},
    node_selector={"kubernetes.io/arch": "arm64"},
    tolerations=(Toleration("a", "Equal", "b", "NoSchedule"), Toleration(operator="Exists")),
    service_account="trainer.v2",
    start_timeout=timedelta(hours=1),
    template='{"apiVersion":"v1","kind":"Pod","metadata":{},"spec":{"containers":[]}}',
)


def test_what_kubernetes_takes_is_accepted() -> None:
    assert check_pod_settings(FULL) == []
    assert check_pod_settings(NO_POD_SETTINGS) == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"namespace": "a.b"}, "namespace"),
        ({"namespace": "-a"}, "namespace"),
        ({"namespace": "a" * 64}, "namespace"),
        ({"service_account": "Trainer"}, "service_account"),
        ({"labels": {"a b": "c"}}, "labels"),
        ({"labels": {"": "c"}}, "labels"),
        ({"labels": {"x/y/z": "c"}}, "labels"),
        ({"labels": {"a": "b c"}}, "labels.a"),
        ({"labels": {"a": "-b"}}, "labels.a"),
        ({"labels": {"a": "b" * 64}}, "labels.a"),
        ({"labels": {"a": "b\n"}}, "labels.a"),
        ({"labels": {"katib.kubeflow.org/trial": "b"}}, "labels.katib.kubeflow.org/trial"),
        ({"labels": {f"k{i}": "" for i in range(101)}}, "labels"),
        ({"annotations": {"katib.kubeflow.org/study-name": "b"}}, "annotations.katib.kubeflow.org/study-name"),
        ({"annotations": {"a": "\0"}}, "annotations.a"),
        ({"annotations": {"a": "x" * 40_000}}, "annotations"),
        ({"environment": {"1a": "b"}}, "environment"),
        ({"environment": {"a=b": "c"}}, "environment"),
        ({"environment": {"a": "\0"}}, "environment.a"),
        ({"environment": {"a": "\ud800"}}, "environment.a"),
        ({"environment": {"STUDY_ID": "x"}}, "environment.STUDY_ID"),
        ({"environment": {"KATIB_MANAGER": "x"}}, "environment.KATIB_MANAGER"),
        ({"environment": {"a": "x" * 40_000}}, "environment"),
        ({"requests": {"gpu": "1"}}, "requests"),
        ({"requests": {"requests.nvidia.com/gpu": "1"}}, "requests"),
        ({"requests": {"cpu": "1 core"}}, "requests.cpu"),
        ({"requests": {"cpu": "-1"}}, "requests.cpu"),
        ({"requests": {"cpu": "1k1"}}, "requests.cpu"),
        ({"requests": {"memory": "1gb"}}, "requests.memory"),
        ({"requests": {"memory": "2Gi"}, "limits": {"memory": "2G"}}, "requests.memory"),
        ({"limits": {"nvidia.com/gpu": "0.5"}}, "limits.nvidia.com/gpu"),
        ({"requests": {"amd.com/gpu": "1"}, "limits": {"amd.com/gpu": "2"}}, "requests.amd.com/gpu"),
        ({"node_selector": {"a": "b c"}}, "node_selector.a"),
        ({"tolerations": (Toleration(),)}, "tolerations[0].key"),
        ({"tolerations": (Toleration("a", "Like"),)}, "tolerations[0].operator"),
        ({"tolerations": (Toleration("a", "Exists", "b"),)}, "tolerations[0].value"),
        ({"tolerations": (Toleration("a", effect="Evict"),)}, "tolerations[0].effect"),
        ({"tolerations": (Toleration("a", seconds=1),)}, "tolerations[0].toleration_seconds"),
        ({"tolerations": (Toleration("a"),) * 101}, "tolerations"),
        ({"start_timeout": timedelta(0)}, "start_timeout"),
        ({"start_timeout": timedelta(days=31)}, "start_timeout"),
        ({"template": "{"}, "template"),
        ({"template": "[]"}, "template"),
        ({"template": '{"spec":{"a":NaN}}'}, "template"),
        ({"template": '{"spec":[]}'}, "template.spec"),
        ({"template": '{"spec":{},"status":{}}'}, "template.status"),
        ({"template": '{"spec":{"a":"' + "x" * MAX_TEMPLATE + '"}}'}, "template"),
        ({"template": '{"spec":' + '{"a":' * MAX_DEPTH + "1" + "}" * MAX_DEPTH + "}"}, "template"),
        ({"template": "[" * 100_000}, "template"),
    ],
)
def test_what_kubernetes_would_refuse_is_refused_with_its_path(change: dict[str, Any], field: str) -> None:
    (found,) = check_pod_settings(replace(NO_POD_SETTINGS, **change), "study_config.pod")
    assert found.field == f"study_config.pod.{field}"
    assert found.expected


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", "0"),
        ("1.", "1"),
        (".5", "0.5"),
        ("500m", "0.5"),
        ("2k", "2000"),
        ("1Ki", "1024"),
        ("1.5Gi", str(1536 * 2**20)),
        ("1E", "1e18"),
        ("1Ei", str(2**60)),
        ("1e3", "1000"),
        ("1E3", "1000"),
        ("12e-1", "1.2"),
        ("5n", "5e-9"),
    ],
)
def test_quantities_are_read_as_kubernetes_reads_them(text: str, number: str) -> None:
    assert quantity(text) == Decimal(number)


@pytest.mark.parametrize(
    "text", ["", "1 ", "1K", "1mi", "e3", "1e", "1e1000", "0x1", "1,5", "١", "1GB", "-1", "1" * 50]
)
def test_what_is_no_quantity_is_none(text: str) -> None:
    assert quantity(text) is None


@given(st.text(max_size=5))
def test_checks_of_names_never_accept_what_could_not_stand_in_a_label(text: str) -> None:
    fit = all(c in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_." for c in text)
    assert not is_label_value(text) or fit
    assert not is_qualified_name(text) or fit or "/" in text


def test_a_template_may_be_as_deep_as_kubernetes_needs_it() -> None:
    text = '{"spec":' + '{"a":' * (MAX_DEPTH - 2) + "1" + "}" * (MAX_DEPTH - 2) + "}"
    assert "spec" in parse_template(text)
