"""Tokens of users and services."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import bindparam, delete, insert, select, update

from katib.domain.caller import CallerKind, Role
from katib.domain.times import from_micros, from_micros_or_none, to_micros, to_micros_or_none
from katib.domain.tokens import Token
from katib.manager.storage.sql.session import Row, Session
from katib.manager.storage.sql.statement import Statement
from katib.manager.storage.sql.tables import api_tokens

_COLUMNS: Final = [
    api_tokens.c[name]
    for name in ("id", "name", "owner", "kind", "roles", "group_names", "created_at", "expires_at", "last_used_at")
]
_FIND: Final = Statement(select(*_COLUMNS, api_tokens.c.digest).where(api_tokens.c.id == bindparam("token")))
_page: Final = (
    select(*_COLUMNS).where(api_tokens.c.id > bindparam("after")).order_by(api_tokens.c.id).limit(bindparam("size"))
)
_LIST: Final = Statement(_page)
_LIST_OF_OWNER: Final = Statement(_page.where(api_tokens.c.owner == bindparam("owner")))
_INSERT: Final = Statement(insert(api_tokens))
_DELETE: Final = Statement(delete(api_tokens).where(api_tokens.c.id == bindparam("token")))
_USED: Final = Statement(update(api_tokens).where(api_tokens.c.id == bindparam("token")), ("last_used_at",))


def add(session: Session, token: Token, digest: str) -> None:
    session.write(
        _INSERT,
        id=token.id,
        name=token.name,
        owner=token.owner,
        kind=token.kind.value,
        roles=json.dumps(sorted(role.value for role in token.roles)),
        group_names=json.dumps(sorted(token.groups)),
        digest=digest,
        created_at=to_micros(token.created_at),
        expires_at=to_micros_or_none(token.expires_at),
        last_used_at=to_micros_or_none(token.last_used_at),
    )


def find(session: Session, token_id: str) -> tuple[Token, str] | None:
    row = session.row(_FIND, token=token_id)
    return None if row is None else (_from_row(row), row[9])


def list_tokens(session: Session, owner: str, after: str, limit: int) -> Sequence[Token]:
    if owner:
        return [_from_row(row) for row in session.rows(_LIST_OF_OWNER, owner=owner, after=after, size=limit)]
    return [_from_row(row) for row in session.rows(_LIST, after=after, size=limit)]


def remove(session: Session, token_id: str) -> None:
    session.write(_DELETE, token=token_id)


def used(session: Session, token_id: str, at: datetime) -> None:
    session.write(_USED, token=token_id, last_used_at=to_micros(at))


def _from_row(row: Row) -> Token:
    return Token(
        id=row[0],
        name=row[1],
        owner=row[2],
        kind=CallerKind(row[3]),
        roles=frozenset(map(Role, json.loads(row[4]))),
        groups=frozenset(json.loads(row[5])),
        created_at=from_micros(row[6]),
        expires_at=from_micros_or_none(row[7]),
        last_used_at=from_micros_or_none(row[8]),
    )
