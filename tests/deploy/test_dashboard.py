"""What the component deploy/components/dashboard adds to an installation."""

import pytest
import yaml

from katib.dashboard.server import main
from tests.deploy.manifests import DEPLOY, Manifests, containers, labels, lets_in, rendered, selects, template


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> Manifests:
    """The default installation with it."""
    folder = tmp_path_factory.mktemp("overlay")
    # kustomize takes relative paths alone.
    at = "/".join([".."] * len(folder.resolve().parts[1:])) + str(DEPLOY)
    text = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [f"{at}/overlays/default"],
        "components": [f"{at}/components/dashboard", f"{at}/components/images"],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(text))
    return Manifests(rendered(folder))


@pytest.mark.long
def test_the_pages_are_of_the_manager_s_image_and_reach_it(manifests: Manifests) -> None:
    found = manifests.one("Deployment", "katib-dashboard")
    (container,) = containers(found)
    assert container["image"] == containers(manifests.one("Deployment", "katib-manager"))[0]["image"]
    environment = {e["name"]: e["value"] for e in container["env"]}
    assert environment["KATIB_SERVER"].partition(":")[0] in manifests.names("Service")
    known = {"KATIB_SERVER", *(f"KATIB_DASHBOARD_{p.name.upper()}" for p in main.params if p.name)}
    assert environment.keys() <= known


def test_probes_call_it_by_a_name_that_it_answers_to(manifests: Manifests) -> None:
    (container,) = containers(manifests.one("Deployment", "katib-dashboard"))
    hosts = next(e["value"] for e in container["env"] if e["name"] == "KATIB_DASHBOARD_HOSTS").split()
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        (header,) = container[kind]["httpGet"]["httpHeaders"]
        assert header["name"] == "Host"
        assert header["value"] in hosts


def test_its_service_leads_to_it_and_no_policy_lets_anybody_in(manifests: Manifests) -> None:
    found = manifests.one("Deployment", "katib-dashboard")
    service = manifests.one("Service", "katib-dashboard")
    assert selects({"matchLabels": service["spec"]["selector"]}, labels(found))
    port = containers(found)[0]["ports"][0]
    assert not lets_in(manifests, None, found, port)
    assert not lets_in(manifests, labels(manifests.one("Deployment", "katib-manager")), found, port)


def test_its_pod_is_as_restricted_as_the_others(manifests: Manifests) -> None:
    found = template(manifests.one("Deployment", "katib-dashboard"))["spec"]
    others = template(manifests.one("Deployment", "katib-manager"))["spec"]
    assert found["automountServiceAccountToken"] is False
    assert found["securityContext"] == others["securityContext"]
    assert found["containers"][0]["securityContext"] == others["containers"][0]["securityContext"]
