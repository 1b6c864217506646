"""Alembic's part: from one schema to the next. It takes a quarter of a second to import, which a manager whose database has the
newest schema does not wait for."""

import logging
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

SCRIPTS: Final = Path(__file__).parent.parent / "migrations"


def migrations(connection: Connection | None = None) -> Config:
    """Alembic's configuration; commands that need the database get it as `connection`, so that no URL stands in a file."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _is_a_step(record: logging.LogRecord) -> bool:
    return record.levelno > logging.INFO or record.getMessage().startswith("Running")


# Beside each step to the next schema it logs which dialect it has, anew at each try.
logging.getLogger("alembic.runtime.migration").addFilter(_is_a_step)


def upgrade(connection: Connection) -> None:
    command.upgrade(migrations(connection), "head")
