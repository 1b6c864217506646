"""What Katib has told the program of a trial, in its environment."""

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrialEnvironment:
    """`addresses`: where the managers are; none: they cannot be reached from here. `authorities`: who vouches for them, as
    certificates, a path or a word (see katib.api.tls); empty: they do not speak TLS."""

    trial_id: str
    attempt: int
    addresses: tuple[str, ...]
    token: str
    authorities: str = ""


def trial_environment() -> TrialEnvironment | None:
    """None outside a trial."""
    trial_id = os.environ.get("TRIAL_ID", "")
    attempt = os.environ.get("KATIB_ATTEMPT", "")
    if not trial_id or not attempt.isdecimal():
        return None
    addresses = tuple(part.strip() for part in os.environ.get("KATIB_SERVER", "").split(",") if part.strip())
    return TrialEnvironment(
        trial_id,
        int(attempt),
        addresses,
        os.environ.get("KATIB_TOKEN", ""),
        os.environ.get("KATIB_TLS_CA", ""),
    )
