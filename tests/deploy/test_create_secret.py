"""What makes the database's Secret, towards an API server that is a few lines here."""

import base64
import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from tests.cluster.certificates import Authority
from tests.deploy.manifests import DEPLOY, Object, containers, default, overlay

SCRIPT = DEPLOY / "components" / "database" / "create_secret.py"


class Server:
    """Answers every request with `status`, and keeps what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.status = 201
        self.asked: list[tuple[str, str, Object]] = []
        authority = Authority(folder / "certificates")
        self.account = folder / "account"
        self.account.mkdir()
        (self.account / "token").write_text("the-token")
        (self.account / "namespace").write_text("some-namespace")
        (self.account / "ca.crt").write_bytes(authority.certificate.read_bytes())
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.asked.append((self.path, self.headers["Authorization"], body))
                answer = b'{"message": "said by the server"}'
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args: Any) -> None: ...

        self.http = HTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*authority.issue("server", at=["127.0.0.1"]))
        self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def run(self) -> "subprocess.CompletedProcess[str]":
        environment = {
            "PATH": os.environ["PATH"],
            "ACCOUNT": str(self.account),
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(self.http.server_port),
        }
        # Isolated: it has the standard library and nothing else.
        command = [sys.executable, "-I", "-S", str(SCRIPT)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    it = Server(tmp_path)
    yield it
    it.http.shutdown()
    it.http.server_close()


def decoded(secret: Object) -> dict[str, str]:
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}


@pytest.mark.long
def test_the_secret_holds_what_the_manager_and_the_database_read_of_it(server: Server) -> None:
    assert server.run().returncode == 0
    ((path, authorization, secret),) = server.asked
    assert path == "/api/v1/namespaces/some-namespace/secrets"
    assert authorization == "Bearer the-token"
    (database,) = [c for c in containers(default().one("StatefulSet", "katib-database")) if c["name"] == "database"]
    (manager,) = containers(default().one("Deployment", "katib-manager"))
    settings = [e for container in (database, manager) for e in container["env"]]
    read = [e["valueFrom"]["secretKeyRef"] for e in settings if "secretKeyRef" in e.get("valueFrom", {})]
    assert {one["name"] for one in read} == {secret["metadata"]["name"]}
    assert {one["key"] for one in read} == secret["data"].keys()
    data = decoded(secret)
    url = make_url(data["url"])
    given = {e["name"]: e.get("value") for e in database["env"]}
    assert (url.username, url.database) == (given["MYSQL_USER"], given["MYSQL_DATABASE"])
    assert url.password == data["password"]
    service = default().one("Service", "katib-database")
    assert (url.host, url.port) == (service["metadata"]["name"], service["spec"]["ports"][0]["port"])


@pytest.mark.long
def test_passwords_are_long_and_of_letters_that_need_no_quoting_and_each_time_others(server: Server) -> None:
    for _ in range(2):
        server.run()
    first, second = (decoded(secret) for _, _, secret in server.asked)
    passwords = {one[key] for one in (first, second) for key in ("password", "root-password")}
    assert len(passwords) == 4
    for password in passwords:
        assert len(password) >= 32
        assert password.replace("-", "").replace("_", "").isalnum()


@pytest.mark.long
def test_a_secret_that_is_there_is_left_as_it_is(server: Server) -> None:
    server.status = 409
    done = server.run()
    assert (done.returncode, "there already" in done.stdout) == (0, True)


@pytest.mark.long
@pytest.mark.parametrize("status", [401, 403, 500])
def test_a_refusal_is_said_and_tried_again_by_whoever_starts_it(server: Server, status: int) -> None:
    server.status = status
    done = server.run()
    assert done.returncode == 1
    assert f"{status}" in done.stderr
    assert "said by the server" in done.stderr


def test_an_api_server_that_is_not_there_or_is_another_is_said(server: Server, tmp_path: Path) -> None:
    (server.account / "ca.crt").write_bytes(Authority(tmp_path / "another").certificate.read_bytes())
    done = server.run()
    assert (done.returncode, "cannot be reached" in done.stderr) == (1, True)
    assert server.asked == []


def test_no_password_is_printed(server: Server) -> None:
    done = server.run()
    ((_, _, secret),) = server.asked
    assert not [value for value in decoded(secret).values() if value in done.stdout + done.stderr]


@pytest.mark.long
def test_it_stands_in_the_manifests_word_for_word() -> None:
    for installation in (default(), overlay("katib-0.1")):
        (found,) = [c for c in installation.all("ConfigMap") if "create_secret.py" in c["data"]]
        assert found["data"]["create_secret.py"] == SCRIPT.read_text()
