"""How the API server is reached, and as whom: inside a cluster by the Pod's service account, outside by a kubeconfig file.

This is what the `kubernetes` package is used for: finding the configuration, renewing tokens (files of service accounts, exec
plugins), TLS and proxies. Its model classes are not: a Pod stays the JSON that the API server sends.
"""

import logging
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any, Final

import urllib3

from katib.domain.errors import InvalidArgumentError, UnavailableError

_log: Final = logging.getLogger(__name__)

_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_DEFAULT_FILE: Final = "~/.kube/config"
# Connections that are kept for the next request: one for each log that is followed, and some for the rest.
_KEPT_CONNECTIONS: Final = 256
_RENEW_S: Final = 30.0
# A peer that is silently gone (a node that lost its power, a NAT that forgot us) is noticed after 10 + 3 * 5 seconds, however
# little is sent: a watch may have nothing to say for a minute, a log for hours.
_KEEPALIVE: Final = (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))


class Access:
    """A way to an API server, from any thread."""

    def __init__(self, kubeconfig: str, context: str) -> None:
        self._kubeconfig: Final = kubeconfig
        self._context: Final = context
        self._lock: Final = threading.Lock()
        self._looking: Final = threading.Lock()
        self._renewed_at = time.monotonic()
        self._looked_at = self._renewed_at
        self._configuration, self.namespace = _configure(kubeconfig, context)
        self.pool = _pool(self._configuration)

    @property
    def base(self) -> str:
        return str(self._configuration.host).rstrip("/")

    def headers(self) -> dict[str, str]:
        """Who we are, now: a token that has expired is read again first. Raises UnavailableError when there is none."""
        with self._lock:
            try:
                settings = self._configuration.auth_settings()
            except Exception as error:  # an exec plugin, a file, an identity provider: whatever renews the token
                raise UnavailableError(f"the token for the Kubernetes API server cannot be renewed: {error}") from error
        return {auth["key"]: auth["value"] for auth in settings.values() if auth["in"] == "header" and auth["value"]}

    def renew(self) -> None:
        """Reads everything again, now and then: the API server does not know us any more, and a certificate or a token in a
        file may have been replaced, which nothing else notices."""
        with self._lock:
            if time.monotonic() - self._renewed_at < _RENEW_S:
                return
            self._renewed_at = time.monotonic()
            try:
                self._configuration, _ = _configure(self._kubeconfig, self._context)
                self.pool = _pool(self._configuration)
            except InvalidArgumentError as error:
                _log.warning("the way to the Kubernetes API server cannot be read again: %s", error)

    def look_again(self) -> None:
        """Reads where the API server is, now and then: it cannot be reached, and may be elsewhere by now, or have a certificate
        of another authority. Connections that would be made in the same way stay."""
        # It may have to run a program that gets no answer either: nobody else waits for that.
        if not self._looking.acquire(blocking=False):
            return
        try:
            if time.monotonic() - self._looked_at < _RENEW_S:
                return
            self._looked_at = time.monotonic()
            found, _ = _configure(self._kubeconfig, self._context)
        except InvalidArgumentError as error:
            _log.warning("the way to the Kubernetes API server cannot be read again: %s", error)
            return
        finally:
            self._looking.release()
        with self._lock:
            if _way(found) == _way(self._configuration):
                return
            _log.info("the way to the Kubernetes API server is another one: it is at %s", found.host)
            self._configuration = found
            self.pool = _pool(found)


def open_access(kubeconfig: str = "", context: str = "") -> Access:
    """From the file named, else from $KUBECONFIG, else inside a cluster from the service account, else from ~/.kube/config.

    Raises InvalidArgumentError that says what is missing. Nothing is asked of the API server.
    """
    return Access(kubeconfig, context)


def _configure(kubeconfig: str, context: str) -> tuple[Any, str]:
    from kubernetes.client import Configuration

    configuration = Configuration()
    configuration.connection_pool_maxsize = _KEPT_CONNECTIONS
    configuration.socket_options = _socket_options()
    # Who asks decides whether asking again makes sense.
    configuration.retries = False
    return configuration, _load(configuration, kubeconfig, context)


def _pool(configuration: Any) -> urllib3.PoolManager:
    from kubernetes.client.rest import RESTClientObject

    return RESTClientObject(configuration).pool_manager


def _way(configuration: Any) -> tuple[object, ...]:
    """What a connection is made by; files by their names, as each connection reads them itself."""
    names = ("host", "ssl_ca_cert", "cert_file", "key_file", "verify_ssl", "tls_server_name", "proxy", "no_proxy")
    return tuple(getattr(configuration, name, None) for name in names)


def _load(configuration: Any, kubeconfig: str, context: str) -> str:
    """Fills the configuration in; returns its namespace."""
    from kubernetes import config

    file = kubeconfig or os.environ.get("KUBECONFIG", "")
    if not file and not context and os.environ.get("KUBERNETES_SERVICE_HOST"):
        try:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        except (config.ConfigException, OSError) as error:
            raise InvalidArgumentError(
                f"the service account of this Pod cannot be used: {error}; set automountServiceAccountToken, or "
                "--worker-option kubeconfig=FILE"
            ) from error
        return _read(_ACCOUNT / "namespace") or "default"
    file = file or os.path.expanduser(_DEFAULT_FILE)
    try:
        load: Any = config.load_kube_config
        load(config_file=file, context=context or None, client_configuration=configuration)
        contexts, current = config.list_kube_config_contexts(config_file=file)  # type: ignore[no-untyped-call]
    except Exception as error:  # the package raises whatever its YAML parser or its exec plugin does
        raise InvalidArgumentError.of(
            "--worker-option kubeconfig", file, f"expected a kubeconfig file that can be used: {error}"
        ) from error
    chosen = next((c for c in contexts if c["name"] == context), current) if context else current
    return str((chosen or {}).get("context", {}).get("namespace") or "default")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _socket_options() -> list[tuple[int, int, int]]:
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    # Not every system has all of them.
    options += [
        (socket.IPPROTO_TCP, getattr(socket, name), value) for name, value in _KEEPALIVE if hasattr(socket, name)
    ]
    return options
