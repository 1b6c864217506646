"""What is said of certificates and keys that cannot be used, and when files are read again."""

import logging
import os
import ssl
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from katib.api import tls_files
from katib.api.tls import ClientTls, ServerTls, client_tls, is_elsewhere, server_tls
from katib.api.tls_files import Pair, Reloaded, read_authorities, read_pair, validity
from katib.domain.errors import InvalidArgumentError
from tests.cluster.certificates import Authority

OPTIONS = ("--tls-cert", "--tls-key")


def refusal(certificate: Path | str, key: Path | str) -> str:
    with pytest.raises(InvalidArgumentError) as caught:
        read_pair(str(certificate), str(key), OPTIONS)
    return caught.value.message


def test_a_good_pair_is_read_with_the_time_that_its_certificate_is_valid(authority: Authority) -> None:
    certificate, key = authority.issue("manager", at=["localhost"], valid=timedelta(days=30))
    pair = read_pair(str(certificate), str(key), OPTIONS)
    known = x509.load_pem_x509_certificate(certificate.read_bytes())
    assert (pair.certificates, pair.key) == (certificate.read_bytes(), key.read_bytes())
    assert (pair.not_before, pair.not_after) == (known.not_valid_before_utc, known.not_valid_after_utc)


def test_years_beyond_2050_are_told_too(authority: Authority) -> None:
    certificate, _ = authority.issue("manager", valid=timedelta(days=365 * 40))
    known = x509.load_pem_x509_certificate(certificate.read_bytes())
    assert validity(ssl.PEM_cert_to_DER_cert(certificate.read_text()))[1] == known.not_valid_after_utc


@given(st.binary(max_size=200))
def test_what_is_no_certificate_is_never_anything_but_a_value_error(der: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        validity(der)


@given(cut=st.integers(0, 400), at=st.integers(0, 400), byte=st.integers(0, 255))
def test_a_certificate_that_is_cut_off_or_changed_is_read_or_a_value_error(cut: int, at: int, byte: int) -> None:
    der = bytearray(_CERTIFICATE)
    der[at % len(der)] = byte
    try:
        validity(bytes(der[: len(der) - cut]))
    except ValueError:
        pass


def test_a_file_that_is_missing_is_named_with_its_option(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = authority.issue("manager")
    # A path in full may be too long to be shown whole.
    monkeypatch.chdir(tmp_path)
    gone = Path("gone.pem")
    assert refusal(gone, key) == (f"--tls-cert: '{gone}': expected a file that can be read: No such file or directory")
    assert refusal(certificate, gone).startswith("--tls-key: ")


def test_what_is_not_pem_is_said(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.issue("manager")
    text = tmp_path / "text"
    text.write_text("hello")
    assert refusal(text, key).endswith("expected a certificate in PEM: it has none in it")
    assert refusal(certificate, text).endswith("expected a private key in PEM: it has none in it")
    assert refusal(key, certificate).startswith("--tls-cert: ")
    broken = tmp_path / "broken"
    broken.write_bytes(certificate.read_bytes()[:300])
    assert "expected a certificate and its key in PEM, without a passphrase" in refusal(broken, key)


def test_a_key_of_another_certificate_is_said(authority: Authority) -> None:
    certificate, _ = authority.issue("manager")
    _, other = authority.issue("other")
    assert refusal(certificate, other) == (
        f"--tls-key: '{other}': expected the key of the certificate {certificate}".replace(str(other), _shown(other))
    )


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked_for_it(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.issue("manager")
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    secret = tmp_path / "secret.key"
    secret.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"passphrase"),
        )
    )
    assert "without a passphrase" in refusal(certificate, secret)


def test_a_certificate_that_has_expired_or_is_not_valid_yet_is_refused(authority: Authority) -> None:
    certificate, key = authority.issue("late", valid=timedelta(minutes=-10))
    assert "expected a certificate that is valid: expired at " in refusal(certificate, key)


def test_authorities_may_be_a_file_or_the_text_itself(authority: Authority, tmp_path: Path) -> None:
    text = authority.certificate.read_text()
    assert read_authorities("--tls-ca", text) == read_authorities("--tls-ca", str(authority.certificate))
    empty = tmp_path / "empty"
    empty.write_text("")
    for bad in (str(empty), str(tmp_path / "gone"), "-----BEGIN CERTIFICATE-----\nnonsense\n"):
        with pytest.raises(InvalidArgumentError, match=r"--tls-ca: .*expected"):
            read_authorities("--tls-ca", bad)


def test_a_certificate_is_given_with_its_key_and_for_a_client_with_whom_it_believes(authority: Authority) -> None:
    certificate, key = map(str, authority.issue("manager"))
    ca = str(authority.certificate)
    for arguments, field in (
        ((certificate, ""), "--tls-key"),
        (("", key), "--tls-cert"),
        (("", "", ca), "--tls-cert"),
    ):
        with pytest.raises(InvalidArgumentError, match=f"^{field}: expected a path beside"):
            server_tls(*arguments)
    with pytest.raises(InvalidArgumentError, match=r"^--tls-cert: .*expected --tls-ca beside it"):
        client_tls("", certificate, key)
    with pytest.raises(InvalidArgumentError, match=r"^--tls-key: expected a path beside --tls-cert"):
        client_tls(ca, certificate)
    assert server_tls("", "") is None
    assert client_tls("") is None


def test_changed_files_are_read_again_and_bad_ones_leave_the_good_in_use(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tls_files, "_LOOK_S", 0.0)
    caplog.set_level(logging.INFO, "katib")
    certificate, key = authority.issue("manager")
    paths = [str(certificate), str(key)]
    files: Reloaded[Pair] = Reloaded(lambda: read_pair(paths[0], paths[1], OPTIONS), paths, lambda pair: pair)
    first, version = files.current()
    assert files.current() == (first, version)
    assert not caplog.records

    good = certificate.read_bytes(), key.read_bytes()
    authority.issue("manager")
    renewed, later = files.current()
    assert (renewed.certificates, later) == (certificate.read_bytes(), version + 1)
    assert [r.message for r in caplog.records] == ["TLS files have changed and are in use"]
    caplog.clear()

    # The certificate of before with the new key: one file has been replaced, and the other not yet.
    certificate.write_bytes(good[0])
    assert files.current() == (renewed, later)
    assert not caplog.records
    for _ in range(3):
        assert files.current() == (renewed, later)
    (said,) = caplog.records
    assert said.levelno == logging.WARNING
    assert "those from before stay in use until they are mended: --tls-key: " in said.getMessage()
    assert "expected the key of the certificate" in said.getMessage()
    caplog.clear()

    key.write_bytes(good[1])
    assert files.current()[0].certificates == good[0]
    os.unlink(key)
    assert files.current()[0].certificates == good[0]


def test_a_certificate_that_ends_soon_is_warned_of_once(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tls_files, "_LOOK_S", 0.0)
    certificate, key = authority.issue("manager", valid=timedelta(minutes=4))
    paths = [str(certificate), str(key)]
    files: Reloaded[Pair] = Reloaded(lambda: read_pair(paths[0], paths[1], OPTIONS), paths, lambda pair: pair)
    for _ in range(3):
        files.current()
    (said,) = caplog.records
    assert said.getMessage().startswith("the TLS certificate expires at ")
    assert said.getMessage().endswith("renew it; it is taken up without a restart")


@pytest.mark.parametrize(
    ("address", "elsewhere"),
    [
        ("localhost:6789", False),
        ("127.0.0.1:1", False),
        ("127.8.8.8:1", False),
        ("[::1]:1", False),
        ("unix:/tmp/m", False),
        ("", False),
        ("0.0.0.0:1", True),
        ("[::]:6789", True),
        (":6789", True),
        ("10.0.0.1:1", True),
        ("manager.example:1", True),
    ],
)
def test_whether_others_can_reach_an_address(address: str, elsewhere: bool) -> None:
    assert is_elsewhere(address) is elsewhere


def test_both_ends_are_made_of_the_same_files(authority: Authority) -> None:
    certificate, key = map(str, authority.issue("manager"))
    ca = str(authority.certificate)
    assert ServerTls(certificate, key, ca).mutual
    assert not ServerTls(certificate, key).mutual
    assert ClientTls(ca, certificate, key).version == 0


def _shown(path: Path) -> str:
    text = str(path)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _certificate() -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        certificate, _ = Authority(Path(folder) / "a").issue("x", at=["localhost"])
        return ssl.PEM_cert_to_DER_cert(certificate.read_text())


_CERTIFICATE = _certificate()
