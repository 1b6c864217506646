"""Tokens of users and services, and what studies grant to whom.

The grants of the studies that are there already are made of what their specs say, so that authentication may be turned on at
any time. May be run again after an interruption, which on MySQL, where each statement is for good, can leave a part of it done.
"""

import json
from typing import Any

from alembic import op
from sqlalchemy import (
    Column,
    Connection,
    ForeignKey,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    delete,
    insert,
    select,
)

from katib.domain.permissions import grants_of
from katib.manager.storage.sql.columns import Key, LongText, SmallNumber, Time

revision = "0006"
down_revision = "0005"

_OPTIONS: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4"}
_BATCH = 500

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Only what is read of it, and what the key below points to.
studies = Table("studies", metadata, Column("id", Key(16), primary_key=True), Column("spec", LongText))
grants = Table(
    "study_grants",
    metadata,
    Column("study_id", Key(16), ForeignKey("studies.id"), nullable=False),
    Column("grantee", Key(255), nullable=False),
    Column("access", SmallNumber, nullable=False),
    PrimaryKeyConstraint("study_id", "grantee"),
    Index(None, "grantee", "study_id"),
    **_OPTIONS,
)
tokens = Table(
    "api_tokens",
    metadata,
    Column("id", Key(16), nullable=False),
    Column("name", Key(255), nullable=False),
    Column("owner", Key(255), nullable=False),
    Column("kind", Key(16), nullable=False),
    Column("roles", LongText, nullable=False),
    Column("group_names", LongText, nullable=False),
    Column("digest", Key(64), nullable=False),
    Column("created_at", Time, nullable=False),
    Column("expires_at", Time),
    Column("last_used_at", Time),
    PrimaryKeyConstraint("id"),
    Index(None, "owner", "id"),
    **_OPTIONS,
)


def upgrade() -> None:
    bind = op.get_bind()
    tokens.create(bind, checkfirst=True)
    grants.create(bind, checkfirst=True)
    # A table that an interruption has left is not made again, nor are its indexes.
    for index in (*tokens.indexes, *grants.indexes):
        index.create(bind, checkfirst=True)
    bind.execute(delete(grants))
    after: str | None = ""
    while after is not None:
        after = _fill(bind, after)


def _fill(bind: Connection, after: str) -> str | None:
    """The last study of the next ones behind it; None when there are no more."""
    page = select(studies.c.id, studies.c.spec).where(studies.c.id > after).order_by(studies.c.id).limit(_BATCH)
    found = bind.execute(page).all()
    rows = []
    for study_id, text in found:
        spec = json.loads(text)
        for grantee, access in grants_of(spec.get("owner", ""), spec.get("access_permissions", ())).items():
            rows.append({"study_id": study_id, "grantee": grantee, "access": int(access)})
    if rows:
        bind.execute(insert(grants), rows)
    return found[-1][0] if found else None
