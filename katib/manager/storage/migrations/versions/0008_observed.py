"""How many values are stored of a study's trials.

May be run again after an interruption, which on MySQL, where each statement is for good, can leave a part of it done.
"""

from alembic import op
from sqlalchemy import Column, MetaData, Table, func, inspect, select, update

from katib.manager.storage.sql.columns import BigNumber, Key

revision = "0008"
down_revision = "0007"

# Only what is read of them, and what is filled in.
metadata = MetaData()
studies = Table("studies", metadata, Column("id", Key(16), primary_key=True), Column("observed", BigNumber))
trials = Table("trials", metadata, Column("study_id", Key(16)), Column("taken", BigNumber))


def upgrade() -> None:
    if "observed" not in {column["name"] for column in inspect(op.get_bind()).get_columns("studies")}:
        op.add_column("studies", Column("observed", BigNumber))
    # A trial's observations are numbered without gaps, over all its attempts.
    taken = select(func.coalesce(func.sum(trials.c.taken), 0)).where(trials.c.study_id == studies.c.id)
    op.execute(update(studies).values(observed=taken.scalar_subquery()))
