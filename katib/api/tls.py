"""TLS for servers and for channels: on or off, with whose certificates, and what its failures mean.

Unix sockets are never encrypted: who may open one is said by the permissions of its file, and what goes through it never leaves
the machine.
"""

import ipaddress
import logging
import ssl
from collections.abc import Iterable
from typing import Final

import grpc

from katib.api.tls_files import Pair, Reloaded, is_pem, read_authorities, read_pair
from katib.domain.errors import FailedPreconditionError, InvalidArgumentError

_log: Final = logging.getLogger(__name__)

# In place of a file: the authorities that gRPC brings, or that GRPC_DEFAULT_SSL_ROOTS_FILE_PATH names.
SYSTEM: Final = "system"
# The variable that lets a token go in plaintext anywhere.
INSECURE: Final = "KATIB_INSECURE"
_LOOPBACK: Final = frozenset({"localhost", "ip6-localhost"})


class ServerTls:
    """What a server shows, and whether its clients have to show something too. New connections get what the files hold then."""

    def __init__(
        self,
        cert: str,
        key: str,
        client_ca: str = "",
        options: tuple[str, str, str] = ("--tls-cert", "--tls-key", "--tls-client-ca"),
    ) -> None:
        """Paths; `client_ca`: of those who vouch for clients, empty where nobody is asked. Raises InvalidArgumentError."""
        _both(cert, key, options[0], options[1])
        self.mutual: Final = bool(client_ca)
        paths = [cert, key, *([client_ca] if client_ca else [])]

        def load() -> tuple[Pair, bytes | None, ssl.SSLContext]:
            authorities = read_authorities(options[2], client_ca) if client_ca else None
            pair = read_pair(cert, key, (options[0], options[1]))
            # Now, while the files are as they should be: Python takes a key from a file alone.
            return pair, authorities, _server_context(cert, key, authorities, options)

        self._load: Final = load
        self._files: Final = Reloaded(load, paths, lambda loaded: loaded[0])

    def watch(self) -> None:
        """Looks at the files also while nobody connects."""
        self._files.watch()

    def credentials(self, *, mutual: bool = True) -> grpc.ServerCredentials:
        """For one port. `mutual` false: clients need not show anything at this one."""
        asks = mutual and self.mutual
        served = [0]

        def configuration() -> grpc.ServerCertificateConfiguration:
            (pair, authorities, _context), served[0] = self._files.current()
            return grpc.ssl_server_certificate_configuration(
                [(pair.key, pair.certificates)], authorities if asks else None
            )

        def changed() -> grpc.ServerCertificateConfiguration | None:
            return configuration() if self._files.current()[1] != served[0] else None

        return grpc.dynamic_ssl_server_credentials(configuration(), changed, asks)  # type: ignore[arg-type]  # None: as before

    def context(self) -> ssl.SSLContext:
        """For one new connection that Python itself serves. A client's certificate is asked for and may be left out: who is
        told what without one is the handler's to say."""
        return self._files.current()[0][2]

    def following_context(self) -> ssl.SSLContext:
        """For a server that takes one context for good: it gives each connection the certificate of that time. Raises
        InvalidArgumentError."""
        first = self._load()[2]

        def follow(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
            connection.context = self.context()

        first.sni_callback = follow
        return first


def _server_context(cert: str, key: str, authorities: bytes | None, options: tuple[str, str, str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key, password="")
    except OSError as error:
        raise InvalidArgumentError.of(options[1], key, f"expected the key of {cert} ({error.strerror})") from None
    if authorities is not None:
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(cadata=authorities.decode("ascii", "ignore"))
    return context


class ClientTls:
    """Whom a client believes, and what it shows of itself."""

    def __init__(
        self,
        ca: str,
        cert: str = "",
        key: str = "",
        server_name: str = "",
        options: tuple[str, str, str] = ("--tls-ca", "--tls-cert", "--tls-key"),
    ) -> None:
        """`ca`: a path, the certificates themselves in PEM, or SYSTEM. `server_name`: in place of the address's host in the
        server's certificate. Raises InvalidArgumentError."""
        _both(cert, key, options[1], options[2], optional=True)
        self._server_name = server_name
        paths = [path for path in (ca, cert, key) if path and path != SYSTEM and not is_pem(path)]

        def load() -> tuple[bytes | None, Pair | None]:
            authorities = None if ca == SYSTEM else read_authorities(options[0], ca)
            return authorities, read_pair(cert, key, (options[1], options[2])) if cert else None

        self._files: Final = Reloaded(load, paths, lambda loaded: loaded[1])

    @property
    def version(self) -> int:
        """Another one: channels opened before show and believe what the files held then."""
        return self._files.current()[1]

    def channel(self, address: str, options: Iterable[tuple[str, int | str]]) -> grpc.Channel:
        """To `HOST:PORT`, encrypted."""
        authorities, pair = self._files.current()[0]
        credentials = grpc.ssl_channel_credentials(
            authorities, pair.key if pair else None, pair.certificates if pair else None
        )
        named = (("grpc.ssl_target_name_override", self._server_name),) if self._server_name else ()
        return grpc.secure_channel(address, credentials, options=(*options, *named))


def client_tls(
    ca: str,
    cert: str = "",
    key: str = "",
    server_name: str = "",
    options: tuple[str, str, str] = ("--tls-ca", "--tls-cert", "--tls-key"),
) -> ClientTls | None:
    """None where TLS is off: without `ca`. Raises InvalidArgumentError."""
    if ca:
        return ClientTls(ca, cert, key, server_name, options)
    for option, value in ((options[1], cert), (options[2], key)):
        if value:
            raise InvalidArgumentError.of(
                option,
                value,
                f"expected {options[0]} beside it: the authorities that vouch for the server, or {SYSTEM}",
            )
    return None


def server_tls(
    cert: str,
    key: str,
    client_ca: str = "",
    options: tuple[str, str, str] = ("--tls-cert", "--tls-key", "--tls-client-ca"),
) -> ServerTls | None:
    """None where TLS is off: without any of them. Raises InvalidArgumentError."""
    return ServerTls(cert, key, client_ca, options) if cert or key or client_ca else None


def _both(cert: str, key: str, cert_option: str, key_option: str, *, optional: bool = False) -> None:
    if bool(cert) != bool(key) or not (cert or optional):
        missing, there = (cert_option, key_option) if not cert else (key_option, cert_option)
        raise InvalidArgumentError.of(
            missing, "", f"expected a path beside {there}: a certificate is used with its key"
        )


def is_elsewhere(address: str) -> bool:
    """Whether others than this machine's own processes can reach what listens at `HOST:PORT` or `unix:PATH`."""
    if not address or address.startswith("unix:"):
        return False
    host = address.rpartition(":")[0].strip("[]")
    if host.lower() in _LOOPBACK:
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True


def refuse_plaintext(server: str) -> None:
    """Before a token is sent there without TLS. Raises FailedPreconditionError, unless nothing of it leaves the machine."""
    elsewhere = next((address for address in server.split(",") if is_elsewhere(address)), None)
    if elsewhere is not None:
        raise FailedPreconditionError(
            f"your token would go to {elsewhere} in plaintext, for whoever is on the network to read: speak TLS (--tls-ca or "
            f"KATIB_TLS_CA), or say --insecure or {INSECURE}=true where that does no harm"
        )


def warn_of_sent(what: str, *servers: str) -> None:
    """The same for programs that nobody looks at: a warning for `what` they send there."""
    elsewhere = [address for server in servers for address in server.split(",") if is_elsewhere(address)]
    if elsewhere:
        _log.warning(
            "%s goes to %s in plaintext, for whoever is on the network to read: give it --tls-ca", what, elsewhere[0]
        )


def warn_of_plaintext(*addresses: str) -> None:
    """One warning in the log for all of those that others than this machine can reach; none where there are none."""
    elsewhere = [address for address in addresses if is_elsewhere(address)]
    if elsewhere:
        _log.warning(
            "NOT ENCRYPTED: whoever is on the network of %s can read and change what is said there, and nobody has to show who "
            "they are. Give it --tls-cert and --tls-key (and --tls-client-ca), or let it listen at localhost or unix:PATH; "
            "docs/security.md says how.",
            " and ".join(elsewhere),
        )
