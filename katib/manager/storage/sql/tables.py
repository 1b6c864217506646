"""The tables. A change here needs a migration: a test compares the two."""

from typing import Any, Final

from sqlalchemy import Column, ForeignKey, Index, MetaData, PrimaryKeyConstraint, Table, UniqueConstraint, text

from katib.domain.names import ID_LENGTH, SERVICE_NAME_LENGTH
from katib.manager.storage.sql.columns import BigNumber, Float, Key, LongText, Number, SmallNumber, Time

# Names by rule from the first revision on: an unnamed constraint could not be changed on every database.
NAMING: Final = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
OPTIONS: Final[dict[str, Any]] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4"}

metadata: Final = MetaData(naming_convention=NAMING)


def _column(name: str, type_: Any, *args: Any, **options: Any) -> Column[Any]:
    return Column(name, type_, *args, nullable=False, **options)


# `state` is a StudyState, or DELETED for one whose trials are still being removed: to every reader it is gone. `active` is 1
# while some manager has something to do for it, else 0 (-1 when deleted). What `best_kind` and its like are: see rows.py.
studies: Final = Table(
    "studies",
    metadata,
    _column("id", Key(ID_LENGTH)),
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
    _column("best_trial_id", Key(ID_LENGTH)),
    Column("best_value", Float),
    Column("best_kind", SmallNumber),
    _column("manager", Key(255)),
    _column("placement", Key(255)),
    # NULL for none: a unique index holds many of these.
    Column("request_id", Key(255)),
    _column("algorithm", Key(SERVICE_NAME_LENGTH)),
    _column("rule", Key(SERVICE_NAME_LENGTH)),
    _column("spec", LongText),
    # NULL in one that an earlier version has made beside this one.
    Column("observed", BigNumber),
    # With spaces between them; NULL as well in one that an earlier version has made beside this one.
    Column("places", LongText),
    # Which algorithm suggested the first trials, and how many these are: an earlier version, which adds some beside this one,
    # says nothing of it.
    Column("suggester", Key(SERVICE_NAME_LENGTH)),
    Column("suggester_trials", Number),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("request_id"),
    Index(None, "created_at", "id"),
    Index(None, "name"),
    Index(None, "active", "manager"),
    Index(None, "algorithm", "rule"),
    **OPTIONS,
)

# `taken` is the highest `seq` among the trial's observations.
trials: Final = Table(
    "trials",
    metadata,
    _column("id", Key(ID_LENGTH)),
    _column("study_id", Key(ID_LENGTH), ForeignKey("studies.id")),
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
    # In microseconds, and when it ends: both NULL where there is none, as in every finished trial, so that the index below
    # leads past them.
    Column("lease", BigNumber),
    Column("lease_ends", Time),
    # NULL where nothing was said.
    Column("model_path", LongText),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("study_id", "number"),
    Index(None, "study_id", "state", "number"),
    Index(None, "study_id", "revision"),
    Index(None, "study_id", "client_id", "state"),
    Index(None, "study_id", "lease_ends"),
    Index(None, "created_at", "number", "id"),
    **OPTIONS,
)

# Studies that were deleted, for as long as a worker may still name runs of them.
deleted_studies: Final = Table(
    "deleted_studies",
    metadata,
    _column("id", Key(ID_LENGTH)),
    _column("deleted_at", Time),
    PrimaryKeyConstraint("id"),
    Index(None, "deleted_at"),
    **OPTIONS,
)

# The attempts that were followed by another; the last one's story stands in `trials`.
attempts: Final = Table(
    "attempts",
    metadata,
    _column("trial_id", Key(ID_LENGTH), ForeignKey("trials.id")),
    _column("number", Number),
    _column("run", Key(255)),
    _column("reason", Key(255)),
    _column("message", LongText),
    Column("objective_value", Float),
    Column("objective_kind", SmallNumber),
    Column("started_at", Time),
    Column("ended_at", Time),
    PrimaryKeyConstraint("trial_id", "number"),
    **OPTIONS,
)

# The primary key is the order in which they are read, which is the order in which they were taken in.
observations: Final = Table(
    "observations",
    metadata,
    _column("trial_id", Key(ID_LENGTH), ForeignKey("trials.id")),
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

managers: Final = Table(
    "managers",
    metadata,
    _column("id", Key(255)),
    _column("host", Key(255)),
    _column("process", Key(255)),
    _column("heartbeat_at", Time),
    PrimaryKeyConstraint("id"),
    **OPTIONS,
)

# The model store.

saved_studies: Final = Table(
    "saved_studies",
    metadata,
    _column("name", Key(255)),
    _column("owner", LongText),
    _column("description", LongText),
    PrimaryKeyConstraint("name"),
    **OPTIONS,
)

saved_models: Final = Table(
    "saved_models",
    metadata,
    _column("study_name", Key(255), ForeignKey("saved_studies.name")),
    _column("trial_id", Key(255)),
    _column("parameters", LongText),
    _column("metrics", LongText),
    _column("model_path", LongText),
    _column("data_set_name", LongText),
    _column("data_set_path", LongText),
    Column("saved_at", Time),
    # From here on what the manager knows of the trial; with defaults, for models that were there before.
    _column("study_id", Key(ID_LENGTH), server_default=text("''")),
    _column("number", Number, server_default=text("0")),
    _column("state", Key(16), server_default=text("''")),
    Column("objective_value", Float),
    Column("objective_kind", SmallNumber),
    _column("kept", SmallNumber, server_default=text("0")),
    PrimaryKeyConstraint("study_name", "trial_id"),
    Index(None, "study_id", "kept"),
    **OPTIONS,
)

# Up to which revision of a study everything that finished is in a model store.
model_deliveries: Final = Table(
    "model_deliveries",
    metadata,
    _column("study_id", Key(ID_LENGTH), ForeignKey("studies.id")),
    _column("store", Key(255)),
    _column("revision", BigNumber),
    PrimaryKeyConstraint("study_id", "store"),
    **OPTIONS,
)

# Who may do what with a study, of what its spec says: for lists. See domain.permissions; `access` is an Access.
study_grants: Final = Table(
    "study_grants",
    metadata,
    _column("study_id", Key(ID_LENGTH), ForeignKey("studies.id")),
    _column("grantee", Key(255)),
    _column("access", SmallNumber),
    PrimaryKeyConstraint("study_id", "grantee"),
    Index(None, "grantee", "study_id"),
    **OPTIONS,
)

# See manager.tokens. `roles` and `groups` are lists in JSON.
api_tokens: Final = Table(
    "api_tokens",
    metadata,
    _column("id", Key(ID_LENGTH)),
    _column("name", Key(255)),
    _column("owner", Key(255)),
    _column("kind", Key(16)),
    _column("roles", LongText),
    _column("group_names", LongText),
    _column("digest", Key(64)),
    _column("created_at", Time),
    Column("expires_at", Time),
    Column("last_used_at", Time),
    PrimaryKeyConstraint("id"),
    Index(None, "owner", "id"),
    **OPTIONS,
)

# What the managers share: see manager.access.
secrets: Final = Table(
    "secrets",
    metadata,
    _column("name", Key(64)),
    _column("value", LongText),
    PrimaryKeyConstraint("name"),
    **OPTIONS,
)
