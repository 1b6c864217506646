"""The Kubernetes worker keeps the workers' contract in a real cluster."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from katib.domain.pod import PodSettings
from katib.domain.study import StudySpec
from katib.worker.base import RunPhase
from katib.worker.kubernetes.access import open_access
from katib.worker.kubernetes.policy import KEEP_NONE, Policy
from katib.worker.kubernetes.worker import KubernetesWorker
from tests.cluster.account import assert_nothing_else_was_asked, grant, make_account
from tests.cluster.api import Api
from tests.worker.contract import WorkerContract
from tests.worker.driving import Driver


@pytest.fixture(scope="module")
def account(cluster: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A namespace for all of them, and the way there with the rights that `deploy/` gives the manager."""
    kubeconfig = tmp_path_factory.mktemp("account") / "kubeconfig"
    with cluster.namespace() as namespace:
        make_account(cluster, namespace, kubeconfig)
        grant(cluster, namespace)
        yield namespace, kubeconfig
        assert_nothing_else_was_asked(cluster, namespace)


class TestKubernetesWorker(WorkerContract):
    # A Pod takes seconds.
    deadline_s = 120.0

    @pytest.fixture(autouse=True)
    def image(self, cluster: Api) -> None:
        self.busybox = cluster.busybox

    def study(self) -> StudySpec:
        """A shell that does not listen to SIGTERM waits out its grace, which is short here."""
        template = {"spec": {"terminationGracePeriodSeconds": 2, "containers": [{"name": "trial"}]}}
        return replace(super().study(), image=self.busybox, pod=PodSettings(template=json.dumps(template)))

    @pytest.fixture
    def new_worker(self, account: tuple[str, Path]) -> Iterator[Callable[[], KubernetesWorker]]:
        namespace, kubeconfig = account
        made: list[KubernetesWorker] = []

        def make() -> KubernetesWorker:
            policy = Policy(namespace=namespace, keep=KEEP_NONE)
            made.append(KubernetesWorker(open_access(str(kubeconfig)), policy, fence_s=5.0))
            return made[-1]

        yield make
        for worker in made:
            worker.close()

    def test_a_run_that_is_killed_fails_and_says_by_what(self, driver: Driver) -> None:
        """By somebody else in its container: the first process of one is deaf to what comes from inside."""
        status = driver.ended(driver.start("sh", "-c", "sh -c 'kill -KILL $$'; exit $?"))
        assert (status.phase, status.exit_code) == (RunPhase.FAILED, 137)
        assert status.reason

    def test_parameters_arrive_exactly_as_they_are(self, driver: Driver) -> None:
        """Without Python in the image: one to a line, and no line ends in them."""
        arguments = [
            "lr=0.1",
            "--flag",
            "quote='single' \"double\"",
            "space=a b  c ",
            "shell=$(touch /tmp/no) `id` ; exit 9 && | > < * ? ~ !",
            "dollar=$HOME $$ $(HOME) ${HOME} $(STUDY_ID) {{STUDY_ID}} $$(HOME) $$$(X)",
            "back\\slash=\\n\\",
            "unicode=żółć 模型 🚀",
            "=",
            "percent=%s%n",
        ]
        name = driver.start("sh", "-c", 'for word; do printf "%s|\\n" "$word"; done', "sh", arguments=arguments)
        driver.ended(name)
        assert driver.texts(name) == [f"{argument}|" for argument in arguments]

    def test_the_words_of_the_command_are_not_interpreted_either(self, driver: Driver) -> None:
        words = ["$(id)", "a b", "$HOME", "'", ";", "*", "$(STUDY_ID)"]
        name = driver.start("sh", "-c", 'for word; do printf "%s|\\n" "$word"; done', "sh", *words)
        driver.ended(name)
        assert driver.texts(name) == [f"{word}|" for word in words]

    def test_another_worker_does_not_list_what_was_deleted(
        self, driver: Driver, new_worker: Callable[[], KubernetesWorker]
    ) -> None:
        """It does, until it is let go of again: see tests/worker/kubernetes/test_contract.py."""
        gone, kept = driver.start("true"), driver.start("true")
        for name in (gone, kept):
            driver.ended(name)
        driver.worker.delete(driver.study_id, gone)
        other = new_worker()
        other.list(driver.study_id)
        other.delete(driver.study_id, gone)
        assert [status.name for status in other.list(driver.study_id)] == [kept]
