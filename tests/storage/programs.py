"""The database servers' programs, as this machine has them."""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest


@dataclass(frozen=True, slots=True)
class Program:
    """Command lines that lack data folder, port and the like. `initialize` makes a data folder whose root needs no password."""

    serve: tuple[str, ...]
    initialize: tuple[str, ...]


def mariadb() -> Program:
    """Skips where it is missing; fails where CI=true, for there it can be had."""
    program = shutil.which("mariadbd")
    if program is None:
        missing = (
            "no MariaDB to test with: run tests/install-mariadb.sh, "
            "or set KATIB_TEST_DB_URL to a database whose name has `test` in it"
        )
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    init = ("mariadb-install-db", "--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db")
    return Program((program, "--no-defaults"), init)


def mysql() -> Program:
    """The one beside everything else, or else the system's. Skips where there is none, in CI too: whether Debian's unstable
    suite can be installed today is not ours to say."""
    folder = mysql_folder()
    if (folder / "mysqld").exists():
        # What it would look for below /usr.
        places = (f"--basedir={folder}/usr", f"--plugin-dir={folder}/usr/lib/mysql/plugin", "--secure-file-priv=")
        serve: tuple[str, ...] = (f"{folder}/mysqld", "--no-defaults", *places)
    elif (program := shutil.which("mysqld")) and "mariadb" not in Path(program).resolve().name:
        serve = (program, "--no-defaults")
    else:
        pytest.skip("NOT TESTED ON MYSQL: `make mysql` puts one beside everything else")
    # Its second protocol has a port that two servers cannot share.
    return Program((*serve, "--mysqlx=OFF"), (*serve, "--initialize-insecure"))


def mysql_folder() -> Path:
    """Where tests/install-mysql.sh puts it."""
    given = os.environ.get("KATIB_TEST_CACHE")
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return (Path(given) if given else Path(home) / "katib-tests") / "mysql"


PROGRAMS: Final[Mapping[str, Callable[[], Program]]] = {"mariadb": mariadb, "mysql": mysql}
