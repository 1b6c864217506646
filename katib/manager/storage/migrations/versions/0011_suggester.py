"""Which algorithm has suggested all trials of a study.

Nothing is known of those that have some already. May be run again after an interruption, which on MySQL, where each statement
is for good, can leave a part of it done.
"""

from alembic import op
from sqlalchemy import Column, inspect

from katib.manager.storage.sql.columns import Key, Number

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    there = {column["name"] for column in inspect(op.get_bind()).get_columns("studies")}
    for column in (Column("suggester", Key(40)), Column("suggester_trials", Number)):
        if column.name not in there:
            op.add_column("studies", column)
