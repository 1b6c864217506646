"""The database's password in a file: on no command line, and a new one without a restart."""

import os
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import make_url

from katib.domain.errors import InvalidArgumentError, UnavailableError
from katib.manager.storage.open import Opening
from tests.storage import servers


@pytest.fixture(scope="module")
def server():
    with servers.started("mariadb") as it:
        it.create_database("katib")
        yield it


def set_password(server: servers.Server, password: str) -> None:
    with closing(server.connect()) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE OR REPLACE USER katib@'%%' IDENTIFIED BY %s", (password,))
        cursor.execute("GRANT ALL ON katib.* TO katib@'%'")


def end_connections(server: servers.Server) -> None:
    with closing(server.connect()) as connection:
        connection.cursor().execute("KILL HARD USER katib")


@pytest.mark.long
def test_it_is_read_for_each_connection(server: servers.Server, tmp_path: Path) -> None:
    address = make_url(server.url("katib")).set(username="katib").render_as_string()
    file = tmp_path / "password"
    set_password(server, "first Grüße@/:%")
    file.write_text("first Grüße@/:%\n", encoding="utf-8")
    opening = Opening(address, password_file=str(file))
    try:
        opening.open()
        opening.storage.ping()

        set_password(server, "second")
        file.write_text("second", encoding="utf-8")
        # Those that are open stay; a new one is needed once they are gone.
        end_connections(server)
        opening.storage.ping()

        os.unlink(file)
        end_connections(server)
        with pytest.raises(UnavailableError) as caught:
            opening.storage.ping()
        assert "is not asked, for want of the password" in str(caught.value)
        assert "let --database-password-file name a file that can be read" in str(caught.value)
    finally:
        opening.storage.close()


def test_what_cannot_be_is_refused_with_the_options_name(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("hunter2")
    for address, path, expected in (
        ("mysql+pymysql://u@h/d", tmp_path / "gone", "expected a file that can be read: No such file"),
        ("mysql+pymysql://u:p@h/d", file, "expected no password in --database beside it"),
        (f"sqlite:///{tmp_path}/k.db", file, "SQLite, which knows no passwords"),
    ):
        with pytest.raises(InvalidArgumentError, match=f"^--database-password-file: .*{expected}") as caught:
            Opening(address, password_file=str(path))
        assert "hunter2" not in str(caught.value)
