"""What a client is told when a part of the manager raises an error of its own."""

import grpc
import pytest

from katib.api.errors import code_of
from katib.domain import errors
from katib.domain.errors import KatibError, UnavailableError


class _SpecialError(UnavailableError):
    """As the writer of a database raises it, to tell apart what it must do next."""


def test_an_error_of_a_narrower_class_has_the_code_of_the_class_that_clients_know() -> None:
    assert code_of(_SpecialError("away")) is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    "class_", [c for c in vars(errors).values() if isinstance(c, type) and c.__base__ is KatibError]
)
def test_every_error_of_the_domain_has_a_code_of_its_own(class_: type[KatibError]) -> None:
    assert code_of(class_("why")).name.replace("_", "") == class_.__name__.removesuffix("Error").upper()


def test_an_error_of_no_class_that_clients_know_is_internal() -> None:
    assert code_of(KatibError("why")) is grpc.StatusCode.INTERNAL
