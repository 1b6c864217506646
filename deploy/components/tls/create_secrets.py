"""Makes the Secrets of ../tls where no cert-manager does: an authority in a folder of yours, and certificates by it.

    python deploy/components/tls/create_secrets.py FOLDER | kubectl apply -f -     # now, and again to renew
    python deploy/components/tls/create_secrets.py FOLDER --client alice           # FOLDER/alice.crt and alice.key

Needs the Python package `cryptography`, which `katib[manager]` brings. FOLDER/ca.key vouches for everybody: keep it where
nobody else reads it, and not in the cluster.
"""

import argparse
import base64
import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NAMESPACE = "katib"
_BASE = Path(__file__).resolve().parents[2] / "base"
_LATE = timedelta(minutes=5)  # of clocks that differ


def names_of(*services: str) -> list[str]:
    """By which they are called from within the cluster."""
    ends = ("", f".{NAMESPACE}", f".{NAMESPACE}.svc", f".{NAMESPACE}.svc.cluster.local")
    return [f"{service}{end}" for service in services for end in ends]


def services() -> list[str]:
    """Every algorithm and rule of the distribution."""
    return sorted(path.name for path in _BASE.iterdir() if path.name.startswith(("suggestion-", "earlystopping-")))


class Authority:
    """In a folder, where it stays as it is once it is there."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._certificate, key = folder / "ca.crt", folder / "ca.key"
        if key.exists():
            loaded = serialization.load_pem_private_key(key.read_bytes(), None)
            if not isinstance(loaded, ec.EllipticCurvePrivateKey):
                sys.exit(f"{key} is not the key of an authority that this program made")
            self._key = loaded
        else:
            self._key = ec.generate_private_key(ec.SECP256R1())
            _write(key, _pem(self._key))
            built = (
                _builder("katib", _name("katib"), self._key.public_key(), timedelta(days=3650))
                .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
                .add_extension(_usage(signs=True), critical=True)
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            )
            signed = built.sign(self._key, hashes.SHA256())
            self._certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        self.certificate = self._certificate.read_bytes()

    def issue(
        self, name: str, dns: Sequence[str] = (), *, server: bool = False, client: bool = False
    ) -> tuple[bytes, bytes]:
        """A certificate for 90 days and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        usages = [ExtendedKeyUsageOID.SERVER_AUTH] * server + [ExtendedKeyUsageOID.CLIENT_AUTH] * client
        issuer = x509.load_pem_x509_certificate(self.certificate).subject
        built = (
            _builder(name, issuer, key.public_key(), timedelta(days=90))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if dns:
            built = built.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in dns]), critical=False)
        certificate = built.sign(self._key, hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM), _pem(key)


def secrets(authority: Authority) -> list[dict[str, object]]:
    """What the Deployments mount."""
    manager = [*names_of("katib-manager", "katib-reports"), "localhost"]
    dashboard = [*names_of("katib-dashboard"), "localhost"]
    issued = {
        "katib-manager": authority.issue("katib-manager", manager, server=True, client=True),
        "katib-services": authority.issue("katib-services", services(), server=True),
        "katib-dashboard": authority.issue("katib-dashboard", dashboard, server=True, client=True),
    }
    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/tls",
            "metadata": {
                "name": f"{name}-tls",
                "namespace": NAMESPACE,
                "labels": {"app.kubernetes.io/part-of": "katib"},
            },
            "data": {
                "tls.crt": base64.b64encode(certificate).decode(),
                "tls.key": base64.b64encode(key).decode(),
                "ca.crt": base64.b64encode(authority.certificate).decode(),
            },
        }
        for name, (certificate, key) in issued.items()
    ]


def _builder(name: str, issuer: x509.Name, key: ec.EllipticCurvePublicKey, valid: timedelta) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _LATE)
        .not_valid_after(now + valid)
    )


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def _write(path: Path, key: bytes) -> None:
    """For its owner alone, from the beginning."""
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key)


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes the Secrets of deploy/components/tls, or one client's files.")
    parser.add_argument("folder", type=Path, help="where the authority is, or is made")
    parser.add_argument("--client", metavar="NAME", help="make a certificate for somebody instead")
    arguments = parser.parse_args()
    authority = Authority(arguments.folder)
    if arguments.client is None:
        json.dump({"apiVersion": "v1", "kind": "List", "items": secrets(authority)}, sys.stdout, indent=2)
        print()
        return
    name = arguments.client
    if not name.replace("-", "").replace(".", "").replace("@", "").isalnum() or name == "ca":
        sys.exit(f"{name!r}: expected a name of letters, digits, - . and @, and not ca")
    certificate, key = authority.issue(name, client=True)
    (arguments.folder / f"{name}.crt").write_bytes(certificate)
    _write(arguments.folder / f"{name}.key", key)
    print(f"{arguments.folder / name}.crt and .key are {name}'s for 90 days")


if __name__ == "__main__":
    main()
