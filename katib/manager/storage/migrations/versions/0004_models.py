"""What the manager knows of the models that it keeps itself, and how far it has come with that.

May be run again after an interruption, which on MySQL, where each statement is for good, can leave a part of it done.
"""

from alembic import op
from sqlalchemy import Column, ForeignKey, MetaData, PrimaryKeyConstraint, Table, inspect, text

from katib.manager.storage.sql.columns import BigNumber, Float, Key, Number, SmallNumber, Time

revision = "0004"
down_revision = "0003"

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Only what the key below points to.
studies = Table("studies", metadata, Column("id", Key(16), primary_key=True))
deliveries = Table(
    "model_deliveries",
    metadata,
    Column("study_id", Key(16), ForeignKey("studies.id"), nullable=False),
    Column("store", Key(255), nullable=False),
    Column("revision", BigNumber, nullable=False),
    PrimaryKeyConstraint("study_id", "store"),
    mysql_engine="InnoDB",
    mysql_charset="utf8mb4",
)


def _columns() -> list[Column[object]]:
    return [
        Column("saved_at", Time),
        Column("study_id", Key(16), nullable=False, server_default=text("''")),
        Column("number", Number, nullable=False, server_default=text("0")),
        Column("state", Key(16), nullable=False, server_default=text("''")),
        Column("objective_value", Float),
        Column("objective_kind", SmallNumber),
        Column("kept", SmallNumber, nullable=False, server_default=text("0")),
    ]


def upgrade() -> None:
    bind = op.get_bind()
    inspector = inspect(bind)
    there = {column["name"] for column in inspector.get_columns("saved_models")}
    for column in _columns():
        if column.name not in there:
            op.add_column("saved_models", column)
    if "ix_saved_models_study_id_kept" not in {index["name"] for index in inspector.get_indexes("saved_models")}:
        op.create_index("ix_saved_models_study_id_kept", "saved_models", ["study_id", "kept"])
    deliveries.create(bind, checkfirst=True)
