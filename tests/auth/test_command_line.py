"""From an empty database to a colleague at work, by the command line as it is installed."""

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.auth.conftest import Guarded
from tests.e2e.harness import BIN


class Person:
    """Somebody with a home of its own."""

    def __init__(self, guarded: Guarded, home: Path) -> None:
        self.server = guarded.world.address
        self.home = home
        self.token_file = ""

    def run(self, *arguments: str, said: str = "", code: int = 0) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "XDG_CONFIG_HOME": str(self.home), "KATIB_TOKEN_FILE": self.token_file}
        done = subprocess.run(
            [BIN / "katib-cli", "-s", self.server, *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            input=said,
            env=environment,
            check=False,
        )
        assert done.returncode == code, done
        return done

    @property
    def logins(self) -> Path:
        return self.home / "katib" / "logins.json"


@pytest.fixture
def person(guarded: Guarded, tmp_path: Path) -> Person:
    return Person(guarded, tmp_path)


@pytest.mark.long
def test_the_first_administrator_makes_a_token_and_its_owner_logs_in_with_it(
    guarded: Guarded, person: Person, tmp_path: Path
) -> None:
    assert "katib-cli login" in person.run("list-studies", code=1).stderr
    person.token_file = str(guarded.world.folder / "bootstrap")
    assert person.run("whoami").stdout == "bootstrap (service), roles admin\n"
    for_ann = tmp_path / "for-ann"
    made = person.run(
        "create-token", "--owner", "ann", "--name", "laptop", "--expires", "90d", "--to-file", str(for_ann)
    )
    assert made.stdout == ""
    assert stat.S_IMODE(for_ann.stat().st_mode) == 0o600
    secret = for_ann.read_text().strip()

    person.token_file = ""
    assert secret not in person.run("login", said=secret).stderr
    assert stat.S_IMODE(person.logins.stat().st_mode) == 0o600
    assert person.run("whoami").stdout == "ann, roles user\n"
    assert json.loads(person.run("list-studies", "-o", "json").stdout) == []
    (token,) = json.loads(person.run("list-tokens", "-o", "json").stdout)
    assert (token["owner"], token["name"], token["roles"]) == ("ann", "laptop", ["user"])
    assert token["last_used_at"] is not None
    assert secret not in person.run("list-tokens").stdout

    refused = person.run("create-token", "--role", "admin", code=1)
    assert "ann does not have admin itself" in refused.stderr
    more = person.run("create-token", "--read-only")
    assert more.stdout.startswith("katib_")
    assert "only time" in more.stderr

    person.run("revoke-token", token["id"])
    assert "has expired or was revoked" in person.run("list-studies", code=1).stderr
    person.run("logout")
    assert "log in with katib-cli login" in person.run("list-studies", code=1).stderr


@pytest.mark.long
def test_a_token_takes_the_place_of_a_token_and_of_no_other_file(
    guarded: Guarded, person: Person, tmp_path: Path
) -> None:
    person.token_file = str(guarded.world.folder / "bootstrap")
    file, other, notes, pipe = (tmp_path / name for name in ("token", "thesis", "notes", "pipe"))
    file.touch()
    other.write_text("years of work")
    notes.write_text("katib_study = 7\n")
    os.mkfifo(pipe)
    asked = ("create-token", "--owner", "zoe", "--to-file")
    assert "in place of" not in person.run(*asked, str(file)).stderr
    first = file.read_text()
    again = person.run(*asked, str(file)).stderr
    assert f"It is in {file}, in place of another, which is not revoked by that." in again
    assert file.read_text() != first
    for there in (other, notes, pipe):
        refused = person.run(*asked, str(there), code=1).stderr
        assert f"{there} is there and holds no token; none is made: name another file, or remove it" in refused
    assert (other.read_text(), notes.read_text()) == ("years of work", "katib_study = 7\n")
    assert len(json.loads(person.run("list-tokens", "--owner", "zoe", "-o", "json").stdout)) == 2


@pytest.mark.long
def test_all_tokens_of_somebody_are_revoked_by_the_name(guarded: Guarded, person: Person) -> None:
    guarded.token("gone", "user")
    person.token_file = str(guarded.world.folder / "bootstrap")
    assert person.run("revoke-token", "--owner", "gone").stdout == "1 token of gone revoked.\n"
    assert "--owner NAME" in person.run("revoke-token", code=2).stderr


@pytest.mark.long
def test_a_token_that_is_none_is_not_kept(person: Person) -> None:
    assert "not one of this manager's" in person.run("login", said="opensesame\n", code=1).stderr
    assert person.run("login", said="", code=2).stderr.startswith("Error: the token: expected")
    assert not person.logins.exists()


def test_a_file_of_tokens_that_others_can_read_is_refused(person: Person) -> None:
    person.logins.parent.mkdir()
    person.logins.write_text(json.dumps({person.server: "x"}))
    person.logins.chmod(0o644)
    assert f"chmod 600 {person.logins}" in person.run("list-studies", code=1).stderr


@pytest.mark.long
def test_a_token_file_that_cannot_be_read_is_named(person: Person, tmp_path: Path) -> None:
    person.token_file = str(tmp_path / "missing")
    assert "KATIB_TOKEN_FILE" in person.run("list-studies", code=2).stderr
    (tmp_path / "two").write_text("secret-one secret-two")
    person.token_file = str(tmp_path / "two")
    refused = person.run("list-studies", code=2)
    assert "one word" in refused.stderr
    assert "secret" not in refused.stderr
