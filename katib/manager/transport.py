"""How a manager is reached and how it reaches services: its ports, certificates, and what runs are told of both."""

import logging
from collections.abc import Callable
from typing import Any, Final

from katib.api import rpc
from katib.api.tls import SYSTEM, ClientTls, ServerTls, client_tls, server_tls, warn_of_plaintext, warn_of_sent
from katib.api.tls_files import Reloaded, read_authorities
from katib.api.tls_trust import why_not_believed
from katib.manager.advertise import advertised_address
from katib.manager.reports import REPORTS
from katib.manager.settings import Settings

_log: Final = logging.getLogger(__name__)


class Transport:
    def __init__(self, settings: Settings) -> None:
        """Raises InvalidArgumentError for certificates that cannot be used."""
        self._settings = settings
        self.tls: Final[ServerTls | None] = server_tls(settings.tls_cert, settings.tls_key, settings.tls_client_ca)
        self.services: Final[ClientTls | None] = (
            client_tls(settings.tls_ca, settings.tls_cert, settings.tls_key) if settings.tls_ca else None
        )
        # Who vouches for this manager, as runs are told it.
        self.authorities: Final = _authorities_of_runs(settings)
        # Where runs reach it; empty where they do not.
        self.advertised = ""

    def listen(self, server: rpc.Server, add_reports: Callable[[Any], None]) -> int:
        """Binds every port of the API; returns that of `--listen`. `add_reports` adds what answers the programs of trials,
        which have a token and no certificate. Raises a KatibError that says which address cannot be had."""
        settings = self._settings
        port = server.listen(settings.listen, self.tls)
        reached, reached_port = settings.listen, port
        if settings.report_listen:
            reached = settings.report_listen
            reached_port = server.listen_part(reached, self.tls, REPORTS, add_reports)
        if settings.health_listen:
            server.listen_health(settings.health_listen)
        # Runs have no certificate to show.
        closed = self.tls is not None and self.tls.mutual and not reached.startswith("unix:")
        if not closed or settings.report_listen or settings.advertise_address:
            self.advertised = advertised_address(settings.advertise_address, reached, reached_port, settings.worker)
        return port

    def start(self) -> None:
        """Looks after the files from now on, or says that there are none."""
        if self.tls is None:
            warn_of_plaintext(self._settings.listen, self._settings.report_listen, self._settings.http)
        else:
            self.tls.watch()
            if self.advertised and not self.advertised.startswith("unix:"):
                self._warn_of_runs(self.tls)
        settings = self._settings
        if settings.service_token_file is not None and self.services is None:
            warn_of_sent(
                "the token in --service-token-file", settings.suggestion_address, settings.earlystopping_address
            )

    def _warn_of_runs(self, tls: ServerTls) -> None:
        """Their reports would all fail, and only whoever reads their output would ever know."""
        told = self.authorities()
        why = why_not_believed(tls.context(), None if told == SYSTEM else told)
        if why:
            whom = "the public authorities" if told == SYSTEM else self._settings.advertise_ca or self._settings.tls_ca
            _log.warning(
                "PROGRAMS OF TRIALS CANNOT REPORT: they are to believe %s, by which the certificate in --tls-cert is not good "
                "(%s). Give --advertise-ca the authorities of %s.",
                whom,
                why,
                self._settings.tls_cert,
            )


def _authorities_of_runs(settings: Settings) -> Callable[[], str]:
    """Read for each run, so that new ones believe in who is new. Raises InvalidArgumentError."""
    if not settings.tls_cert:
        return lambda: ""
    option, source = "--tls-ca", settings.tls_ca
    if settings.advertise_ca:
        option, source = "--advertise-ca", settings.advertise_ca
    if source in ("", SYSTEM):
        return lambda: SYSTEM
    read = Reloaded(lambda: read_authorities(option, source).decode(), [source], lambda _: None)
    return lambda: read.current()[0]
