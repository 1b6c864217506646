"""Where a study's runs may be.

Nothing is known of those that are there: whoever drives one fills it in. May be run again after an interruption, which on
MySQL, where each statement is for good, can leave a part of it done.
"""

from alembic import op
from sqlalchemy import Column, inspect

from katib.manager.storage.sql.columns import LongText

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    if "places" not in {column["name"] for column in inspect(op.get_bind()).get_columns("studies")}:
        op.add_column("studies", Column("places", LongText))
