"""What `kubectl apply -f deploy/katib.yaml` makes, and what each overlay does."""

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from katib.api import rpc
from katib.manager.remote.addresses import AddressTemplate
from katib.manager.settings import Settings
from katib.worker.kubernetes.podapi import VERBS
from katib.worker.kubernetes.policy import Policy
from tests.deploy.manifests import (
    DEFAULT,
    DEPLOY,
    OVERLAYS,
    ROOT,
    Manifests,
    Object,
    containers,
    default,
    labels,
    lets_in,
    name_of,
    overlay,
    ports,
    rendered,
    selects,
    template,
)

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ALGORITHMS = sorted(PROJECT["entry-points"]["katib.suggestions"])
RULES = sorted(PROJECT["entry-points"]["katib.earlystopping"])
SERVICES = {*(f"suggestion-{name}" for name in ALGORITHMS), *(f"earlystopping-{name}" for name in RULES)}


@pytest.fixture(params=OVERLAYS)
def any_overlay(request: pytest.FixtureRequest) -> Manifests:
    return overlay(request.param)


def is_grpc(workload: Object) -> bool:
    return bool(workload["kind"] == "Deployment")


def manager(manifests: Manifests) -> Object:
    return manifests.one("Deployment", "katib-manager")


# What is rendered


def test_the_manifest_is_what_its_sources_render_to() -> None:
    body = DEFAULT.read_text().partition("\n")[2]
    assert body == rendered(DEPLOY / "overlays" / "default"), "run make manifests"


def test_overlays_are_those_that_are_promised() -> None:
    assert OVERLAYS == ("default", "external-database", "katib-0.1", "kind", "secure", "secure-secrets")


@pytest.mark.long
def test_nothing_is_said_twice(any_overlay: Manifests) -> None:
    names = [(o["kind"], o["metadata"].get("namespace"), name_of(o)) for o in any_overlay.objects]
    assert len(names) == len(set(names))


def test_images_are_those_of_this_version(any_overlay: Manifests) -> None:
    ours = {c["image"] for w in any_overlay.workloads for c in containers(w) if c["image"].startswith("katib-")}
    assert ours == {f"katib-{name}:{PROJECT['version']}" for name in ("manager", "suggestion")}


def test_every_image_is_named_with_a_version(any_overlay: Manifests) -> None:
    for workload in any_overlay.workloads:
        for container in containers(workload):
            assert container["image"].partition(":")[2] not in ("", "latest")


def test_everything_stands_in_a_namespace_of_katib_and_says_that_it_is_part_of_it(any_overlay: Manifests) -> None:
    for found in any_overlay.objects:
        if found["kind"] != "Namespace":
            assert found["metadata"]["namespace"] in any_overlay.names("Namespace")
        if found["kind"] != "ConfigMap":
            assert found["metadata"]["labels"]["app.kubernetes.io/part-of"] == "katib"


# Services


def test_every_algorithm_and_every_rule_of_the_distribution_is_a_service() -> None:
    """For a new one: a folder deploy/base/suggestion-NAME like the others, a line in deploy/base/services, make manifests."""
    assert default().names("Deployment") == {*SERVICES, "katib-manager"}
    assert default().names("Service") == {*SERVICES, "katib-manager", "katib-database"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_serves_what_it_is_named_after(name: str) -> None:
    found = default().one("Deployment", name)
    (container,) = containers(found)
    kind, _, what = name.partition("-")
    (variable,) = [one for one in container["env"] if "valueFrom" in one]
    assert container["command"] == [f"katib-{kind}"]
    assert container["args"] == [f"$({variable['name']})"]
    field = variable["valueFrom"]["fieldRef"]["fieldPath"]
    assert labels(found)[field.removeprefix("metadata.labels['").removesuffix("']")] == what


def test_each_service_leads_to_one_workload_and_to_a_port_that_it_has(any_overlay: Manifests) -> None:
    for service in any_overlay.all("Service"):
        (port,) = service["spec"]["ports"]
        (found,) = [
            w for w in any_overlay.workloads if selects({"matchLabels": service["spec"]["selector"]}, labels(w))
        ]
        assert port["targetPort"] in [p["name"] for p in containers(found)[0]["ports"]]
        assert port["port"] == (6789 if is_grpc(found) else 3306)


def test_a_workload_selects_its_own_pods_alone(any_overlay: Manifests) -> None:
    for workload in any_overlay.workloads:
        taken = [w for w in any_overlay.workloads if selects(workload["spec"]["selector"], labels(w))]
        assert taken == [workload]


# The manager's settings


def test_the_manager_knows_every_setting_that_it_is_given(any_overlay: Manifests) -> None:
    known = {f"KATIB_{field.name.upper()}" for field in fields(Settings)}
    assert any_overlay.settings.keys() <= known
    given = {name.removeprefix("KATIB_").lower(): value for name, value in any_overlay.settings.items()}
    option = tuple(given.pop("worker_option").split())
    settings = Settings(**{**given, "worker_option": option})  # type: ignore[arg-type]
    policy = Policy.parse(settings.worker_options())
    assert (settings.worker, policy.namespace) == ("kubernetes", "katib-trials")


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_manager_looks_for_services_where_they_are(name: str) -> None:
    found = overlay(name)
    reached = {
        AddressTemplate.parse("", found.settings[setting]).address("name", what)
        for setting, names in (
            ("KATIB_SUGGESTION_ADDRESS", ALGORITHMS),
            ("KATIB_EARLYSTOPPING_ADDRESS", RULES),
        )
        for what in names
    }
    prefix = "vizier-" if name == "katib-0.1" else ""
    assert reached == {f"{prefix}{service}:6789" for service in SERVICES}
    assert {address.removesuffix(":6789") for address in reached} <= found.names("Service")


def test_trials_are_told_the_manager_s_service_by_a_name_that_holds_in_every_namespace(any_overlay: Manifests) -> None:
    environment = {e["name"]: e for e in containers(manager(any_overlay))[0]["env"]}
    service, namespace, port = re.split("[.:]", environment["KATIB_ADVERTISE_ADDRESS"]["value"])
    assert (namespace, port) == ("$(POD_NAMESPACE)", "6789")
    assert environment["POD_NAMESPACE"]["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.namespace"}}
    assert service in any_overlay.names("Service")


def test_the_database_is_named_in_a_secret_that_is_not_among_the_manifests(any_overlay: Manifests) -> None:
    given = next(e for e in containers(manager(any_overlay))[0]["env"] if e["name"] == "KATIB_DATABASE")
    assert given == {
        "name": "KATIB_DATABASE",
        "valueFrom": {"secretKeyRef": {"name": "katib-database", "key": "url"}},
    }
    assert any_overlay.all("Secret") == []
    for workload in any_overlay.workloads:
        for container in containers(workload):
            assert not [e for e in container.get("env", []) if "PASSWORD" in e["name"] and "value" in e]


# Who may do what


def test_the_manager_may_do_to_pods_what_its_worker_does_and_nothing_else(any_overlay: Manifests) -> None:
    role = any_overlay.one("Role", "katib-manager")
    granted = {(resource, verb) for r in role["rules"] for resource in r["resources"] for verb in r["verbs"]}
    assert granted == {(resource, verb) for resource, verbs in VERBS.items() for verb in verbs}
    assert {tuple(rule["apiGroups"]) for rule in role["rules"]} == {("",)}
    assert role["metadata"]["namespace"] == "katib-trials"
    assert not any_overlay.all("ClusterRole", "ClusterRoleBinding")
    bound = {
        (b["roleRef"]["name"], s["namespace"], s["name"]) for b in any_overlay.all("RoleBinding") for s in b["subjects"]
    }
    database = {("katib-database", "katib", "katib-database")} if any_overlay.all("StatefulSet") else set()
    assert bound == {("katib-manager", "katib", "katib-manager"), *database}
    assert template(manager(any_overlay))["spec"]["serviceAccountName"] == "katib-manager"


def test_whoever_makes_the_secret_may_do_that_alone_and_the_database_itself_nothing() -> None:
    role = default().one("Role", "katib-database")
    assert role["rules"] == [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]}]
    spec = template(default().one("StatefulSet", "katib-database"))["spec"]
    (maker,), (database,) = spec["initContainers"], spec["containers"]
    assert "account" in [mount["name"] for mount in maker["volumeMounts"]]
    assert "account" not in [mount["name"] for mount in database["volumeMounts"]]


def test_only_the_manager_is_given_a_token_of_its_account(any_overlay: Manifests) -> None:
    given = [w for w in any_overlay.workloads if template(w)["spec"].get("automountServiceAccountToken") is not False]
    assert given == [manager(any_overlay)]


def test_every_pod_is_as_restricted_as_its_namespace_wants_it(any_overlay: Manifests) -> None:
    """The API server says the same of them; this says it every day."""
    namespace = any_overlay.one("Namespace", "katib")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for workload in any_overlay.workloads:
        spec = template(workload)["spec"]
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers(workload):
            context = container["securityContext"]
            assert context == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def test_only_the_manager_reaches_the_services_and_the_database(any_overlay: Manifests) -> None:
    clients = {name_of(w): labels(w) for w in any_overlay.workloads}
    for workload, port in ports(any_overlay):
        reached_by = {name for name, who in clients.items() if lets_in(any_overlay, who, workload, port)}
        from_outside = lets_in(any_overlay, None, workload, port)
        if workload == manager(any_overlay):
            assert (reached_by, from_outside) == (set(clients), port["name"] == "grpc")
        else:
            assert (reached_by, from_outside) == ({"katib-manager"}, False)


def test_a_service_of_ones_own_is_let_to_the_manager_by_its_label_and_what_has_none_to_nobody() -> None:
    port = {"name": "grpc", "containerPort": 6789}
    asks = labels(manager(default()))

    def reached(own: dict[str, str]) -> bool:
        workload = {"spec": {"template": {"metadata": {"labels": own}}}}
        return lets_in(default(), asks, workload, port)

    assert reached({"app.kubernetes.io/component": "suggestion"})
    assert not reached({"app": "other"})


# Manners


def test_probes_are_grpc_and_only_readiness_depends_on_the_database(any_overlay: Manifests) -> None:
    for workload in filter(is_grpc, any_overlay.workloads):
        (container,) = containers(workload)
        # Where the API speaks TLS, which probes do not, health has a port of its own.
        own = any_overlay.environment(container).get("KATIB_HEALTH_LISTEN", "[::]:6789")
        port = int(own.rpartition(":")[2])
        live = {"port": port, "service": rpc.LIVE}
        assert container["startupProbe"]["grpc"] == live
        assert container["livenessProbe"]["grpc"] == live
        assert container["readinessProbe"]["grpc"] == {"port": port}


def test_the_database_is_asked_over_tcp_by_a_program_of_its_image(any_overlay: Manifests) -> None:
    for workload in any_overlay.all("StatefulSet"):
        container = containers(workload)[0]
        asked = {tuple(container[f"{kind}Probe"]["exec"]["command"]) for kind in ("startup", "liveness", "readiness")}
        assert asked == {("mysqladmin", "ping", "--host=127.0.0.1", "--user=katib", "--connect-timeout=4")}


def test_whoever_ends_is_given_the_time_that_it_needs(any_overlay: Manifests) -> None:
    for workload in filter(is_grpc, any_overlay.workloads):
        (container,) = containers(workload)
        pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        # Calls are waited for, then what is still open is closed: see Server.drain.
        assert template(workload)["spec"]["terminationGracePeriodSeconds"] >= pause + rpc.DRAIN_S + 5 + 5


def test_everything_says_what_it_needs_and_the_most_memory_that_it_may_have(any_overlay: Manifests) -> None:
    for workload in any_overlay.workloads:
        for container in containers(workload):
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]


def test_no_rolling_update_and_no_drained_node_takes_the_last_one_away() -> None:
    for workload in filter(is_grpc, default().workloads):
        assert workload["spec"]["replicas"] == 2
        assert workload["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
        (budget,) = [
            b for b in default().all("PodDisruptionBudget") if selects(b["spec"]["selector"], labels(workload))
        ]
        assert budget["spec"]["maxUnavailable"] == 1
        (spread,) = template(workload)["spec"]["topologySpreadConstraints"]
        taken = [name_of(w) for w in default().workloads if selects(spread["labelSelector"], labels(w))]
        assert taken == [name_of(workload)]
        assert spread["topologyKey"] == "kubernetes.io/hostname"


def test_a_budget_concerns_one_workload(any_overlay: Manifests) -> None:
    for budget in any_overlay.all("PodDisruptionBudget"):
        assert len([w for w in any_overlay.workloads if selects(budget["spec"]["selector"], labels(w))]) == 1


def test_prometheus_finds_the_managers_metrics() -> None:
    found = template(manager(default()))["metadata"]["annotations"]
    assert found["prometheus.io/scrape"] == "true"
    assert found["prometheus.io/port"] == default().settings["KATIB_HTTP"].rpartition(":")[2] == "8081"
    assert found["prometheus.io/path"] == "/metrics"


# Overlays


def test_an_external_database_is_an_installation_without_one() -> None:
    left_out = {name for name in default().names("StatefulSet", "Service", "Role") if "database" in name}
    assert left_out == {"katib-database"}
    external = overlay("external-database")
    kept = [o for o in default().objects if not name_of(o).startswith("katib-database")]
    assert external.objects == kept


def test_an_installation_as_of_0_1_has_its_names_and_its_port() -> None:
    found = overlay("katib-0.1")
    names = {f"vizier-{name}" for name in SERVICES}
    assert found.names("Deployment") == {*names, "katib-manager"}
    core = found.one("Service", "vizier-core")["spec"]
    assert (core["type"], core["ports"][0]["nodePort"], core["ports"][0]["port"]) == ("NodePort", 30678, 6789)


def test_on_one_machine_there_is_one_of_each() -> None:
    found = overlay("kind")
    assert {w["spec"]["replicas"] for w in found.workloads} == {1}
    assert {name_of(w) for w in found.workloads} == {name_of(w) for w in default().workloads}


def test_the_makes_of_a_database_differ_in_the_image_and_the_names_of_its_settings(tmp_path: Path) -> None:
    def component(make: str) -> Object:
        base = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
        # kustomize takes relative paths alone.
        at = "/".join([".."] * len(tmp_path.resolve().parts[1:])) + str(DEPLOY)
        folder = tmp_path / make
        folder.mkdir()
        text = yaml.safe_dump({**base, "components": [f"../{at}/components/{make}"]})
        (folder / "kustomization.yaml").write_text(text)
        return Manifests(rendered(folder)).one("StatefulSet", "katib-database")

    mysql, mariadb = component("mysql"), component("mariadb")
    assert containers(mysql)[0]["image"] == "mysql:8.4"
    assert containers(mariadb)[0]["image"].startswith("mariadb:")
    for make, found in (("MYSQL", mysql), ("MARIADB", mariadb)):
        names = ("DATABASE", "USER", "PASSWORD", "ROOT_PASSWORD")
        assert [e["name"] for e in containers(found)[0]["env"]] == [f"{make}_{name}" for name in names]
