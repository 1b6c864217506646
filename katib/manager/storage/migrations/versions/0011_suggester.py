"""Which algorithm has suggested all trials of a study.

Nothing is known of those that have some already. May be run again after an interruption, which on MySQL, where each statement
is for good, can leave a part of it done.
"""

from alembic import op
from sqlalchemy import Column, inspect

from katib.manager.storage.sql.columns import Key

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    if "suggester" not in {column["name"] for column in inspect(op.get_bind()).get_columns("studies")}:
        op.add_column("studies", Column("suggester", Key(40)))
