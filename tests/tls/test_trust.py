"""Whether somebody's authorities vouch for a server's certificate, and who is told where they do not."""

import logging
import ssl
from datetime import timedelta
from pathlib import Path

import pytest

from katib.api.tls import ServerTls
from katib.api.tls_trust import why_not_believed
from katib.manager.settings import Settings
from katib.manager.transport import Transport
from tests.cluster.certificates import Authority

WARNING = "PROGRAMS OF TRIALS CANNOT REPORT"


def shown(authority: Authority, **how: timedelta) -> ssl.SSLContext:
    certificate, key = authority.issue("manager", at=["localhost"], **how)
    return ServerTls(str(certificate), str(key)).context()


def test_an_authority_vouches_for_what_it_signed_and_for_nothing_else(
    authority: Authority, stranger: Authority
) -> None:
    server = shown(authority)
    assert why_not_believed(server, authority.certificate.read_text()) == ""
    assert why_not_believed(server, stranger.certificate.read_text() + authority.certificate.read_text()) == ""
    assert "certificate" in why_not_believed(server, stranger.certificate.read_text())


def test_the_public_authorities_are_those_by_which_grpc_goes(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", raising=False)
    server = shown(authority)
    assert "certificate" in why_not_believed(server, None)
    monkeypatch.setenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", str(authority.certificate))
    assert why_not_believed(server, None) == ""


def test_what_cannot_be_judged_is_no_reason_to_end(authority: Authority, tmp_path: Path) -> None:
    server = shown(authority)
    assert why_not_believed(server, f"# Autorité de certification\n{authority.certificate.read_text()}") == ""
    assert why_not_believed(server, "# nothing\n") == ""
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_verify_locations(authority.certificate)
    server.maximum_version = ssl.TLSVersion.TLSv1_2
    assert why_not_believed(server, authority.certificate.read_text()) == ""


@pytest.mark.parametrize(
    ("options", "warned"),
    [
        ({}, "the public authorities, by which the certificate in --tls-cert is not good"),
        ({"advertise_ca": "own"}, ""),
        ({"tls_ca": "own"}, ""),
        ({"advertise_ca": "strange"}, "ca.crt, by which"),
        ({"advertise_address": "none"}, ""),
        ({"worker": "kubernetes"}, ""),
        ({"worker": "kubernetes", "advertise_address": "manager.example:6789"}, "the public authorities"),
        ({"listen": "unix"}, ""),
    ],
)
def test_a_manager_warns_where_trials_are_told_to_believe_others_than_vouch_for_it(
    options: dict[str, str],
    warned: str,
    tmp_path: Path,
    authority: Authority,
    stranger: Authority,
    caplog: pytest.LogCaptureFixture,
) -> None:
    certificate, key = authority.issue("manager", at=["localhost"])
    places = {"own": str(authority.certificate), "strange": str(stranger.certificate), "unix": f"unix:{tmp_path}/api"}
    chosen = {"listen": "localhost:0", **{name: places.get(value, value) for name, value in options.items()}}
    transport = Transport(Settings(tls_cert=str(certificate), tls_key=str(key), **chosen))  # type: ignore[arg-type]

    class Server:
        def listen(self, *_: object) -> int:
            return 6789

    transport.listen(Server(), lambda _: None)  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING):
        transport.start()
    said = [message for message in caplog.messages if WARNING in message]
    assert len(said) == (1 if warned else 0)
    assert warned in "".join(said)
