"""What runs are told of the manager, and which tokens count."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from katib.domain.errors import InvalidArgumentError, PermissionDeniedError
from katib.manager.access import RunAccess
from katib.manager.advertise import advertised_address
from katib.manager.storage.secrets import MemorySecrets

TRIAL = "t" + "0" * 15
OTHER = "u" + "0" * 15


def test_every_manager_knows_every_token_and_a_run_created_again_has_the_same() -> None:
    secrets = MemorySecrets()
    one, other = (RunAccess(secrets, lambda: "manager:6789") for _ in range(2))
    given_first = one.environment(TRIAL, 1)
    assert given_first["KATIB_SERVER"] == "manager:6789"
    assert other.environment(TRIAL, 1) == given_first
    other.check(given_first["KATIB_TOKEN"], TRIAL, 1)


def test_a_token_is_of_one_attempt_of_one_installation() -> None:
    access = RunAccess(MemorySecrets(), lambda: "manager:6789")
    elsewhere = RunAccess(MemorySecrets(), lambda: "manager:6789")
    tokens = [a.environment(t, n)["KATIB_TOKEN"] for a in (access, elsewhere) for t in (TRIAL, OTHER) for n in (1, 2)]
    assert len(set(tokens)) == 8
    for token in tokens[1:]:
        with pytest.raises(PermissionDeniedError):
            access.check(token, TRIAL, 1)


@given(st.text())
def test_no_other_text_is_one(text: str) -> None:
    with pytest.raises(PermissionDeniedError):
        RunAccess(MemorySecrets(), lambda: "").check(text, TRIAL, 1)


def test_where_there_is_no_way_to_the_manager_nothing_is_told() -> None:
    assert RunAccess(MemorySecrets(), lambda: "").environment(TRIAL, 1) == {}


@pytest.mark.parametrize(
    ("advertise", "listen", "worker", "address"),
    [
        ("", "localhost:0", "local", "localhost:7000"),
        ("", "127.0.0.2:7000", "local", "127.0.0.2:7000"),
        ("", "0.0.0.0:7000", "local", "localhost:7000"),
        ("", "[::]:7000", "local", "localhost:7000"),
        ("", "[::1]:7000", "local", "[::1]:7000"),
        ("", "unix:/run/m", "local", "unix:/run/m"),
        ("", "unix:///run/m", "local", "unix:/run/m"),
        ("", "0.0.0.0:7000", "kubernetes", ""),
        ("", "localhost:7000", "kubernetes", ""),
        ("katib-manager.katib:6789", "0.0.0.0:7000", "kubernetes", "katib-manager.katib:6789"),
        ("a:1,b:2", "localhost:7000", "local", "a:1,b:2"),
        ("none", "localhost:7000", "local", ""),
    ],
)
def test_runs_are_told_what_the_operator_says_or_what_processes_can_use(
    advertise: str, listen: str, worker: str, address: str
) -> None:
    assert advertised_address(advertise, listen, 7000, worker) == address


def test_a_socket_with_a_relative_path_is_found_from_every_folder() -> None:
    assert advertised_address("", "unix:m.sock", 0, "local").startswith("unix:/")


@pytest.mark.parametrize(
    "text", ["katib-manager", "a b:1", "a:1,", "http://a:1", "unix:", ":1", "a:99999", "a:0", "a:²"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="--advertise-address"):
        advertised_address(text, "localhost:1", 1, "local")
