"""What all managers on the database know and nobody else does."""

from alembic import op
from sqlalchemy import Column, MetaData, PrimaryKeyConstraint, Table

from katib.manager.storage.sql.columns import Key, LongText

revision = "0003"
down_revision = "0002"

secrets = Table(
    "secrets",
    MetaData(naming_convention={"pk": "pk_%(table_name)s"}),
    Column("name", Key(64), nullable=False),
    Column("value", LongText, nullable=False),
    PrimaryKeyConstraint("name"),
    mysql_engine="InnoDB",
    mysql_charset="utf8mb4",
)


def upgrade() -> None:
    secrets.create(op.get_bind(), checkfirst=True)
