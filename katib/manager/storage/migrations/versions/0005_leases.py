"""How long a trial stays its client's without a sign of it.

Trials that clients have at this moment have no lease and stay theirs. May be run again after an interruption, which on MySQL,
where each statement is for good, can leave a part of it done.
"""

from alembic import op
from sqlalchemy import Column, inspect

from katib.manager.storage.sql.columns import BigNumber, Time

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    inspector = inspect(op.get_bind())
    there = {column["name"] for column in inspector.get_columns("trials")}
    for column in (Column("lease", BigNumber), Column("lease_ends", Time)):
        if column.name not in there:
            op.add_column("trials", column)
    if "ix_trials_study_id_lease_ends" not in {index["name"] for index in inspector.get_indexes("trials")}:
        op.create_index("ix_trials_study_id_lease_ends", "trials", ["study_id", "lease_ends"])
