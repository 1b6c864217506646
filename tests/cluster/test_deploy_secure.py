"""An installation with mutual TLS everywhere, as the overlay `secure-secrets` makes it: every part calls every other with a
certificate, trials report without one, and nobody else gets in."""

import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from katib.api.client import ManagerClient
from katib.api.tls import ClientTls
from katib.domain.errors import KatibError
from katib.domain.study import Setting
from katib.domain.trial import TrialReason, TrialState
from tests.cluster.installation import (
    MANAGER,
    Installation,
    Installations,
    described_if_tests_fail,
    mariadb_image,
    studies_end,
    with_mariadb,
)
from tests.deploy.manifests import DEPLOY
from tests.e2e.harness import study, trials

pytestmark = pytest.mark.timeout(1200)

# Those that the study below asks.
SERVICES = ("random", "threshold")
SCRIPT = DEPLOY / "components" / "tls" / "create_secrets.py"
# By call, with the token that a trial has; hopeless ones go on until a rule's service has them stopped. A container's first
# process is deaf to SIGTERM unless it listens.
REPORTS = """
import katib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))
x = float(sys.argv[-1].partition("=")[2])
katib.report(acc=x, step=1)
time.sleep(600 if x < 0.5 else 0)
"""


class Secured(Installation):
    """Its client shows a certificate that the script has made for a person."""

    def __init__(self, installed: Installation, certificates: Path) -> None:
        super().__init__(installed.cluster)
        self.certificates = certificates
        made(certificates, "--client", "ann")

    def client(self) -> ManagerClient:
        shown = (str(self.certificates / "ann.crt"), str(self.certificates / "ann.key"))
        return ManagerClient(self.address, 30, ClientTls(self.authority, *shown, server_name="katib-manager"))

    @property
    def authority(self) -> str:
        return str(self.certificates / "ca.crt")


def made(folder: Path, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, SCRIPT, folder, *options], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def secured(
    installations: Installations, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Secured]:
    certificates = tmp_path_factory.mktemp("certificates")

    def manifest(folder: Path) -> str:
        return f"{with_mariadb(folder, 'components/tls', services=SERVICES)}\n---\n{made(certificates)}"

    it = Secured(installations.get("secure", manifest, mariadb_image), certificates)
    it.wait_until_working()
    with described_if_tests_fail(request.session, it):
        yield it


def test_a_study_runs_by_services_that_ask_for_certificates_and_trials_report_without_one(secured: Secured) -> None:
    spec = replace(
        study(name="secured", image=MANAGER, limits={"max_trials": 6, "max_parallel": 3}),
        command=("python3", "-c", REPORTS, "--"),
        early_stopping="threshold",
        early_stopping_settings=(Setting("Lower", "0.5"),),
    )
    with secured.client() as client:
        study_id = client.create_study(spec)
        studies_end(secured, study_id)
        found = trials(client, study_id)
    ends = {(trial.state, trial.reason) for trial in found}
    assert ends <= {(TrialState.COMPLETED, ""), (TrialState.KILLED, TrialReason.EARLY_STOPPED)}, found
    assert [trial.objective for trial in found] == [float(trial.parameters[0].value) for trial in found]
    assert all((trial.objective or 0) >= 0.5 for trial in found if trial.state is TrialState.COMPLETED)
    assert "secured" in secured.cli("list", "studies")
    assert all(restarts == 0 for _, restarts in secured.lives().values())


def test_whoever_shows_no_certificate_is_told_nothing(secured: Secured) -> None:
    for tls in (None, ClientTls(secured.authority, server_name="katib-manager")):
        with ManagerClient(secured.address, 10, tls) as client, pytest.raises(KatibError):
            client.list_studies()


def test_the_dashboard_is_read_over_https_and_reads_the_managers_by_its_own_certificate(secured: Secured) -> None:
    service = secured.cluster.get("service", "katib-dashboard", secured.namespace)["spec"]
    context = ssl.create_default_context(cafile=secured.authority)
    context.check_hostname = False  # its address is not among its names; as one forwards a port it is `localhost`
    at = f"https://{service['clusterIP']}:{service['ports'][0]['port']}/"
    request = urllib.request.Request(at, headers={"Host": "localhost"})
    with urllib.request.urlopen(request, timeout=30, context=context) as answer:
        assert answer.status == 200
        assert "secured" in answer.read().decode()
