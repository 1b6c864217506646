"""A token goes over a network by TLS, or because its owner says that it may go without."""

import logging
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from katib.api.logins import read_token
from katib.api.tls import warn_of_sent
from katib.cli.session import Session, connected, pass_session
from katib.domain.errors import FailedPreconditionError
from katib.sdk.study import connect

ELSEWHERE = "manager.example:6789"


@pytest.mark.parametrize("server", [ELSEWHERE, f"localhost:6789,{ELSEWHERE}", "10.0.0.7:6789"])
def test_without_tls_no_token_leaves_the_machine(server: str) -> None:
    with pytest.raises(FailedPreconditionError, match=r"in plaintext, .*--tls-ca.*--insecure") as refused:
        Session(server=server).connect("katib_secret")
    assert "katib_secret" not in str(refused.value)


@pytest.mark.parametrize(
    "session",
    [
        Session(server="unix:/run/katib/api"),
        Session(server="localhost:6789"),
        Session(server="[::1]:6789"),
        Session(server=ELSEWHERE, tls_ca="system"),
        Session(server=ELSEWHERE, insecure=True),
    ],
)
def test_where_nobody_else_reads_it_or_its_owner_says_so_it_goes(session: Session) -> None:
    session.connect("katib_secret").close()


def test_who_shows_no_token_needs_no_tls() -> None:
    Session(server=ELSEWHERE).connect("").close()


@click.command()
@connected
@pass_session
def show(session: Session) -> None:
    click.echo(session.insecure)


def test_the_option_stands_behind_a_command_too() -> None:
    assert CliRunner().invoke(show, ["--insecure"]).output == "True\n"
    assert CliRunner().invoke(show, []).output == "False\n"


def test_programs_are_as_careful(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").touch(0o600)
    (tmp_path / "token").write_text("katib_secret")
    monkeypatch.setenv("KATIB_TOKEN_FILE", str(tmp_path / "token"))
    with pytest.raises(FailedPreconditionError, match="KATIB_INSECURE=true"):
        connect(ELSEWHERE)
    monkeypatch.setenv("KATIB_INSECURE", "true")
    connect(ELSEWHERE).close()


def test_a_file_with_a_token_that_every_user_can_read_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "token"
    path.write_text("katib_secret")
    for mode, cluster, warned in (
        (0o600, "", False),
        (0o644, "", True),
        (0o644, "10.0.0.1", False),
        (0o640, "", False),
    ):
        path.chmod(mode)
        caplog.clear()
        if cluster:
            monkeypatch.setenv("KUBERNETES_SERVICE_HOST", cluster)
        else:
            monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        assert read_token(path) == "katib_secret"
        assert (f"chmod 600 {path}" in caplog.text) is warned
        assert "katib_secret" not in caplog.text


def test_what_runs_by_itself_says_what_it_sends(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    warn_of_sent("the token", "unix:/x", "localhost:1", "suggestion-{algorithm}:6789")
    assert "the token goes to suggestion-{algorithm}:6789 in plaintext" in caplog.text
    caplog.clear()
    warn_of_sent("the token", "unix:/x", "localhost:1")
    assert not caplog.records
