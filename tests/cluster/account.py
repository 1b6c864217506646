"""The manager's service account with the role that `deploy/` gives it, for a manager that runs outside of the cluster."""

import json
from pathlib import Path

from katib.worker.kubernetes.podapi import VERBS
from tests.cluster.api import Api
from tests.cluster.audit import requests
from tests.cluster.cluster import Cluster
from tests.cluster.installation import moved
from tests.deploy.manifests import DEPLOY, rendered

NAME = "katib-manager"


def user(namespace: str) -> str:
    """As the API server knows it."""
    return f"system:serviceaccount:{namespace}:{NAME}"


def make_account(cluster: Api, namespace: str, kubeconfig: Path) -> None:
    """An account without any rights, and a kubeconfig with its token."""
    cluster.kubectl("create", "serviceaccount", NAME, "-n", namespace)
    token = cluster.kubectl("create", "token", NAME, "-n", namespace, "--duration=2h").strip()
    config = json.loads(cluster.kubectl("config", "view", "--raw", "--minify", "-o", "json"))
    config["users"][0]["user"] = {"token": token}
    kubeconfig.write_text(json.dumps(config))


def grant(cluster: Api, namespace: str, home: str = "") -> None:
    """What `deploy/` grants, in this namespace: Role and RoleBinding as they stand there. `home`: where the account is, if that
    is another one."""
    text = moved(rendered(DEPLOY / "base" / "trials"), home or namespace, namespace)
    cluster.kubectl("apply", "-f", "-", data=text)


def assert_nothing_else_was_asked(cluster: Api, namespace: str) -> None:
    """By what the API server has written down. One that has just been started refuses what is granted, until it has read the
    roles; so it is the verbs that count."""
    if isinstance(cluster, Cluster):
        refused = {(one.resource, one.verb) for one in requests(cluster.audit, user(namespace)) if not one.allowed}
        assert refused <= {(resource, verb) for resource, verbs in VERBS.items() for verb in verbs}
