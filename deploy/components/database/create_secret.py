"""Makes the Secret `katib-database` where there is none: passwords that nobody has to think of, and that stand in no file.

Runs before the database, with the standard library alone, as a service account that may create Secrets and do nothing else. One
that is there stays as it is, whoever made it.
"""

import base64
import http.client
import json
import os
import secrets
import ssl
import sys
from pathlib import Path

NAME = "katib-database"
HOST = "katib-database:3306"
USER = DATABASE = "katib"
ACCOUNT = Path(os.environ.get("ACCOUNT", "/var/run/secrets/kubernetes.io/serviceaccount"))
TIMEOUT_S = 20


def make(namespace: str) -> dict[str, object]:
    """`url` is what the manager is given; `root-password` is for whoever looks after the database."""
    password = secrets.token_urlsafe(24)
    data = {
        "password": password,
        "root-password": secrets.token_urlsafe(24),
        "url": f"mysql+pymysql://{USER}:{password}@{HOST}/{DATABASE}",
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": NAME, "namespace": namespace, "labels": {"app.kubernetes.io/part-of": "katib"}},
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }


def main() -> None:
    """Ends with 1 where the API server does not do it; the kubelet starts it again then."""
    namespace = (ACCOUNT / "namespace").read_text()
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], int(os.environ["KUBERNETES_SERVICE_PORT"])
    trusted = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=trusted)
    headers = {"Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}", "Content-Type": "application/json"}
    try:
        connection.request("POST", f"/api/v1/namespaces/{namespace}/secrets", json.dumps(make(namespace)), headers)
        answer = connection.getresponse()
        said = answer.read().decode(errors="replace")
    except OSError as error:
        sys.exit(f"the API server at {host}:{port} cannot be reached: {error}")
    if answer.status == http.client.CONFLICT:
        print(f"Secret {NAME} is there already")
    elif answer.status == http.client.CREATED:
        print(f"Secret {NAME} is made")
    else:
        sys.exit(f"the API server does not make Secret {NAME}: {answer.status} {said}")


if __name__ == "__main__":
    main()
