"""Where the program of a trial says that its model is.

May be run again after an interruption, which on MySQL, where each statement is for good, can leave a part of it done.
"""

from alembic import op
from sqlalchemy import Column, inspect

from katib.manager.storage.sql.columns import LongText

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    if "model_path" not in {column["name"] for column in inspect(op.get_bind()).get_columns("trials")}:
        op.add_column("trials", Column("model_path", LongText))
