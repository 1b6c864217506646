"""Where the command line and programs find the token by which they show who calls.

Never an argument, which every process of a machine may read: a file that KATIB_TOKEN_FILE names, or what `katib-cli login` has
kept for the manager's address.
"""

import json
import os
import stat
from pathlib import Path
from typing import Final

from katib.api.secret_file import warn_if_open
from katib.domain.errors import FailedPreconditionError, InvalidArgumentError

TOKEN_FILE: Final = "KATIB_TOKEN_FILE"  # noqa: S105 - the name of a variable
_LONGEST: Final = 8192


def logins_file() -> Path | None:
    """None for a user who has no home, as one that a container runs by number."""
    home = os.environ.get("XDG_CONFIG_HOME", "")
    try:
        return (Path(home) if home else Path.home() / ".config") / "katib" / "logins.json"
    except RuntimeError:
        return None


def token_for(server: str) -> str:
    """Empty where there is none. Raises InvalidArgumentError or FailedPreconditionError for a file that cannot be used."""
    named = os.environ.get(TOKEN_FILE, "")
    if named:
        return read_token(Path(named))
    kept = _load()
    return next((kept[address] for address in (server, *server.split(",")) if address in kept), "")


def read_token(path: Path, named_by: str = TOKEN_FILE) -> str:
    """The token in a file of its own."""
    try:
        text = path.read_text(encoding="ascii").strip()
        warn_if_open(path)
    except OSError as error:
        raise InvalidArgumentError(f"{named_by}: {path} cannot be read: {error.strerror}") from error
    except ValueError:
        text = ""
    return check_token(text, f"{named_by}: {path}")


def check_token(text: str, where: str) -> str:
    """Raises InvalidArgumentError for what can be no token; its text is not shown."""
    if not text or len(text) > _LONGEST or not text.isascii() or not text.isprintable() or " " in text:
        raise InvalidArgumentError(f"{where}: expected a token, one word of printable characters, and nothing else")
    return text


def keep(server: str, token: str) -> Path:
    kept = _load()
    kept[server] = token
    return _store(kept)


def forget(server: str) -> bool:
    """Whether there was one."""
    kept = _load()
    if kept.pop(server, None) is None:
        return False
    _store(kept)
    return True


def write_private(path: Path, text: str) -> None:
    """For this user's eyes alone, from the first byte on; whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _load() -> dict[str, str]:
    path = logins_file()
    if path is None:
        return {}
    try:
        mode = path.stat().st_mode
        if stat.S_IMODE(mode) & 0o077:
            raise FailedPreconditionError(
                f"{path} holds tokens and others can read it: chmod 600 {path}, and revoke what they may have seen"
            )
        data = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise FailedPreconditionError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError:
        data = None
    if not isinstance(data, dict) or not all(isinstance(value, str) for value in data.values()):
        raise FailedPreconditionError(f"{path} is not what katib-cli login writes: remove it, and log in again")
    return data


def _store(kept: dict[str, str]) -> Path:
    path = logins_file()
    if path is None:
        raise FailedPreconditionError(
            f"there is no home to keep it in: set HOME or XDG_CONFIG_HOME, or name a file of your own in {TOKEN_FILE}"
        )
    try:
        write_private(path, json.dumps(kept, indent=1, sort_keys=True) + "\n")
    except OSError as error:
        raise FailedPreconditionError(f"{path} cannot be written: {error.strerror}") from error
    return path
