"""The first schema.

The tables as they were then: what stands in katib.manager.storage.sql.tables moves on. May be run again after an interruption,
which on MySQL, where each CREATE is for good, can leave a part of the tables.
"""

from typing import Any

from alembic import op
from sqlalchemy import Column, ForeignKey, Index, MetaData, PrimaryKeyConstraint, Table, UniqueConstraint

from katib.manager.storage.sql.columns import BigNumber, Float, Key, LongText, Number, SmallNumber, Time

revision = "0001"
down_revision = None

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
OPTIONS: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4"}

metadata = MetaData(naming_convention=NAMING)


def _column(name: str, type_: Any, *args: Any) -> Column[Any]:
    return Column(name, type_, *args, nullable=False)


Table(
    "studies",
    metadata,
    _column("id", Key(16)),
    _column("name", Key(255)),
    _column("state", Key(16)),
    _column("reason", Key(255)),
    _column("message", LongText),
    _column("intent", Key(16)),
    _column("active", SmallNumber),
    _column("created_at", Time),
    Column("ended_at", Time),
    _column("revision", BigNumber),
    _column("suggested", Number),
    _column("pending", Number),
    _column("running", Number),
    _column("completed", Number),
    _column("killed", Number),
    _column("failed", Number),
    _column("best_trial_id", Key(16)),
    Column("best_value", Float),
    Column("best_kind", SmallNumber),
    _column("manager", Key(255)),
    _column("placement", Key(255)),
    # NULL for none: a unique index holds many of these.
    Column("request_id", Key(255)),
    _column("algorithm", Key(40)),
    _column("rule", Key(40)),
    _column("spec", LongText),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("request_id"),
    Index(None, "created_at", "id"),
    Index(None, "name"),
    Index(None, "active", "manager"),
    Index(None, "algorithm", "rule"),
    **OPTIONS,
)

Table(
    "trials",
    metadata,
    _column("id", Key(16)),
    _column("study_id", Key(16), ForeignKey("studies.id")),
    _column("number", Number),
    _column("attempt", Number),
    _column("state", Key(16)),
    _column("revision", BigNumber),
    _column("reason", Key(255)),
    _column("message", LongText),
    _column("run", Key(255)),
    _column("client_id", Key(255)),
    Column("objective_value", Float),
    Column("objective_kind", SmallNumber),
    _column("stop_reason", Key(255)),
    _column("stop_message", LongText),
    _column("output_cursor", Key(255)),
    Column("not_before", Time),
    _column("created_at", Time),
    Column("started_at", Time),
    Column("ended_at", Time),
    _column("taken", BigNumber),
    _column("parameters", LongText),
    _column("tags", LongText),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("study_id", "number"),
    Index(None, "study_id", "state", "number"),
    Index(None, "study_id", "revision"),
    Index(None, "study_id", "client_id", "state"),
    Index(None, "created_at", "number", "id"),
    **OPTIONS,
)

Table(
    "observations",
    metadata,
    _column("trial_id", Key(16), ForeignKey("trials.id")),
    _column("attempt", Number),
    _column("seq", BigNumber),
    _column("source", Key(64)),
    _column("position", BigNumber),
    _column("ordinal", Number),
    _column("name", Key(128)),
    Column("value", Float),
    _column("kind", SmallNumber),
    _column("time", Time),
    Column("step", BigNumber),
    PrimaryKeyConstraint("trial_id", "attempt", "seq"),
    UniqueConstraint("trial_id", "attempt", "source", "position", "ordinal", name="uq_observations_key"),
    sqlite_with_rowid=False,
    **OPTIONS,
)

Table(
    "managers",
    metadata,
    _column("id", Key(255)),
    _column("host", Key(255)),
    _column("process", Key(255)),
    _column("heartbeat_at", Time),
    PrimaryKeyConstraint("id"),
    **OPTIONS,
)

Table(
    "saved_studies",
    metadata,
    _column("name", Key(255)),
    _column("owner", LongText),
    _column("description", LongText),
    PrimaryKeyConstraint("name"),
    **OPTIONS,
)

Table(
    "saved_models",
    metadata,
    _column("study_name", Key(255), ForeignKey("saved_studies.name")),
    _column("trial_id", Key(255)),
    _column("parameters", LongText),
    _column("metrics", LongText),
    _column("model_path", LongText),
    _column("data_set_name", LongText),
    _column("data_set_path", LongText),
    PrimaryKeyConstraint("study_name", "trial_id"),
    **OPTIONS,
)


def upgrade() -> None:
    bind = op.get_bind()
    metadata.create_all(bind, checkfirst=True)
    for table in metadata.sorted_tables:
        for index in table.indexes:
            index.create(bind, checkfirst=True)
