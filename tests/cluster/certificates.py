"""Who is who in the test cluster: an authority, and certificates and kubeconfigs by it."""

import base64
import datetime
import ipaddress
import json
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_VALID = datetime.timedelta(days=2)


class Authority:
    """Signs; what it makes lies in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _subject("katib-test-cluster")
        self.certificate = folder / "ca.crt"
        public = self._key.public_key()
        builder = (
            _builder(self._name, self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        )
        self.certificate.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        self.tokens = folder / "tokens.key"
        _write_key(self.tokens, ec.generate_private_key(ec.SECP256R1()))

    def issue(
        self, name: str, *groups: str, at: Sequence[str] = (), valid: datetime.timedelta = _VALID
    ) -> tuple[Path, Path]:
        """A certificate and its key, for the user `name` in `groups`, or for a server at the names and addresses `at`. `valid`:
        from now on; it began an hour ago. The same name again is a renewal: the files are replaced."""
        key = ec.generate_private_key(ec.SECP256R1())
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        # By which two authorities of one name are told apart, where one takes the place of the other.
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = (
            _builder(_subject(name, *groups), self._name, key, valid)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(issuer, critical=False)
        )
        if at:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_general(place) for place in at]), critical=False
            )
        base = self._folder / name.replace(":", "-")
        certificate, private = base.with_suffix(".crt"), base.with_suffix(".key")
        certificate.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        _write_key(private, key)
        return certificate, private

    def kubeconfig(self, server: str, name: str, *groups: str) -> Path:
        """The file by which `name` speaks to `server`; it needs no other."""
        certificate, key = self.issue(name, *groups)
        path = certificate.with_suffix(".kubeconfig")
        user = {"client-certificate-data": _base64(certificate), "client-key-data": _base64(key)}
        cluster = {"server": server, "certificate-authority-data": _base64(self.certificate)}
        content = {  # JSON is YAML
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "katib-test", "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "katib-test", "context": {"cluster": "katib-test", "user": name}}],
            "current-context": "katib-test",
        }
        path.write_text(json.dumps(content, indent=2))
        return path


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, valid: datetime.timedelta = _VALID
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + valid)
    )


def _subject(name: str, *groups: str) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general(place: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(place))
    except ValueError:
        return x509.DNSName(place)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    # Kubernetes takes a public key out of a private one in this form alone.
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
    path.write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
    path.chmod(0o600)


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
