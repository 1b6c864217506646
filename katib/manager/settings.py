"""The manager's settings: each by a flag and by `KATIB_*`, shown at start without secrets."""

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from katib.domain.errors import InvalidArgumentError

# Up to the last @: who writes an address by hand may have left one of the password as it is.
_PASSWORD: Final = re.compile(r"(?<=://)([^:/@\s]*):\S*@")
# Without an @ at all a port is what may stand behind the colon.
_NO_PORT: Final = re.compile(r"(?<=://)([^:/@\s\[]*):(?!\d+(?:[/?\s]|$))[^@\s]+$")
# Drivers take passwords there too, by names of their own.
_OPTION: Final = re.compile(r"(?<=[?&])([^=&\s]*)=[^&\s]*")

DEFAULT_LISTEN: Final = "localhost:6789"
DEFAULT_HTTP: Final = "localhost:8081"
DEFAULT_SUGGESTION: Final = "suggestion-{algorithm}:6789"
DEFAULT_AUDIENCE: Final = "katib"
DEFAULT_EARLYSTOPPING: Final = "earlystopping-{algorithm}:6789"


@dataclass(frozen=True, slots=True)
class Settings:
    """`http` empty: no HTTP server. `data` is where the local worker keeps runs; `worker_option` is NAME=VALUE each;
    `mount_root` is the worker's option of that name. `advertise_address` is where runs reach the manager (see `advertise`).
    `tls_cert` empty: the manager's own ports are in plaintext; `tls_ca` empty: so is what it says to services. `advertise_ca`
    is whom runs believe, empty for `tls_ca`. `auth` and on: see `manager.auth.open`; `max_` and on: `manager.limits`."""

    listen: str = DEFAULT_LISTEN
    http: str = DEFAULT_HTTP
    database: str = "sqlite:///katib.db"
    database_password_file: str = ""
    worker: str = "local"
    worker_option: tuple[str, ...] = ()
    mount_root: str = ""
    data: Path = Path("katib-data")
    advertise_address: str = ""
    suggestion_address: str = DEFAULT_SUGGESTION
    earlystopping_address: str = DEFAULT_EARLYSTOPPING
    model_store: str = "database"
    lease: float = 10.0
    tls_cert: str = ""
    tls_key: str = ""
    tls_client_ca: str = ""
    health_listen: str = ""
    report_listen: str = ""
    tls_ca: str = ""
    advertise_ca: str = ""
    auth: str = "none"
    auth_role: tuple[str, ...] = ()
    auth_namespace: tuple[str, ...] = ()
    auth_audience: str = DEFAULT_AUDIENCE
    bootstrap_token_file: Path | None = None
    service_token_file: Path | None = None
    audit_log: str = ""
    max_message: int = 16
    max_rate: int = 50_000
    max_rate_per_caller: int = 10_000
    max_rate_per_trial: int = 100
    max_data_per_caller: int = 8
    max_waiting: int = 10_000
    max_waiting_per_caller: int = 1_000
    max_streams: int = 256
    max_streams_per_caller: int = 128
    max_studies: int = 100_000
    max_studies_per_owner: int = 10_000
    max_trials: int = 100_000_000
    max_trials_per_owner: int = 10_000_000
    max_trials_per_study: int = 1_000_000
    max_observations: int = 1_000_000_000
    max_observations_per_owner: int = 100_000_000
    max_observations_per_trial: int = 1_000_000
    one_processor: bool = True
    log_level: str = "INFO"
    log_format: str = "text"

    def worker_options(self) -> dict[str, str]:
        """Raises InvalidArgumentError for one that is not NAME=VALUE, and for two that contradict each other."""
        options = {"mount_root": self.mount_root} if self.mount_root else {}
        if self.worker == "kubernetes" and self.auth_audience != DEFAULT_AUDIENCE:
            options["audience"] = self.auth_audience
        for text in self.worker_option:
            name, equals, value = text.partition("=")
            if not equals or not name:
                raise InvalidArgumentError.of("--worker-option", text, "expected NAME=VALUE")
            if self.mount_root and name == "mount_root" and value != self.mount_root:
                raise InvalidArgumentError.of("--worker-option", text, f"--mount-root says {self.mount_root}: give one")
            options[name] = value
        return options

    def shown(self) -> str:
        """One line, passwords left out."""
        return " ".join(f"{f.name}={hide_password(str(getattr(self, f.name)))}" for f in fields(self))


def hide_password(url: str) -> str:
    """Leaves out rather more than the password of an address that is not well formed."""
    return _OPTION.sub(r"\1=***", _NO_PORT.sub(r"\1:***", _PASSWORD.sub(r"\1:***@", url)))
