"""Alembic runs this for each of its commands; katib.manager.storage.sql.upgrading gives it the connection."""

from alembic import context

from katib.manager.storage.sql.tables import metadata

connection = context.config.attributes["connection"]
if connection is None:
    raise RuntimeError("Katib's migrations run through katib.manager.storage.sql.upgrading, which gives the connection")

context.configure(
    connection=connection,
    target_metadata=metadata,
    # SQLite cannot change a table in place: Alembic copies it.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
