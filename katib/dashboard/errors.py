"""What the manager, or a check of ours, raised, as an answer over HTTP."""

from typing import Final

from katib.domain.errors import (
    AbortedError,
    AlreadyExistsError,
    DeadlineExceededError,
    FailedPreconditionError,
    InvalidArgumentError,
    KatibError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    UnauthenticatedError,
    UnavailableError,
    UnimplementedError,
)


class BusyError(UnavailableError):
    """The dashboard itself has too much to do; `retry_after` seconds later it may not."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


_STATUS: Final[dict[type[KatibError], int]] = {
    InvalidArgumentError: 400,
    UnauthenticatedError: 401,
    PermissionDeniedError: 403,
    NotFoundError: 404,
    FailedPreconditionError: 409,
    AlreadyExistsError: 409,
    AbortedError: 409,
    ResourceExhaustedError: 429,
    UnimplementedError: 501,
    UnavailableError: 503,
    DeadlineExceededError: 504,
}
# The manager is away, which passes by itself.
AWAY: Final = frozenset({503, 504})


def status_of(error: KatibError) -> int:
    return next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 500)
