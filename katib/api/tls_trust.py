"""Whether somebody's authorities vouch for a certificate. A handshake in memory tells: OpenSSL says it, and no code of ours."""

import os
import ssl
from importlib.resources import files

# Where gRPC looks for authorities before it takes those that it brings.
_ROOTS = "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"


def why_not_believed(server: ssl.SSLContext, authorities: str | None) -> str:
    """What is wrong, to a client that believes these, in PEM, with the certificate that a server shows; empty where nothing is.
    None: the authorities by which gRPC goes. A host's name is not looked at: by which one it is called is not known here."""
    try:
        return _verdict(server, _public() if authorities is None else authorities)
    except (OSError, ValueError):
        return ""  # something else is wrong with the two, which others say


def _verdict(server: ssl.SSLContext, authorities: str) -> str:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    # What stands between the certificates may be in any language.
    client.load_verify_locations(cadata=authorities.encode("ascii", "ignore").decode())
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    # Each has its say twice at most.
    for _ in range(4):
        try:
            ours.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLCertVerificationError as error:
            return error.verify_message
        else:
            return ""
        try:
            theirs.do_handshake()
        except ssl.SSLWantReadError:
            pass
    return ""


def _public() -> str:
    path = os.environ.get(_ROOTS)
    if path:
        with open(path, encoding="ascii", errors="ignore") as file:
            return file.read()
    return files("grpc").joinpath("_cython/_credentials/roots.pem").read_bytes().decode("ascii", "ignore")
