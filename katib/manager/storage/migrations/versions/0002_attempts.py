"""What became of the attempts of a trial that were followed by another."""

from alembic import op
from sqlalchemy import Column, ForeignKey, MetaData, PrimaryKeyConstraint, Table

from katib.manager.storage.sql.columns import Float, Key, LongText, Number, SmallNumber, Time

revision = "0002"
down_revision = "0001"

metadata = MetaData(
    naming_convention={
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Only what the key below points to.
trials = Table("trials", metadata, Column("id", Key(16), primary_key=True))
attempts = Table(
    "attempts",
    metadata,
    Column("trial_id", Key(16), ForeignKey("trials.id"), nullable=False),
    Column("number", Number, nullable=False),
    Column("run", Key(255), nullable=False),
    Column("reason", Key(255), nullable=False),
    Column("message", LongText, nullable=False),
    Column("objective_value", Float),
    Column("objective_kind", SmallNumber),
    Column("started_at", Time),
    Column("ended_at", Time),
    PrimaryKeyConstraint("trial_id", "number"),
    mysql_engine="InnoDB",
    mysql_charset="utf8mb4",
)


def upgrade() -> None:
    attempts.create(op.get_bind(), checkfirst=True)
