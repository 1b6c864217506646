"""What katib-local refuses before it begins."""

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
