"""What the overlays `secure` and `secure-secrets` turn on, and whether its certificates are what the programs need."""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc

from katib.api import rpc
from katib.api.channel import open_channel
from katib.api.tls import ClientTls, ServerTls
from katib.manager.settings import Settings
from tests.deploy.manifests import (
    DEPLOY,
    Manifests,
    Object,
    containers,
    default,
    name_of,
    overlay,
    rendered,
    template,
)
from tests.deploy.test_manifests import SERVICES
from tests.e2e.harness import PATIENCE_S

SCRIPT = DEPLOY / "components" / "tls" / "create_secrets.py"
OVERLAYS = ("secure", "secure-secrets")
FILES = "/etc/katib/tls"


def mounted(workload: Object) -> str:
    """The Secret that is at FILES."""
    (mount,) = [m for m in containers(workload)[0]["volumeMounts"] if m["mountPath"] == FILES]
    (volume,) = [v for v in template(workload)["spec"]["volumes"] if v["name"] == mount["name"]]
    assert mount["readOnly"]
    assert volume["secret"]["defaultMode"] == 0o440
    return str(volume["secret"]["secretName"])


@pytest.mark.parametrize("name", OVERLAYS)
def test_everything_that_is_listened_at_is_by_mutual_tls_but_health(name: str) -> None:
    found = overlay(name)
    for workload in found.all("Deployment"):
        environment = found.environment(containers(workload)[0])
        assert environment["KATIB_TLS_CERT"] == f"{FILES}/tls.crt"
        assert environment["KATIB_TLS_KEY"] == f"{FILES}/tls.key"
        assert environment["KATIB_TLS_CLIENT_CA"] == f"{FILES}/ca.crt"
        is_manager = name_of(workload) == "katib-manager"
        assert mounted(workload) == ("katib-manager-tls" if is_manager else "katib-services-tls")
    assert found.settings["KATIB_TLS_CA"] == f"{FILES}/ca.crt"


@pytest.mark.parametrize("name", OVERLAYS)
def test_trials_report_to_the_port_that_asks_for_no_certificate(name: str) -> None:
    found = overlay(name)
    (container,) = containers(found.one("Deployment", "katib-manager"))
    (port,) = [p for p in container["ports"] if p["name"] == "reports"]
    assert found.settings["KATIB_REPORT_LISTEN"] == f"[::]:{port['containerPort']}"
    assert found.environment(container)["KATIB_ADVERTISE_ADDRESS"] == "katib-reports.$(POD_NAMESPACE):6789"
    # A variable is put in the place of its name only where it stands before.
    names = [e["name"] for e in container["env"]]
    assert names.index("POD_NAMESPACE") < names.index("KATIB_ADVERTISE_ADDRESS")
    assert found.one("Service", "katib-reports")["spec"]["ports"][0]["targetPort"] == "reports"


@pytest.mark.parametrize("name", OVERLAYS)
def test_it_is_the_default_and_what_tls_needs(name: str) -> None:
    found = overlay(name)
    more = {(o["kind"], name_of(o)) for o in found.objects} - {(o["kind"], name_of(o)) for o in default().objects}
    ours = {(kind, what) for kind, what in more if kind != "ConfigMap"}
    secrets = {("Service", "katib-reports"), ("NetworkPolicy", "katib-reports")}
    certificates = {
        *(("Issuer", what) for what in ("katib-selfsigned", "katib-ca")),
        *(("Certificate", f"katib-{what}") for what in ("ca", "manager", "services", "dashboard", "client")),
    }
    assert ours == secrets | (certificates if name == "secure" else set())


def test_cert_manager_makes_every_secret_that_is_mounted_for_the_names_that_are_called() -> None:
    found = overlay("secure")
    certificates = {c["spec"]["secretName"]: c["spec"] for c in found.all("Certificate")}
    assert {mounted(w) for w in found.all("Deployment")} <= certificates.keys()
    assert "katib-dashboard-tls" in certificates
    assert set(certificates["katib-services-tls"]["dnsNames"]) == SERVICES
    manager = certificates["katib-manager-tls"]
    assert {"katib-manager", "katib-manager.katib", "katib-reports.katib", "localhost"} <= set(manager["dnsNames"])
    issuers = {name_of(i): i["spec"] for i in found.all("Issuer")}
    for secret, spec in certificates.items():
        # What cert-manager.io/v1 knows, as far as it is used here; usages of a kind that it knows.
        assert spec.keys() <= {
            *("secretName", "commonName", "dnsNames", "usages", "duration", "renewBefore"),
            *("privateKey", "isCA", "issuerRef"),
        }
        assert set(spec.get("usages", [])) <= {"digital signature", "server auth", "client auth"}
        assert spec["issuerRef"]["name"] in issuers
        assert spec.get("isCA", False) == (secret == "katib-ca")
        assert int(spec["renewBefore"].removesuffix("h")) < int(spec["duration"].removesuffix("h"))
    assert issuers == {"katib-selfsigned": {"selfSigned": {}}, "katib-ca": {"ca": {"secretName": "katib-ca"}}}
    # Only the manager's and the dashboard's processes call; a service has nobody to show anything to.
    calls = {secret for secret, spec in certificates.items() if "client auth" in spec.get("usages", [])}
    assert calls == {"katib-manager-tls", "katib-dashboard-tls", "katib-client-tls"}


@pytest.mark.long
def test_the_dashboard_speaks_tls_to_browsers_and_to_the_manager(tmp_path: Path) -> None:
    base = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    at = "/".join([".."] * len(tmp_path.resolve().parts[1:])) + str(DEPLOY)
    used = [f"{at}/components/{part}" for part in ("dashboard", "tls")]
    (tmp_path / "kustomization.yaml").write_text(
        yaml.safe_dump({**base, "resources": [f"{at}/overlays/default"], "components": used})
    )
    found = Manifests(rendered(tmp_path))
    dashboard = found.one("Deployment", "katib-dashboard")
    (container,) = containers(dashboard)
    environment = found.environment(container)
    for prefix in ("KATIB_DASHBOARD_TLS", "KATIB_TLS"):
        assert (environment[f"{prefix}_CERT"], environment[f"{prefix}_KEY"]) == (f"{FILES}/tls.crt", f"{FILES}/tls.key")
    assert environment["KATIB_TLS_CA"] == f"{FILES}/ca.crt"
    assert mounted(dashboard) == "katib-dashboard-tls"
    for kind in ("startup", "readiness", "liveness"):
        assert container[f"{kind}Probe"]["httpGet"]["scheme"] == "HTTPS"


# The plain Secrets


def create(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, SCRIPT, folder, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def unpacked(said: str, folder: Path) -> dict[str, Path]:
    """Each Secret as the folder that a Pod finds."""
    found = {}
    for secret in json.loads(said)["items"]:
        at = folder / secret["metadata"]["name"]
        at.mkdir(parents=True)
        for name, data in secret["data"].items():
            (at / name).write_bytes(base64.b64decode(data))
        found[secret["metadata"]["name"]] = at
    return found


@contextmanager
def serving(secret: Path) -> Iterator[int]:
    server = rpc.Server(("api.Nothing",), threads=2)
    files = (str(secret / name) for name in ("tls.crt", "tls.key", "ca.crt"))
    port = server.listen("localhost:0", ServerTls(*files))
    server.start()
    yield port
    server.drain(0.1)


def answers(port: int, secret: Path, name: str, files: tuple[str, str] = ("tls.crt", "tls.key")) -> bool:
    tls = ClientTls(str(secret / "ca.crt"), *(str(secret / file) for file in files), server_name=name)
    with open_channel(f"localhost:{port}", tls=tls) as channel:
        try:
            health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S)
        except grpc.RpcError:
            return False
    return True


def test_the_script_makes_secrets_by_which_every_process_is_known_to_whom_calls_it(tmp_path: Path) -> None:
    folder = tmp_path / "certificates"
    secrets = unpacked(create(folder), tmp_path / "secrets")
    assert secrets.keys() == {"katib-manager-tls", "katib-services-tls", "katib-dashboard-tls"}
    manager, services = secrets["katib-manager-tls"], secrets["katib-services-tls"]
    create(folder, "--client", "alice")
    assert (folder / "alice.key").stat().st_mode & 0o777 == (folder / "ca.key").stat().st_mode & 0o777 == 0o600

    with serving(services) as port:
        for name in sorted(SERVICES):
            assert answers(port, manager, name)
        assert not answers(port, manager, "katib-manager")
        # What a service shows is good for serving alone: one that is taken over is no client of the others.
        assert not answers(port, services, "suggestion-random")
    with serving(manager) as port:
        for name in ("localhost", "katib-manager", "katib-manager.katib", "katib-reports.katib"):
            assert answers(port, folder, name, ("alice.crt", "alice.key"))
        assert answers(port, secrets["katib-dashboard-tls"], "katib-manager")
        assert not answers(port, services, "katib-manager")


def test_the_script_renews_by_the_authority_that_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "certificates"
    first, second = (unpacked(create(folder), tmp_path / str(i)) for i in range(2))
    assert (folder / "ca.crt").read_bytes() == (second["katib-manager-tls"] / "ca.crt").read_bytes()
    old, new = first["katib-manager-tls"], second["katib-manager-tls"]
    assert (old / "tls.crt").read_bytes() != (new / "tls.crt").read_bytes()
    with serving(old) as port:
        assert answers(port, new, "katib-manager")


@pytest.mark.long
def test_a_client_s_name_is_no_path(tmp_path: Path) -> None:
    for name in ("../x", "ca", "a/b", ""):
        done = subprocess.run(
            [sys.executable, SCRIPT, tmp_path / "c", "--client", name], capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert "expected a name of letters" in done.stderr


def test_no_command_line_of_the_manifests_has_a_secret() -> None:
    """What a command line says, `ps` shows to whoever is on the node."""
    for name in ("default", *OVERLAYS):
        for workload in overlay(name).workloads:
            for container in containers(workload):
                words = [*container.get("command", []), *container.get("args", [])]
                assert not [word for word in words if "assword=" in word or "--database" in word or "token" in word]


def test_settings_of_the_overlay_are_the_managers() -> None:
    known = set(Settings.__dataclass_fields__)
    given = {name.removeprefix("KATIB_").lower() for name in overlay("secure").settings}
    assert given <= known
