"""What an operator lets a Pod template ask for: the useful passes, the dangerous does not, wherever it stands."""

import json
from dataclasses import replace
from typing import Any

import pytest

from katib.domain.errors import InvalidArgumentError
from katib.domain.pod import PodSettings
from katib.worker.kubernetes.pods import check_pod, make_pod
from tests.worker.kubernetes.pods import STUDY, run_of
from tests.worker.kubernetes.templates import DANGEROUS, NAMES, OPEN, POLICY, USEFUL, C, V, refused, with_value


def test_what_a_study_could_sensibly_want_is_allowed() -> None:
    assert refused(USEFUL) == []


@pytest.mark.parametrize(("where", "value", "option"), DANGEROUS, ids=NAMES)
def test_what_is_dangerous_is_refused_unless_its_own_option_opens_it(where: str, value: Any, option: str) -> None:
    template = with_value(USEFUL, where, value)
    (found,) = refused(template)
    head = ".".join(p for p in where.split(".")[:2] if not p.isdigit())
    assert found.startswith(f"t.{head}")
    for name, policy in OPEN.items():
        assert (refused(template, policy) == []) == (name == option)
    if option:
        assert f"--worker-option {option}=" in found


@pytest.mark.parametrize(
    ("where", "value", "expected"),
    [
        ("spec.nodeSelectr", {}, "a study may not set this (did you mean 'nodeSelector'?)"),
        ("spec.nodeName", "n", "nodes are the scheduler's to choose"),
        (f"{C}.imagePullPolcy", "Always", "did you mean 'imagePullPolicy'?"),
        (f"{V}.hostPath", {"path": "/"}, "--worker-option allow_host_path=true"),
        (f"{C}.env", [{"name": "A", "value": 1}], "expected a text: put it in quotes"),
        ("metadata.labels", {"a": 1}, "expected a text: put it in quotes"),
        ("spec.containers", [], "expected at least one container"),
        ("spec.containers", {}, "expected a list"),
        ("spec.volumes", [None], "expected a mapping"),
        ("metadata", [], "expected a mapping"),
        ("spec", None, "expected the spec of a Pod"),
    ],
)
def test_what_is_refused_is_refused_in_words(where: str, value: Any, expected: str) -> None:
    assert any(expected in line for line in refused(with_value(USEFUL, where, value)))


def test_a_secret_that_is_open_opens_no_other() -> None:
    template = with_value(USEFUL, f"{V}.secret", {"secretName": "other"})
    assert refused(template, OPEN["secrets"]) != []
    assert refused(template, replace(POLICY, secrets=("*",))) == []


def test_a_token_of_an_account_is_for_those_who_may_name_the_account_and_never_for_katib_itself() -> None:
    def asked(account: str, **token: str) -> dict[str, Any]:
        sources = [{"serviceAccountToken": {"path": "t", **token}}]
        template = with_value(USEFUL, f"{V}.projected", {"sources": sources})
        template["spec"]["serviceAccountName"] = account
        return template

    trainer = replace(POLICY, service_accounts=("trainer",))
    assert refused(asked("trainer", audience="vault"), trainer) == []
    for account in ("default", ""):
        (found,) = refused(asked(account, audience="vault"), trainer)
        assert "the service account default is not open to studies" in found
    (found,) = refused(asked("trainer", audience="katib"), trainer)
    assert "expected another audience: a token for Katib itself is for no trial" in found
    assert refused(asked("trainer", audience="katib"), replace(trainer, audience="lab")) == []
    assert refused(asked("trainer", audience="lab"), replace(trainer, audience="lab")) != []


def test_priority_classes_and_pull_secrets_are_what_the_operator_says() -> None:
    listed = replace(POLICY, priority_classes=("batch-low",), pull_secrets=("registry",))
    assert refused(USEFUL, listed) == []
    (found,) = refused(with_value(USEFUL, "spec.priorityClassName", "urgent"), listed)
    assert "--worker-option priority_classes=urgent" in found
    (found,) = refused(with_value(USEFUL, "spec.imagePullSecrets", [{"name": "finance"}]), listed)
    assert "--worker-option pull_secrets=finance" in found
    # The operator's own, which every Pod gets.
    own = replace(POLICY, pull_secrets=(), pull_secret="registry")
    assert refused(USEFUL, own) == []
    closed = check_pod(replace(STUDY, pull_secret="finance", pod=PodSettings(labels={"app": "x"})), listed)
    assert [v.field for v in closed] == ["pull_secret", "pod.labels.app"]


def test_a_parameters_value_cannot_become_what_is_closed() -> None:
    """Where everything under a name is open at creation and closed when the trial starts, too."""
    for where, value in (
        ("spec.serviceAccountName", "${trialParameters.kind}"),
        (f"{V}.secret", {"secretName": "${trialParameters.kind}"}),
        ("metadata.namespace", "${trialParameters.kind}"),
        ("spec.priorityClassName", "${trialParameters.kind}"),
    ):
        template = with_value(USEFUL, where, value)
        opened = replace(POLICY, service_accounts=("${trialParameters.kind}",), secrets=("${trialParameters.kind}",))
        run = run_of(
            replace(STUDY, pod=PodSettings(template=json.dumps(template))), ("kind=system-node-critical", "--lr=1")
        )
        for policy in (POLICY, opened):
            with pytest.raises(InvalidArgumentError):
                make_pod(run, policy)
