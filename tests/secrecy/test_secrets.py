"""What is secret stands in no log, error, settings line or command line, whatever goes wrong and however much is logged."""

import contextlib
import http.client
import json
import os
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import grpc
import psutil
import pytest

from katib.api import api_pb2 as pb
from katib.api.api_pb2_grpc import ManagerStub
from katib.api.channel import open_channel
from katib.api.client import ManagerClient
from katib.api.credentials import bearer
from katib.api.tls import ClientTls
from katib.domain.errors import KatibError
from katib.manager.settings import Settings
from tests.cluster.certificates import Authority
from tests.e2e.harness import Process, World, finished, study, trials, until, world
from tests.ports import free_port
from tests.storage import servers

# Words that stand nowhere by chance.
PASSWORD = "hunter2-Zx/@:%é"
STORE_PASSWORD = "storepass-9Qw"
GUESS = "guessed-token-77aa"
IN_KEY_FILE = "not-a-key-but-secret-5150"


@pytest.fixture
def katib(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as it:
        yield it


@pytest.fixture(scope="module")
def database() -> Iterator[servers.Server]:
    with servers.started("mariadb") as server:
        server.create_database("katib")
        with closing(server.connect()) as connection:
            cursor = connection.cursor()
            cursor.execute("CREATE USER katib@'%%' IDENTIFIED BY %s", (PASSWORD,))
            cursor.execute("GRANT ALL ON katib.* TO katib@'%'")
        yield server


class _NoStore(BaseHTTPRequestHandler):
    """A model store that wants other credentials, and says which it was shown."""

    def _refuse(self) -> None:
        body = json.dumps({"error_code": "PERMISSION_DENIED", "message": "no"}).encode()
        self.send_response(401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _refuse  # noqa: N815 - so they are called

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def refusing_store() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _NoStore) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def said_by(call: object) -> str:
    """What a call that has to fail answers, with everything that a program could show of it."""
    try:
        call()  # type: ignore[operator]
    except KatibError as error:
        return f"{error.message} {error!r} {error.__cause__!r}"
    except grpc.RpcError as error:
        return f"{error.code()} {error.details()} {error.trailing_metadata()} {error.debug_error_string()}"  # type: ignore[attr-defined]
    raise AssertionError("it was answered")


def command_lines(katib: World) -> str:
    found = []
    for process in katib.processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            running = psutil.Process(process.popen.pid)
            for one in (running, *running.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    found.append(" ".join(one.cmdline()))
    return "\n".join(found)


def ready(process: Process) -> None:
    def look() -> bool:
        assert process.popen.poll() is None, process.output
        return " ready" in process.output

    until(look)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_nothing_says_a_secret(katib: World, database: servers.Server, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    certificate, key = map(str, authority.issue("manager", at=["localhost"]))
    private = Path(key).read_text().splitlines()[1:-1]
    user, user_key = map(str, authority.issue("user"))
    tls = ClientTls(str(authority.certificate), user, user_key)
    bootstrap = katib.folder / "bootstrap"
    port, http_port = free_port(), free_port()
    service = katib.suggestion("random")
    # Programs of trials are told their token; here one hands it to the test.
    handed = katib.folder / "handed"
    script = f'printf %s "$KATIB_TOKEN" >{handed}; env | grep -c -e KATIB_DATABASE -e BOOTSTRAP; echo acc=0.5'
    replies = []
    with refusing_store() as store:
        katib.environment |= {
            "KATIB_DATABASE": f"mysql+pymysql://katib:{quote(PASSWORD, safe='')}@127.0.0.1:{database.port}/katib",
            "KATIB_MODEL_STORE": f"mlflow+http://katib:{STORE_PASSWORD}@127.0.0.1:{store}",
            "KATIB_LOG_LEVEL": "DEBUG",
        }
        manager = katib.start(
            "katib-manager",
            *("--listen", f"localhost:{port}", "--http", f"localhost:{http_port}", "--data", str(katib.folder / "d")),
            *("--tls-cert", certificate, "--tls-key", key, "--tls-client-ca", str(authority.certificate)),
            *("--report-listen", f"localhost:{free_port()}", "--tls-ca", str(authority.certificate)),
            *("--auth", "tokens,mtls", "--auth-role", "user=user", "--bootstrap-token-file", str(bootstrap)),
            *("--suggestion-address", f"unix:{katib.sockets}/s-{{algorithm}}"),
        )
        ready(manager)
        secrets = {"bootstrap": bootstrap.read_text().strip()}
        with ManagerClient(f"localhost:{port}", 60, tls, secrets["bootstrap"]) as client:
            _, secrets["made"] = client.create_token("ann", "ann", roles=("user",))
            _, secrets["revoked"] = client.create_token("bob", "bob", roles=("user",))
            client.revoke_token(next(t.id for t in client.list_tokens("bob", 10).items))
            study_id = client.create_study(study(script=script, limits={"max_trials": 1}))
            finished(client, study_id)
            (trial,) = trials(client, study_id)
            # Neither a word of the manager's settings reaches a trial.
            assert client.trial_log(trial.id).data.splitlines()[0] == b"0"
            secrets["attempt"] = handed.read_text()
            assert len(secrets["attempt"]) > 20
        for shown in (GUESS, secrets["revoked"], secrets["attempt"], "\n" + GUESS):
            with ManagerClient(f"localhost:{port}", 60, tls, shown.strip()) as stranger:
                replies.append(said_by(lambda stranger=stranger: stranger.create_token("x", "root", roles=("admin",))))
        with open_channel(f"localhost:{port}", tls=tls) as channel:
            stub = ManagerStub(channel)  # type: ignore[no-untyped-call]
            report = pb.ReportMetricsRequest(trial_id=trial.id, attempt=2, reporter="x")
            replies += [
                said_by(lambda shown=shown: stub.ReportMetrics(report, timeout=60, metadata=bearer(shown)))
                for shown in (secrets["attempt"], GUESS)
            ]

        # Everything goes wrong: the store refuses, the key's file holds something else, the database goes away.
        Path(key).write_text(f"{IN_KEY_FILE}\n-----BEGIN PRIVATE KEY-----\n{IN_KEY_FILE}\n-----END PRIVATE KEY-----\n")
        until(lambda: "cannot be used; those from before stay" in manager.output)
        until(lambda: "PERMISSION_DENIED" in manager.output or "401" in manager.output or "refuses" in manager.output)
        lines = command_lines(katib)
        database.stop()
        with ManagerClient(f"localhost:{port}", 60, tls, secrets["bootstrap"]) as client:
            replies.append(said_by(client.list_studies))
        replies.append(ready_page(http_port, str(authority.certificate)))
        database.start()
        manager.end()
    start_what_fails(katib, tmp_path)

    looked_at = {"log of " + process.log.name: process.output for process in katib.processes}
    looked_at |= {f"reply {number}": reply for number, reply in enumerate(replies)}
    looked_at["command lines"] = lines
    looked_at["settings"] = Settings(database=katib.environment["KATIB_DATABASE"]).shown()
    forbidden = {
        **secrets,
        **{f"a line of the key {number}": line for number, line in enumerate(private)},
        "the database's password": PASSWORD,
        "the same in an address": quote(PASSWORD, safe=""),
        "the store's password": STORE_PASSWORD,
        "the guess": GUESS,
        "the text in the key's file": IN_KEY_FILE,
    }
    assert "settings: " in manager.output
    assert service.popen.poll() is None
    found = [
        f"{what} in {where}" for where, text in looked_at.items() for what, word in forbidden.items() if word in text
    ]
    assert found == []


def ready_page(port: int, authority: str) -> str:
    """What /readyz says of a database that is away."""
    context = ssl.create_default_context(cafile=authority)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    connection = http.client.HTTPSConnection("localhost", port, timeout=60, context=context)
    connection.request("GET", "/readyz")
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    assert answer.status == 503
    return text


def start_what_fails(katib: World, folder: Path) -> None:
    """Settings that cannot be, each with a secret in it."""
    bad = folder / "bad.key"
    bad.write_text(IN_KEY_FILE)
    for arguments in (
        ("--database", f"mysql+pymysql://katib:{PASSWORD}@127.0.0.1/katib"),
        ("--database", f"mysql+pymysql://katib:{quote(PASSWORD, safe='')}@127.0.0.1:x/katib"),
        ("--database", f"postgresql://katib:{quote(PASSWORD, safe='')}@127.0.0.1/katib"),
        ("--database", f"mysql+pymysql://katib@127.0.0.1/katib?password={PASSWORD}"),
        ("--database", f"mysql+pymysql://katib:{PASSWORD}"),
        ("--database", "memory://", "--model-store", f"http://katib:{STORE_PASSWORD}@127.0.0.1"),
        ("--database", "memory://", "--tls-cert", str(bad), "--tls-key", str(bad)),
    ):
        environment = dict(katib.environment)
        katib.environment.pop("KATIB_DATABASE", None)
        katib.environment.pop("KATIB_MODEL_STORE", None)
        process = katib.start("katib-manager", "--listen", f"unix:{katib.sockets}/bad", "--http", "", *arguments)
        katib.environment = environment
        assert process.popen.wait(60) != 0, arguments


def test_a_password_is_left_out_of_the_settings_line_whatever_is_in_it() -> None:
    for address in (
        "mysql+pymysql://u:hunter2@h/d",
        "mysql+pymysql://u:hun@ter2@h/d",
        "mysql+pymysql://u:a/hunter2@h/d",
        "mysql+pymysql://:hunter2@h/d",
        "mysql+pymysql://u:hunter2",
        "mysql+pymysql://u:hunter2/d",
        "mysql+pymysql://u@h/d?password=hunter2",
        "mysql+pymysql://u@h/d?passwd=x&ssl_key=hunter2",
    ):
        assert "ter2" not in Settings(database=address).shown()
        assert "ter2" not in Settings(model_store=address).shown()
    shown = Settings(database="mysql+pymysql://u@h:3306/d", model_store="mlflow+http://h:5000").shown()
    assert "mysql+pymysql://u@h:3306/d" in shown
    assert "mlflow+http://h:5000" in shown


@pytest.mark.long
def test_a_passwords_file_leaves_it_out_of_the_environment_too(katib: World, database: servers.Server) -> None:
    file = katib.folder / "password"
    file.write_text(PASSWORD)
    katib.environment["KATIB_DATABASE"] = f"mysql+pymysql://katib@127.0.0.1:{database.port}/katib"
    manager = katib.start(
        "katib-manager",
        *("--listen", katib.address, "--http", "", "--database-password-file", str(file), "--log-level", "DEBUG"),
    )
    ready(manager)
    assert PASSWORD not in manager.output
    environment = Path(f"/proc/{manager.popen.pid}/environ").read_bytes()
    assert os.fsencode(PASSWORD) not in environment
