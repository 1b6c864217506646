"""The operator's options: each is named when it is wrong, and the documentation lists them all."""

from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import pytest

from katib.domain.errors import InvalidArgumentError
from katib.domain.pod import PodSettings
from katib.domain.search_space import FeasibleSpace, ParameterConfig, ParameterType
from katib.domain.study import Objective, StudySpec
from katib.worker.kubernetes.policy import OPTIONS, Policy, Waits

MANUAL = (Path(__file__).parents[3] / "docs" / "kubernetes.md").read_text()
SPEC = StudySpec(
    "s", "loss", Objective.MINIMIZE, (ParameterConfig("x", ParameterType.DOUBLE, FeasibleSpace("0", "1")),)
)


def test_without_options_nothing_is_open() -> None:
    assert Policy.parse({}) == Policy()
    policy = Policy()
    assert (policy.namespaces, policy.service_accounts, policy.secrets) == ((), (), ())
    assert (policy.allow_host_path, policy.allow_host_network, policy.allow_privileged) == (False, False, False)


def test_every_option_becomes_a_field() -> None:
    given = {
        "namespace": "katib",
        "namespaces": "team-a, team-b",
        "gone_namespaces": "team-old",
        "service_accounts": "trainer",
        "secrets": "*",
        "pull_secrets": "registry",
        "priority_classes": "batch-low",
        "csi_drivers": "fast.example",
        "labels": "team,example.com/",
        "annotations": "*",
        "audience": "lab",
        "allow_host_path": "true",
        "allow_host_network": "true",
        "allow_privileged": "true",
        "scheduler": "volcano",
        "pull_secret": "registry",
        "requests": "cpu=500m,memory=1Gi",
        "limits": "memory=2Gi",
        "gpu_resource": "amd.com/gpu",
        "keep": "all",
        "keep_time": "1d",
        "installation": "lab",
        "kubeconfig": "/etc/kube/config",
        "context": "lab",
        "mount_root": "/mnt/claims",
        "wait_image": "1m",
        "wait_unschedulable": "3d",
    }
    policy = Policy.parse(given)
    assert policy.namespaces == ("team-a", "team-b")
    assert policy.requests == {"cpu": "500m", "memory": "1Gi"}
    assert policy.keep_time == timedelta(days=1)
    assert policy.waits == Waits(image=timedelta(minutes=1), unschedulable=timedelta(days=3))
    unchanged = [f.name for f in fields(Policy) if getattr(policy, f.name) == getattr(Policy(), f.name)]
    assert unchanged == []


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("namespace", "Kube System", "--worker-option namespace: 'Kube System': expected a namespace's name"),
        ("namespaces", "a,B", "expected names of namespaces separated by commas, or * for any"),
        (
            "gone_namespaces",
            "*",
            "--worker-option gone_namespaces: '*': expected names of namespaces that are gone for good",
        ),
        ("allow_privileged", "yes", "--worker-option allow_privileged: 'yes': expected true or false"),
        ("requests", "cpu", "expected resources such as cpu=1,memory=2Gi"),
        ("requests", "cpu=lots", "expected resources such as cpu=1,memory=2Gi"),
        ("gpu_resource", "gpu", "expected a resource such as nvidia.com/gpu"),
        ("keep", "some", "--worker-option keep: 'some': expected none, failed or all"),
        ("keep_time", "soon", "expected a period such as 90s, 10m, 2h or 1h30m"),
        ("keep_time", "400d", "at most 365d"),
        ("installation", "a b", "expected at most 63 letters"),
        ("kep", "all", "--worker-option: 'kep': did you mean keep?"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_expected(name: str, value: str, expected: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        Policy.parse({"scheduler": "volcano", name: value})
    assert expected in str(caught.value)


def test_a_namespace_that_trials_go_to_cannot_be_gone() -> None:
    for options in ({"namespace": "a"}, {"namespaces": "b,a"}):
        with pytest.raises(InvalidArgumentError, match=r"gone_namespaces: 'a': .*none of which stands in namespace or"):
            Policy.parse({**options, "gone_namespaces": "a"})
    assert not Policy.parse({"namespaces": "*", "gone_namespaces": "a"}).allows_namespace("a")


def test_a_study_without_a_namespace_runs_in_the_operators() -> None:
    policy = Policy(namespace="katib")
    assert policy.namespace_of(SPEC) == "katib"
    pod = PodSettings(namespace="team")
    assert policy.namespace_of(StudySpec("s", "l", None, (), pod=pod)) == "team"


def test_a_study_may_say_itself_how_long_to_wait() -> None:
    waits = Waits(image=timedelta(minutes=1))
    policy = Policy(waits=waits)
    assert policy.waits_of(SPEC) == waits
    pod = PodSettings(start_timeout=timedelta(hours=5))
    found = policy.waits_of(StudySpec("s", "l", None, (), pod=pod))
    assert found == Waits(image=timedelta(minutes=1), total=timedelta(hours=5))


def test_the_manual_lists_every_option_with_its_meaning_and_default() -> None:
    rows = [f"| `{row.name}` | {row.meaning} | {_shown(row.default_text)} |" for row in OPTIONS.rows]
    assert [row for row in rows if row not in MANUAL] == []
    named = MANUAL.split("| option | meaning | default |")[1].split("\n\n")[0].count("\n| `")
    assert named == len(rows)


def _shown(default: str) -> str:
    return default if " " in default or default == "none" else f"`{default}`"
