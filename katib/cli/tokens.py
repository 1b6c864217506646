"""Commands about who calls: log in, log out, and the tokens for that."""

import os
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import click

from katib.api import logins
from katib.cli.documents import Document, time
from katib.cli.output import Format, output_option, print_document, print_documents
from katib.cli.pages import PAGE_SIZE
from katib.cli.session import Period, Session, connected, pass_session
from katib.cli.terminal import clean, table, terminal_width
from katib.domain.caller import Caller, CallerKind, Role
from katib.domain.counted import counted
from katib.domain.errors import FailedPreconditionError
from katib.domain.tokens import PREFIX, Token
from katib.domain.views import every

# Of a file it tells whether that is a token.
_MOST_OF_A_TOKEN: Final = 1024
TOKEN_FIELDS: Final = (
    *("id", "name", "owner", "kind", "roles", "groups"),
    *("created_at", "expires_at", "last_used_at"),
)


@click.command("login")
@connected
@pass_session
def login(session: Session) -> None:
    """Keep a token for this manager. It is asked for, or read from standard input where that is no terminal."""
    if sys.stdin.isatty():
        text = click.prompt(f"Token for {session.server}", hide_input=True, err=True)
    else:
        text = sys.stdin.read(16384)
    token = logins.check_token(text.strip(), "the token")
    with session.connect(token) as client:
        caller, asked = client.who_am_i(login=True)
    if not asked:
        raise FailedPreconditionError(
            f"the manager at {session.server} asks nobody who calls: there is nothing to log in to (see its option --auth)"
        )
    path = logins.keep(session.server, token)
    click.echo(f"Logged in at {session.server} as {clean(_name(caller))}; the token is kept in {path}.", err=True)
    if os.environ.get(logins.TOKEN_FILE):
        click.echo(f"{logins.TOKEN_FILE} is set, and counts before it.", err=True)


@click.command("logout")
@connected
@pass_session
def logout(session: Session) -> None:
    """Forget the token that is kept for this manager. It stays good: revoke-token ends it."""
    if logins.forget(session.server):
        click.echo(f"The token for {session.server} is forgotten here.", err=True)
    else:
        click.echo(f"No token is kept for {session.server}.", err=True)


@click.command("whoami")
@output_option
@connected
@pass_session
def whoami(session: Session, form: Format) -> None:
    """Who you are to the manager."""
    with session.connect() as client:
        caller, asked = client.who_am_i()
    if form is not Format.TABLE:
        print_document(
            {
                "authentication": asked,
                "name": caller.name,
                "kind": caller.kind.value,
                "roles": _roles(caller.roles),
                "groups": sorted(caller.groups),
            },
            form,
        )
    elif not asked:
        click.echo("Nobody in particular: this manager asks nobody who calls, and everybody may do everything.")
    else:
        groups = f"; groups {', '.join(sorted(caller.groups))}" if caller.groups else ""
        click.echo(clean(f"{_name(caller)}, roles {', '.join(_roles(caller.roles)) or 'none'}{groups}"))


@click.command("create-token")
@click.option("--name", default="", help="What it is for, such as laptop.")
@click.option("--owner", default="", help="Whose it is; for administrators.  [default: yours]")
@click.option(
    "--kind",
    type=click.Choice(["user", "service"]),
    help="A person's, or a program's.  [default: as you are]",
)
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice([role.value for role in Role]),
    help="What it may do; may be given again.  [default: user]",
)
@click.option("--read-only", is_flag=True, help="It has no role: it reads what its owner may read.")
@click.option("--group", "groups", multiple=True, metavar="NAME", help="A group of its owner's; may be given again.")
@click.option(
    "--expires",
    type=Period(),
    help="After this time it is worthless: 12h, 90d.  [default: when yours is; an administrator's never]",
)
@click.option(
    "--to-file", type=click.Path(path_type=Path, dir_okay=False), help="Write the token there, for your eyes alone."
)
@output_option
@connected
@pass_session
def create_token(
    session: Session,
    name: str,
    owner: str,
    kind: str | None,
    roles: tuple[str, ...],
    read_only: bool,
    groups: tuple[str, ...],
    expires: timedelta | None,
    to_file: Path | None,
    form: Format,
) -> None:
    """Make a token. Its text is printed this once, and is kept nowhere."""
    if read_only and roles:
        raise click.UsageError("--read-only is a token without roles: leave one of the two out")
    replaced = to_file is not None and _holds_token(to_file)
    with session.connect() as client:
        token, secret = client.create_token(
            name, owner, kind or "", roles or (() if read_only else ("user",)), groups, expires
        )
    if to_file is not None:
        try:
            logins.write_private(to_file, secret + "\n")
        except OSError as error:
            raise FailedPreconditionError(
                f"token {token.id} is made, and {to_file} cannot be written: {error.strerror}; revoke it "
                f"(katib-cli revoke-token {token.id}), and make another"
            ) from error
        secret = ""
    if form is not Format.TABLE:
        shown = {"token": secret} if secret else {"file": str(to_file)}
        print_document({**token_document(token), **shown}, form)
        return
    instead = ", in place of another, which is not revoked by that" if replaced else ""
    where = f"It is in {to_file}{instead}." if to_file is not None else "This is the only time that it is shown:"
    click.echo(clean(f"Token {token.id} of {token.owner} is made{_until(token.expires_at)}. {where}"), err=True)
    if secret:
        click.echo(secret)


@click.command("list-tokens")
@click.option("--owner", default="", help="Whose.  [default: yours; for administrators everybody's]")
@output_option
@connected
@pass_session
def list_tokens(session: Session, owner: str, form: Format) -> None:
    """Tokens, without what is secret of them."""
    with session.connect() as client:
        found = every(lambda page_token: client.list_tokens(owner, PAGE_SIZE, page_token))
        tokens = sorted(found, key=lambda token: token.created_at, reverse=True)
    if form is not Format.TABLE:
        print_documents([token_document(token) for token in tokens], form, TOKEN_FIELDS)
    elif tokens:
        click.echo(_table(tokens))
    else:
        click.echo("There are no tokens.", err=True)


@click.command("revoke-token")
@click.argument("tokens", nargs=-1, metavar="[TOKEN...]")
@click.option("--owner", default="", help="All tokens of this caller; of another one for administrators.")
@connected
@pass_session
def revoke_token(session: Session, tokens: tuple[str, ...], owner: str) -> None:
    """Make tokens worthless, by their ids or all of an owner's; other managers take up to ten seconds to see it."""
    if bool(tokens) == bool(owner):
        raise click.UsageError("expected the ids of tokens (katib-cli list-tokens), or --owner NAME")
    with session.connect() as client:
        if owner:
            number = client.revoke_token(owner=owner)
            click.echo(f"{counted(number, 'token')} of {clean(owner)} revoked.")
        for token_id in tokens:
            client.revoke_token(token_id)
            click.echo(f"Token {clean(token_id)} is revoked.")


def _holds_token(path: Path) -> bool:
    """Whether there is a token in its place, which may make room for another.

    Raises FailedPreconditionError where there is anything else.
    """
    try:
        # Whoever reads a pipe may wait for ever, and a device would be replaced by a file.
        text = _beginning(path) if path.is_file() or not path.exists() else "a device"
    except FileNotFoundError:
        return False
    except OSError as error:
        raise FailedPreconditionError(
            f"{path} is there and cannot be read: {error.strerror}; no token is made: name another file, or remove it"
        ) from error
    if text and not (text.startswith(PREFIX) and len(text.split()) == 1 and len(text) < _MOST_OF_A_TOKEN):
        raise FailedPreconditionError(
            f"{path} is there and holds no token; none is made: name another file, or remove it"
        )
    return bool(text)


def _beginning(path: Path) -> str:
    with path.open(errors="replace") as file:
        return file.read(_MOST_OF_A_TOKEN)


def token_document(token: Token) -> Document:
    return {
        "id": token.id,
        "name": token.name,
        "owner": token.owner,
        "kind": token.kind.value,
        "roles": _roles(token.roles),
        "groups": sorted(token.groups),
        "created_at": time(token.created_at),
        "expires_at": time(token.expires_at),
        "last_used_at": time(token.last_used_at),
    }


def _table(tokens: Sequence[Token]) -> str:
    return table(
        ("ID", "OWNER", "NAME", "KIND", "ROLES", "GROUPS", "EXPIRES", "LAST USED"),
        [
            (
                token.id,
                token.owner,
                token.name,
                token.kind.value,
                ", ".join(_roles(token.roles)),
                ", ".join(sorted(token.groups)),
                _day(token.expires_at),
                _day(token.last_used_at),
            )
            for token in tokens
        ],
        terminal_width(),
    )


def _roles(roles: frozenset[Role]) -> list[str]:
    return [role.value for role in Role if role in roles]


def _name(caller: Caller) -> str:
    return caller.name if caller.kind is CallerKind.USER else f"{caller.name} ({caller.kind.value})"


def _until(at: datetime | None) -> str:
    return "" if at is None else f", good until {_day(at)}"


def _day(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M}"
