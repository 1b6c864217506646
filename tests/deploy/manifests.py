"""What `deploy/` says, as objects."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import programs

Object = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
DEFAULT = DEPLOY / "katib.yaml"
OVERLAYS = tuple(sorted(path.name for path in (DEPLOY / "overlays").iterdir()))
_WORKLOADS = ("Deployment", "StatefulSet")


def kubectl() -> str:
    """A kubectl, for the kustomize in it; skips where there is none, and fails in CI."""
    built = programs.folder() / "kubectl"
    found = str(built) if built.exists() else shutil.which("kubectl")
    if found is None:
        sentence = "no kubectl to render deploy/ with: install it, or run python -m tests.cluster.prepare"
        if os.environ.get("CI") == "true":
            pytest.fail(sentence)
        pytest.skip(sentence)
    return found


@cache
def rendered(folder: Path) -> str:
    """What kustomize makes of it."""
    done = subprocess.run(
        [kubectl(), "kustomize", str(folder)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class Manifests:
    """The objects of an installation."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.objects: list[Object] = [found for found in yaml.safe_load_all(text) if found]

    def all(self, *kinds: str) -> list[Object]:
        return [found for found in self.objects if found["kind"] in kinds]

    def one(self, kind: str, name: str) -> Object:
        (found,) = [found for found in self.all(kind) if found["metadata"]["name"] == name]
        return found

    def names(self, *kinds: str) -> set[str]:
        return {name_of(found) for found in self.all(*kinds)}

    @property
    def workloads(self) -> list[Object]:
        """Deployments and StatefulSets."""
        return self.all(*_WORKLOADS)

    def environment(self, container: Object) -> dict[str, str]:
        """What a container finds of plain values, its ConfigMaps included."""
        found: dict[str, str] = {}
        for source in container.get("envFrom", []):
            found |= self.one("ConfigMap", source["configMapRef"]["name"])["data"]
        return found | {e["name"]: e["value"] for e in container.get("env", []) if "value" in e}

    @property
    def settings(self) -> dict[str, str]:
        """What the manager finds in its environment."""
        (source,) = containers(self.one("Deployment", "katib-manager"))[0]["envFrom"]
        return dict(self.one("ConfigMap", source["configMapRef"]["name"])["data"])


@cache
def overlay(name: str) -> Manifests:
    return Manifests(rendered(DEPLOY / "overlays" / name))


@cache
def default() -> Manifests:
    """What people apply; needs no kubectl."""
    return Manifests(DEFAULT.read_text())


def name_of(found: Object) -> str:
    return str(found["metadata"]["name"])


def template(workload: Object) -> Object:
    return dict(workload["spec"]["template"])


def labels(workload: Object) -> Mapping[str, str]:
    return dict(template(workload)["metadata"]["labels"])


def containers(workload: Object) -> list[Object]:
    spec = template(workload)["spec"]
    return [*spec["containers"], *spec.get("initContainers", [])]


def selects(selector: Mapping[str, Any], found: Mapping[str, str]) -> bool:
    """Whether a LabelSelector takes these labels."""
    same = all(found.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    rules: Sequence[Object] = selector.get("matchExpressions", [])
    assert all(rule["operator"] == "In" for rule in rules)
    return same and all(found.get(rule["key"]) in rule["values"] for rule in rules)


def lets_in(manifests: Manifests, client: Mapping[str, str] | None, workload: Object, port: Object) -> bool:
    """Whether NetworkPolicies let a Pod of katib with these labels, or with None anything from outside of the cluster, in at
    a port of a container."""
    concerned = [
        policy["spec"]
        for policy in manifests.all("NetworkPolicy")
        if selects(policy["spec"]["podSelector"], labels(workload)) and "Ingress" in policy["spec"]["policyTypes"]
    ]
    return not concerned or any(
        any(asked["port"] in (port["name"], port["containerPort"]) for asked in rule["ports"])
        and ("from" not in rule or any(_is_peer(peer, client) for peer in rule["from"]))
        for policy in concerned
        for rule in policy.get("ingress", [])
    )


def _is_peer(peer: Object, client: Mapping[str, str] | None) -> bool:
    if client is None:
        return False
    if "namespaceSelector" in peer:
        assert peer == {"namespaceSelector": {}}
        return True
    return selects(peer["podSelector"], client)


def ports(manifests: Manifests) -> Iterator[tuple[Object, Object]]:
    """Every port of every workload."""
    for workload in manifests.workloads:
        for container in containers(workload):
            for port in container.get("ports", []):
                yield workload, port
