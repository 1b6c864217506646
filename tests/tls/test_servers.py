"""Servers and channels with real certificates over sockets."""

import logging
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from katib.api import rpc, tls_files
from katib.api.channel import open_channel
from katib.api.errors import tls_failure
from katib.api.tls import ClientTls, ServerTls
from katib.manager.settings import Settings
from katib.manager.transport import Transport
from tests.cluster.certificates import Authority
from tests.e2e.harness import PATIENCE_S, until


@contextmanager
def served(tls: ServerTls | None) -> Iterator[int]:
    server = rpc.Server(("api.Nothing",), threads=2)
    port = server.listen("localhost:0", tls)
    server.start()
    try:
        yield port
    finally:
        server.drain(0.1)


def ask(port: int, tls: ClientTls | None, host: str = "localhost") -> str:
    """`OK`, or what gRPC says."""
    with open_channel(f"{host}:{port}", tls=tls) as channel:
        return check(channel)


def check(channel: grpc.Channel, service: str = "") -> str:
    try:
        health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service), timeout=PATIENCE_S)
    except grpc.RpcError as error:
        return str(error.details())
    return "OK"


def server_of(authority: Authority, *at: str, clients: Authority | None = None) -> ServerTls:
    certificate, key = map(str, authority.issue("server", at=at or ["localhost", "127.0.0.1"]))
    return ServerTls(certificate, key, str(clients.certificate) if clients else "")


def client_of(believes: Authority, issuer: Authority | None = None, server_name: str = "") -> ClientTls:
    certificate, key = map(str, issuer.issue("client")) if issuer else ("", "")
    return ClientTls(str(believes.certificate), certificate, key, server_name)


def test_a_server_is_believed_by_whom_its_authority_is_known_to(authority: Authority, stranger: Authority) -> None:
    with served(server_of(authority)) as port:
        assert ask(port, client_of(authority)) == "OK"
        assert ask(port, client_of(authority), "127.0.0.1") == "OK"
        assert ask(port, ClientTls(authority.certificate.read_text())) == "OK"
        said = ask(port, client_of(stranger))
    assert tls_failure(said, tls=True) == "none of the authorities in --tls-ca vouches for its certificate"


def test_a_server_of_another_name_is_not_believed_unless_that_name_is_asked_for(authority: Authority) -> None:
    with served(server_of(authority, "elsewhere.example")) as port:
        said = ask(port, client_of(authority))
        assert tls_failure(said, tls=True) == "its certificate is for other names than the one it was called by"
        assert ask(port, client_of(authority, server_name="elsewhere.example")) == "OK"


def test_a_client_shows_a_certificate_by_an_authority_that_the_server_knows(
    authority: Authority, stranger: Authority
) -> None:
    with served(server_of(authority, clients=authority)) as port:
        assert ask(port, client_of(authority, authority)) == "OK"
        for nobody in (client_of(authority), client_of(authority, stranger)):
            assert ask(port, nobody) != "OK"
    with served(server_of(authority, clients=stranger)) as port:
        assert ask(port, client_of(authority, authority)) != "OK"
        assert ask(port, client_of(authority, stranger)) == "OK"


def test_either_side_without_tls_is_told_what_the_other_wants(authority: Authority) -> None:
    with served(server_of(authority)) as port:
        assert "may want TLS (--tls-ca)" in tls_failure(ask(port, None), tls=False)
    with served(None) as port:
        assert "it does not speak TLS" in tls_failure(ask(port, client_of(authority)), tls=True)


def test_unix_sockets_are_in_plaintext_on_both_sides(authority: Authority, tmp_path: Path) -> None:
    server = rpc.Server(("api.Nothing",), threads=2)
    address = f"unix:{tmp_path}/s"
    server.listen(address, server_of(authority, clients=authority))
    server.start()
    with open_channel(address, tls=client_of(authority)) as channel:
        assert check(channel) == "OK"
    server.drain(0.1)


def test_renewed_certificates_are_taken_up_while_calls_go_on(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Client and server pass from one authority to another, as cert-manager would: no call fails."""
    monkeypatch.setattr(tls_files, "_LOOK_S", 0.0)
    next_authority = Authority(tmp_path / "next")
    cert, key, ca = (tmp_path / name for name in ("tls.crt", "tls.key", "ca.crt"))

    def put(issuer: Authority, authorities: bytes) -> None:
        new = issuer.issue("both", at=["localhost"])
        for source, target in zip(new, (cert, key), strict=True):
            shutil.copy(source, f"{target}.new")
        Path(f"{ca}.new").write_bytes(authorities)
        for target in (ca, cert, key):
            Path(f"{target}.new").rename(target)

    old, new = authority.certificate.read_bytes(), next_authority.certificate.read_bytes()
    put(authority, old)
    server_tls = ServerTls(str(cert), str(key), str(ca))
    client_tls = ClientTls(str(ca), str(cert), str(key))
    ended, said, serials = threading.Event(), [], set()
    with served(server_tls) as port:

        def call() -> None:
            # A new connection each time: that is where certificates count.
            while not ended.is_set():
                said.append(ask(port, client_tls))

        callers = [threading.Thread(target=call) for _ in range(3)]
        for caller in callers:
            caller.start()
        for issuer, authorities in (
            (authority, old + new),
            (next_authority, old + new),
            (next_authority, new),
            (next_authority, new),
        ):
            put(issuer, authorities)
            before = len(said)
            until(lambda before=before: len(said) > before + 8)
            serials.add(client_tls.version)
        ended.set()
        for caller in callers:
            caller.join()
        assert set(said) == {"OK"}
        assert len(serials) == 4
        # Whoever still comes with the old authority alone is not believed any more.
        assert ask(port, client_of(authority, authority)) != "OK"


def test_a_connection_ends_some_time_after_its_authority_was_taken_away(
    authority: Authority, stranger: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_files, "_LOOK_S", 0.0)
    monkeypatch.setattr(rpc, "_OPTIONS", tuple((n, 500 if "connection_age" in n else v) for n, v in rpc._OPTIONS))
    ca = tmp_path / "ca.crt"
    shutil.copy(authority.certificate, ca)
    certificate, key = map(str, authority.issue("server", at=["localhost"]))
    with (
        served(ServerTls(certificate, key, str(ca))) as port,
        open_channel(f"localhost:{port}", tls=client_of(authority, authority)) as channel,
    ):
        # Until then nobody notices that there is a new one now and then.
        assert {check(channel) for _ in range(300)} == {"OK"}
        shutil.copy(stranger.certificate, ca)
        until(lambda: check(channel) != "OK")


def test_a_server_whose_files_went_bad_serves_with_the_good_ones_and_says_so(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tls_files, "_LOOK_S", 0.0)
    certificate, key = authority.issue("server", at=["localhost"])
    believes = client_of(authority)
    with served(ServerTls(str(certificate), str(key))) as port:
        key.write_text("nothing")
        for _ in range(3):
            assert ask(port, believes) == "OK"
        warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
        assert len(warnings) == 1
        assert "expected a private key in PEM: it has none in it" in warnings[0]


def test_probes_that_know_no_tls_have_a_port_that_answers_health_and_nothing_else(authority: Authority) -> None:
    server = rpc.Server(("api.Nothing",), threads=2)
    server.listen("localhost:0", server_of(authority, clients=authority))
    port = server.listen_health("localhost:0")
    server.start(ready=False)
    with open_channel(f"localhost:{port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        serving = health_pb2.HealthCheckResponse.SERVING
        assert stub.Check(health_pb2.HealthCheckRequest(service=rpc.LIVE), timeout=PATIENCE_S).status == serving
        assert stub.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S).status != serving
        server.set_ready(True)
        assert stub.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S).status == serving
        other = channel.unary_unary("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
        with pytest.raises(grpc.RpcError) as caught:
            other(b"", timeout=PATIENCE_S)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    server.drain(0.1)


def test_runs_are_told_no_address_at_which_they_would_have_to_show_a_certificate(authority: Authority) -> None:
    certificate, key = map(str, authority.issue("manager", at=["localhost"]))
    ca = str(authority.certificate)

    def advertised(**settings: str) -> str:
        transport = Transport(Settings(listen="localhost:0", http="", tls_cert=certificate, tls_key=key, **settings))
        server = rpc.Server((), threads=1)
        transport.listen(server, lambda _server: None)
        server.drain(0)
        return transport.advertised

    assert advertised().startswith("localhost:")
    assert advertised(tls_client_ca=ca) == ""
    assert advertised(tls_client_ca=ca, report_listen="localhost:0").startswith("localhost:")
    assert advertised(tls_client_ca=ca, advertise_address="proxy:1") == "proxy:1"
