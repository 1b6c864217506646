"""Which studies were deleted, for as long as a worker may still name runs of them.

May be run again after an interruption, which on MySQL, where each statement is for good, can leave a part of it done.
"""

from alembic import op
from sqlalchemy import Column, Index, MetaData, PrimaryKeyConstraint, Table

from katib.manager.storage.sql.columns import Key, Time

revision = "0010"
down_revision = "0009"

deleted_studies = Table(
    "deleted_studies",
    MetaData(naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "pk": "pk_%(table_name)s"}),
    Column("id", Key(16), nullable=False),
    Column("deleted_at", Time, nullable=False),
    PrimaryKeyConstraint("id"),
    Index(None, "deleted_at"),
    mysql_engine="InnoDB",
    mysql_charset="utf8mb4",
)


def upgrade() -> None:
    bind = op.get_bind()
    deleted_studies.create(bind, checkfirst=True)
    # A table that an interruption has left is not made again, nor is its index.
    for index in deleted_studies.indexes:
        index.create(bind, checkfirst=True)
