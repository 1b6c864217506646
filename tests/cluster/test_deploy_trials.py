"""Trials of a Katib in the cluster: what their programs tell the managers, what ends them, and what managers may do."""

import re
import urllib.request
from dataclasses import replace

import psutil
import pytest

from katib.domain.study import Limits, Setting, StudyState
from katib.domain.trial import Trial, TrialReason, TrialState
from katib.worker.kubernetes.podapi import VERBS
from tests.cluster.api import Object, states
from tests.cluster.cluster import Cluster
from tests.cluster.installation import MANAGER, Installation, studies_end
from tests.cluster.outside import STEPS, values
from tests.cluster.processes import ClusterError, wait_until
from tests.e2e.harness import study, trials, until

pytestmark = pytest.mark.timeout(1200)

STUDY_S = 300.0


def ended(installed: Installation, study_id: str) -> list[Trial]:
    """A study's trials at its end."""
    studies_end(installed, study_id)
    with installed.client() as client:
        return trials(client, study_id)


def pods_of(installed: Installation, study_id: str) -> list[Object]:
    found = installed.trial_pods()
    return [pod for pod in found if pod["metadata"]["labels"]["katib.kubeflow.org/study"] == study_id]


def test_trials_report_to_the_managers_by_their_service_from_another_namespace(installed: Installation) -> None:
    """By a call, and not by way of their output, which is there for when none gets through."""
    program = "import katib, sys; katib.report(acc=sys.argv[-1].partition('=')[2], step=1); print('done')"
    spec = replace(
        study(name="reports", image=MANAGER, limits={"max_trials": 2}), command=("python3", "-c", program, "--")
    )
    with installed.client() as client:
        study_id = client.create_study(spec)
        for trial in ended(installed, study_id):
            assert trial.state is TrialState.COMPLETED, trial.message
            (observation,) = client.get_trial(trial.id).observations
            assert (repr(observation.value), observation.step) == (trial.parameters[0].value, 1)
            assert client.trial_log(trial.id).data == b"done\n"


def test_a_rule_in_a_container_ends_the_pods_of_hopeless_trials_and_nothing_waits_for_them(
    installed: Installation,
) -> None:
    spec = replace(
        study(
            name="hopeless",
            image=installed.cluster.busybox,
            script="echo acc=9; trap 'echo told to end; exit 3' TERM; sleep 600 & wait",
            limits={"max_trials": 2, "max_parallel": 2},
        ),
        early_stopping="threshold",
        early_stopping_settings=(Setting("Upper", "5"),),
    )
    with installed.client() as client:
        study_id = client.create_study(spec)
        found = ended(installed, study_id)
        assert client.get_study(study_id).summary.state is StudyState.COMPLETED
        assert [(t.state, t.reason) for t in found] == [(TrialState.KILLED, TrialReason.EARLY_STOPPED)] * 2
        assert values(found) == [9.0, 9.0]
        for trial in found:
            assert b"told to end" in client.trial_log(trial.id).data
    pods = pods_of(installed, study_id)
    assert len(pods) == 2
    assert all("terminated" in state for pod in pods for state in states(pod))


def test_the_dashboard_answers_through_its_service_with_what_the_managers_know(installed: Installation) -> None:
    service = installed.cluster.get("service", "katib-dashboard", installed.namespace)["spec"]

    def page(path: str) -> str:
        # As whoever has its port forwarded calls it.
        at = f"http://{service['clusterIP']}:{service['ports'][0]['port']}{path}"
        with urllib.request.urlopen(urllib.request.Request(at, headers={"Host": "localhost"}), timeout=30) as answer:
            assert answer.status == 200
            return str(answer.read().decode())

    with installed.client() as client:
        study_id = client.create_study(
            study(name="on-a-page", image=installed.cluster.busybox, limits={"max_trials": 1})
        )
        assert "on-a-page" in page("/")
        (trial,) = ended(installed, study_id)
    shown = page(f"/studies/{study_id}")
    assert "on-a-page" in shown
    assert StudyState.COMPLETED.value.lower() in shown.lower()
    # What the page draws its charts with is in the image, and the trial is in what it draws.
    for script in re.findall(r'<script type="module" src="([^"]+)"', shown):
        assert "import" in page(script)
    header, row = page(f"/studies/{study_id}/trials.csv").splitlines()
    assert "number" in header
    assert trial.id in row


def test_the_manager_of_a_study_that_is_killed_is_followed_by_the_other(installed: Installation) -> None:
    """By SIGKILL, in the middle: no trial is lost, none is run twice, no line is missing."""
    assert isinstance(installed.cluster, Cluster)
    with installed.client() as client:
        limits = {"max_trials": 10, "max_parallel": 3}
        study_id = client.create_study(
            study(name="killed", image=installed.cluster.busybox, script=STEPS, limits=limits)
        )
        until(lambda: client.get_study(study_id).summary.completed >= 1, STUDY_S)
    owner = until(lambda: manager_of(installed, study_id), STUDY_S, poll=0.5)
    lives = installed.lives()
    manager_process(owner).kill()
    found = ended(installed, study_id)
    assert [(trial.state, trial.attempt) for trial in found] == [(TrialState.COMPLETED, 1)] * 10
    with installed.client() as client:
        for trial in found:
            seen = [observation.value for observation in client.get_trial(trial.id).observations]
            assert seen == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, float(trial.parameters[0].value)])
    assert len(pods_of(installed, study_id)) <= 10
    until(lambda: changed(lives, installed) == {owner}, STUDY_S, poll=0.5)


def manager_of(installed: Installation, study_id: str) -> str:
    """The Pod whose manager looks after the study, as the database has it; empty: none does just now."""
    query = f"SELECT m.host FROM studies s JOIN managers m ON m.id = s.manager WHERE s.id = '{study_id}'"
    command = f'mariadb --user=root --password="$MARIADB_ROOT_PASSWORD" --skip-column-names katib -e "{query}"'
    return installed.kubectl("exec", "katib-database-0", "--", "sh", "-c", command).partition("/")[0].strip()


def manager_process(pod: str) -> psutil.Process:
    """Seen from this machine, which is the node."""
    for process in psutil.process_iter(["cmdline"]):
        if any(word.endswith("katib-manager") for word in process.info["cmdline"] or []):
            try:
                if process.environ().get("HOSTNAME") == pod:
                    return process
            except psutil.Error:
                continue
    raise AssertionError(f"no process of {pod}")


def changed(before: object, installed: Installation) -> set[str]:
    assert isinstance(before, dict)
    return {name for name, life in installed.lives().items() if before.get(name) != life}


# Who may do what


def test_the_manager_has_used_every_verb_that_it_is_given_and_wanted_no_other(installed: Installation) -> None:
    """By what the API server has written down: of all tests above, of a study that is stopped after somebody has deleted one of
    its Pods, and of the log of a Pod that is gone when nobody remembers it."""
    assert isinstance(installed.cluster, Cluster)
    with installed.client() as client:
        brief = study(name="brief", image=installed.cluster.busybox, script="echo acc=1", limits={"max_trials": 1})
        brief_id = client.create_study(brief)
        spec = replace(
            brief, name="verbs", command=("sh", "-c", "echo acc=1; sleep 600", "sh"), limits=Limits(max_trials=2)
        )
        study_id = client.create_study(spec)
        until(lambda: client.get_study(study_id).summary.running == 2, STUDY_S)

        pod = until(lambda: pods_of(installed, study_id), STUDY_S)[0]
        installed.cluster.kubectl("delete", "pod", pod["metadata"]["name"], "-n", installed.trials, "--grace-period=1")
        client.stop_study(study_id)
    for one in (study_id, brief_id):
        studies_end(installed, one)
    # What ended well is removed when no late manager can start it any more.
    until(lambda: not pods_of(installed, brief_id), STUDY_S, poll=1)
    installed.kubectl("rollout", "restart", "deployment/katib-manager")
    installed.wait_until_working()
    with installed.client() as client:
        assert client.trial_log(trials(client, brief_id)[0].id).data == b""
    granted = {(resource, verb) for resource, verbs in VERBS.items() for verb in verbs}
    user = f"system:serviceaccount:{installed.namespace}:katib-manager"

    def used() -> bool:
        asked = installed.cluster.asked_by(user)  # type: ignore[attr-defined]
        if any(code == 403 for _, _, code in asked):
            raise AssertionError(f"refused: {sorted(asked)}")
        unused = granted - {(resource, verb) for resource, verb, _ in asked}
        if unused:
            raise ClusterError(f"never used: {sorted(unused)}")
        return True

    wait_until("the use of every verb", used, timeout=60, every=1)
    assert {(resource, verb) for resource, verb, _ in installed.cluster.asked_by(user)} == granted
    may = installed.kubectl("auth", "can-i", "--list", f"--as={user}")
    assert "secrets" not in may
