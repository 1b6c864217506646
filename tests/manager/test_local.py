"""What katib-local refuses before it begins."""

import tempfile
import threading
from pathlib import Path

import pytest

from katib import local
from katib.domain.errors import FailedPreconditionError


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KATIB_AUTH", "tokens"),
        ("KATIB_TLS_CERT", "m.crt"),
        ("KATIB_TLS_CLIENT_CA", "ca.crt"),
        ("KATIB_SERVICE_TOKEN_FILE", "t"),
    ],
)
def test_it_does_not_pass_over_orders_to_keep_others_out(tmp_path, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(FailedPreconditionError, match=f"{name} is set, .* katib-manager --worker local"):
        local.run(tmp_path / "data", "localhost:0", "", "ERROR")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("name", "value"), [("KATIB_AUTH", "none"), ("KATIB_AUTH", ""), ("KATIB_TLS_CA", "ca.crt")])
def test_what_asks_for_nothing_of_it_is_no_reason(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    local._check_environment()


def test_a_folder_for_sockets_without_room_for_the_longest_name_is_told_with_what_helps(tmp_path, monkeypatch):
    """Not by options that it does not have."""
    with tempfile.TemporaryDirectory(prefix="kt-", dir="/tmp") as short:
        deep = Path(short) / ("x" * (59 - len(short)))
        deep.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(deep))
        monkeypatch.setattr(local.rpc, "stop_on_signals", threading.Event)
        with pytest.raises(FailedPreconditionError, match="longer than 107 bytes: set TMPDIR"):
            local.run(tmp_path / "data", "localhost:0", "", "ERROR")
