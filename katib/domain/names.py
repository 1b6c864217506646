"""Ids and names: what they look like, how they are made, and where they may become part of an address or a path."""

import os
import re
from typing import Final

from katib.domain.errors import InvalidArgumentError

ID_LENGTH: Final = 16
SERVICE_NAME_LENGTH: Final = 40
# Of a socket's path, in bytes: the kernel has room for so many and a zero.
MAX_SOCKET_PATH: Final = 107

# One letter and 15 hexadecimal digits: valid as part of any Kubernetes name, which may not begin with a digit.
_ID: Final = re.compile(r"[a-z][0-9a-f]{15}")
_ID_PREFIX: Final = re.compile(r"[a-z][0-9a-f]{0,15}")
_SERVICE_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
SERVICE_NAME_EXPECTED: Final = (
    "lower-case letters, digits and hyphens, beginning and ending with a letter or digit, "
    f"at most {SERVICE_NAME_LENGTH} characters"
)


def new_id() -> str:
    """A random id for a study or a trial: a letter a-f and 15 hexadecimal digits (62 bits)."""
    # The operating system's randomness as it is: `secrets` loads hashing and more, which the command line's start would pay.
    letter, digits = divmod(int.from_bytes(os.urandom(16)), 2**60)
    return f"{'abcdef'[letter % 6]}{digits:015x}"


def is_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None


def is_id_prefix(text: str) -> bool:
    return _ID_PREFIX.fullmatch(text) is not None


def is_service_name(name: str) -> bool:
    """Whether `name` may be an algorithm's or a rule's name, and so part of an address."""
    return len(name) <= SERVICE_NAME_LENGTH and _SERVICE_NAME.fullmatch(name) is not None


def check_service_name(field: str, name: str) -> str:
    """Returns `name`; raises InvalidArgumentError when it may not become part of an address."""
    if not is_service_name(name):
        raise InvalidArgumentError.of(field, name, f"expected {SERVICE_NAME_EXPECTED}")
    return name


def check_id(field: str, value: str) -> str:
    """Returns `value`; raises InvalidArgumentError when it cannot be an id."""
    if not is_id(value):
        raise InvalidArgumentError.of(field, value, "expected an id: one letter and 15 hexadecimal digits")
    return value


def run_name(trial_id: str, attempt: int) -> str:
    """The name of a trial's attempt at a worker. Everybody derives it; only workers read it back, from what they
    started (`katib.worker.names`)."""
    return f"{trial_id}-{attempt}"
