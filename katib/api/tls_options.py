"""The options by which programs are told of certificates: the same words, and the same `KATIB_*`, for each of them."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

CERT_HELP: Final = (
    "The certificate that it shows, with those up to its authority: a PEM file, read again when it changes."
)
KEY_HELP: Final = "The private key of --tls-cert: a PEM file without a passphrase."

_SERVER: Final = (
    click.option("--tls-cert", metavar="FILE", default="", show_default=False, help=CERT_HELP),
    click.option("--tls-key", metavar="FILE", default="", show_default=False, help=KEY_HELP),
    click.option(
        "--tls-client-ca",
        metavar="FILE",
        default="",
        show_default=False,
        help="The authorities that vouch for clients: then whoever connects has to show a certificate by one of them.",
    ),
    click.option(
        "--health-listen",
        metavar="HOST:PORT",
        default="",
        show_default=False,
        help="Where gRPC health checks, and nothing else, are answered without TLS: for Kubernetes' probes.",
    ),
)


def server_options(command: F) -> F:
    """`tls_cert`, `tls_key`, `tls_client_ca`, `health_listen`; each is empty where it is not given."""
    for option in reversed(_SERVER):
        command = option(command)
    return command
