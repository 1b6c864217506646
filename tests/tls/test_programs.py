"""The programs as they are started with certificates: a study in which every connection is by mutual TLS."""

import http.client
import json
import os
import re
import socket
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from katib.api import api_pb2 as pb
from katib.api.api_pb2_grpc import ManagerStub
from katib.api.channel import open_channel
from katib.api.client import ManagerClient
from katib.api.credentials import bearer
from katib.api.tls import ClientTls
from katib.domain.errors import UnimplementedError
from katib.domain.study import StudySpec
from katib.domain.trial import TrialState
from tests.cluster.certificates import Authority
from tests.e2e.harness import BIN, Process, World, finished, study, trials, until
from tests.ports import free_port

NOT_ENCRYPTED = "NOT ENCRYPTED"


@dataclass
class Places:
    """Where everything is, and as whom the tests come."""

    manager: str
    reports: str
    http: int
    ca: str
    user: tuple[str, str]

    def client(self) -> ManagerClient:
        return ManagerClient(self.manager, 60, ClientTls(self.ca, *self.user))


def ready(process: Process) -> None:
    def look() -> bool:
        if process.popen.poll() is not None:
            raise AssertionError(f"it ended with {process.popen.returncode}: {process.output}")
        return bool(re.search(r"\bready\b", process.output))

    until(look)


def start(katib: World, authority: Authority, *services: tuple[str, str], mutual: bool = True) -> Places:
    """A manager and services, `("katib-suggestion", "random")` and so on, all with certificates."""
    ca = str(authority.certificate)
    clients = ("--tls-client-ca", ca) if mutual else ()

    def shown(name: str) -> tuple[str, ...]:
        certificate, key = authority.issue(name, at=["localhost"])
        return ("--tls-cert", str(certificate), "--tls-key", str(key), *clients)

    ports = {"katib-suggestion": free_port(), "katib-earlystopping": free_port()}
    for program, name in services:
        ready(katib.start(program, name, "--listen", f"localhost:{ports[program]}", *shown(name), name=name))
    places = Places(
        f"localhost:{free_port()}",
        f"localhost:{free_port()}",
        free_port(),
        ca,
        tuple(map(str, authority.issue("user"))),  # type: ignore[arg-type]
    )
    # One service of a kind: the name stands where no resolver looks at it.
    manager = katib.start(
        "katib-manager",
        *("--listen", places.manager, "--http", f"localhost:{places.http}", "--tls-ca", ca, *shown("manager")),
        *(("--report-listen", places.reports) if mutual else ()),
        *("--database", f"sqlite:///{katib.folder}/katib.db", "--data", str(katib.folder / "data")),
        *("--suggestion-address", f"dns:///localhost:{ports['katib-suggestion']}?{{algorithm}}"),
        *("--earlystopping-address", f"dns:///localhost:{ports['katib-earlystopping']}?{{algorithm}}"),
    )
    ready(manager)
    return places


def cli(katib: World, *arguments: str, check: bool = True, **environment: str) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [BIN / "katib-cli", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "COLUMNS": "200", **environment},
        cwd=katib.folder,
        check=False,
    )
    assert not check or done.returncode == 0, done.stderr
    return done


def reporting() -> StudySpec:
    """Its trials say what they found by `katib.report` alone, over the connection that they were given."""
    text = "import katib, sys; katib.report(acc=float(sys.argv[1].partition('=')[2])); print('said')"
    return study(command=("python", "-c", text), early_stopping="medianstopping", limits={"max_trials": 3})


@pytest.mark.long
def test_a_whole_study_by_mutual_tls_alone(katib: World, authority: Authority, stranger: Authority) -> None:
    places = start(katib, authority, ("katib-suggestion", "random"), ("katib-earlystopping", "medianstopping"))
    certificate, key = places.user
    environment = {
        "KATIB_SERVER": places.manager,
        "KATIB_TLS_CA": places.ca,
        "KATIB_TLS_CERT": certificate,
        "KATIB_TLS_KEY": key,
    }
    spec = katib.folder / "study.yaml"
    spec.write_text(
        "name: tls\nobjective: {type: maximize, name: acc}\n"
        "parameters: [{name: x, type: double, min: 0, max: 1}]\n"
        "suggest_algorithm: random\nearly_stopping_algorithm: medianstopping\n"
        "max_trials: 3\nmax_parallel: 2\n"
        'command: [sh, -c, "echo acc=${1#x=}", sh]\n'
    )
    done = cli(katib, "create-study", "-f", str(spec), "--watch", **environment)
    assert "COMPLETED" in done.stdout + done.stderr

    # The same by options; and nobody else gets in, whatever it shows.
    options = ("-s", places.manager, "--tls-ca", places.ca, "--tls-cert", certificate, "--tls-key", key)
    assert json.loads(cli(katib, *options, "list-studies", "-o", "json").stdout)
    assert json.loads(cli(katib, "list-studies", "-o", "json", *options).stdout)
    foreign = tuple(map(str, stranger.issue("user")))
    for arguments, said in (
        (("-s", places.manager), "may want TLS (--tls-ca)"),
        (options[:4], "another certificate than --tls-cert, or one at all"),
        ((*options[:4], "--tls-cert", foreign[0], "--tls-key", foreign[1]), "another certificate than --tls-cert"),
        ((*options[:2], "--tls-ca", str(stranger.certificate), *options[4:]), "none of the authorities in --tls-ca"),
        (options[:6], "expected a path beside --tls-cert"),
    ):
        refused = cli(katib, *arguments, "list-studies", check=False)
        assert refused.returncode != 0
        assert said in refused.stderr
        # gRPC's own lines about it are for who looks after gRPC.
        assert "ssl_transport" not in refused.stderr
    assert not any(NOT_ENCRYPTED in process.output for process in katib.processes)


@pytest.mark.long
@pytest.mark.parametrize("mutual", [False, True])
def test_trials_report_over_tls_with_the_authority_that_they_are_given(
    katib: World, authority: Authority, mutual: bool
) -> None:
    services = ("katib-suggestion", "random"), ("katib-earlystopping", "medianstopping")
    places = start(katib, authority, *services, mutual=mutual)
    with places.client() as client:
        study_id = client.create_study(reporting())
        finished(client, study_id)
        found = trials(client, study_id)
        assert {trial.state for trial in found} == {TrialState.COMPLETED}
        logs = [client.trial_log(trial.id) for trial in found]
    # What cannot be sent would have been printed.
    assert [log.data for log in logs] == [b"said\n"] * 3
    if mutual:
        # Whoever else comes to that port finds nothing there.
        with ManagerClient(places.reports, 60, ClientTls(places.ca)) as nobody, pytest.raises(UnimplementedError):
            nobody.list_studies()
        with (
            open_channel(places.reports, tls=ClientTls(places.ca)) as channel,
            pytest.raises(grpc.RpcError, match=r"takes the reports of trials alone.*token of their attempt"),
        ):
            ManagerStub(channel).ReportMetrics(  # type: ignore[no-untyped-call]
                pb.ReportMetricsRequest(trial_id=found[0].id, attempt=1), timeout=60, metadata=bearer("guessed")
            )


@pytest.mark.long
def test_metrics_are_for_who_shows_a_certificate_and_health_for_everybody(katib: World, authority: Authority) -> None:
    places = start(katib, authority, ("katib-suggestion", "random"))

    def get(path: str, user: tuple[str, str] | None) -> int:
        context = ssl.create_default_context(cafile=places.ca)
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if user is not None:
            context.load_cert_chain(*user)
        connection = http.client.HTTPSConnection("localhost", places.http, timeout=30, context=context)
        connection.request("GET", path)
        status = connection.getresponse().status
        connection.close()
        return status

    assert get("/healthz", None) == get("/readyz", None) == 200
    assert get("/metrics", None) == 403
    assert get("/metrics", places.user) == 200
    # Who speaks no TLS, or hangs up, harms nobody.
    with socket.create_connection(("localhost", places.http)) as plain:
        plain.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        try:
            assert b"200" not in plain.recv(100)
        except ConnectionResetError:
            pass
    assert get("/healthz", None) == 200


@pytest.mark.long
def test_the_dashboard_serves_its_pages_over_tls_and_calls_the_manager_so(katib: World, authority: Authority) -> None:
    places = start(katib, authority, ("katib-suggestion", "random"))
    certificate, key = map(str, authority.issue("dashboard", at=["localhost"]))
    port = free_port()
    dashboard = katib.start(
        "katib-dashboard",
        *("--server", places.manager, "--listen", f"localhost:{port}", "--tls-cert", certificate, "--tls-key", key),
        *("--tls-ca", places.ca, "--client-cert", certificate, "--client-key", key),
    )
    until(lambda: f"https://127.0.0.1:{port}/" in dashboard.output or f"https://[::1]:{port}/" in dashboard.output)
    context = ssl.create_default_context(cafile=places.ca)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT

    def page() -> tuple[int, str, bytes]:
        connection = http.client.HTTPSConnection("localhost", port, timeout=60, context=context)
        connection.connect()
        shown = ssl.DER_cert_to_PEM_cert(connection.sock.getpeercert(binary_form=True))  # type: ignore[union-attr]
        connection.request("GET", "/")
        answer = connection.getresponse()
        cookie = answer.getheader("set-cookie", "")
        body = answer.read()
        connection.close()
        assert "; Secure" in cookie
        return answer.status, shown, body

    status, shown, body = page()
    assert (status, shown.split()) == (200, Path(certificate).read_text().split())
    assert b"studies" in body
    authority.issue("dashboard", at=["localhost"])
    until(lambda: page()[1].split() == Path(certificate).read_text().split())
    assert page()[1] != shown


@pytest.mark.long
@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("katib-manager", ("--http", "", "--suggestion-address", "s-{algorithm}:1")),
        ("katib-suggestion", ("random",)),
        ("katib-earlystopping", ("medianstopping",)),
    ],
)
def test_who_listens_elsewhere_in_plaintext_says_so_once(
    katib: World, program: str, arguments: tuple[str, ...]
) -> None:
    process = katib.start(program, *arguments, "--listen", f"0.0.0.0:{free_port()}")
    ready(process)
    assert process.output.count(NOT_ENCRYPTED) == 1
    assert "Give it --tls-cert and --tls-key" in process.output
    at_home = katib.start(program, *arguments, "--listen", f"localhost:{free_port()}", name="at-home")
    ready(at_home)
    assert NOT_ENCRYPTED not in at_home.output


@pytest.mark.long
def test_programs_with_bad_certificates_end_at_once_and_say_which(katib: World, authority: Authority) -> None:
    certificate, _ = map(str, authority.issue("x"))
    _, other = map(str, authority.issue("y"))
    port = f"localhost:{free_port()}"
    for program, *arguments in (
        ("katib-manager", "--listen", port),
        ("katib-suggestion", "random", "--listen", port),
        ("katib-earlystopping", "medianstopping", "--listen", port),
        ("katib-dashboard", "--listen", port),
    ):
        process = katib.start(program, *arguments, "--tls-cert", certificate, "--tls-key", other)
        assert process.popen.wait(60) == 1
        assert process.output.splitlines()[-1].startswith(f"{program}: --tls-key: ")
        assert "expected the key of the certificate" in process.output
