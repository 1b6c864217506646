"""Column types that mean the same to SQLite, MySQL and MariaDB.

Only what every driver takes and gives as str, int and float: rows need no conversion by SQLAlchemy, which costs more than
the query. The migrations use these types too: what one of them renders as is part of every released schema.
"""

from typing import Any, Final

from sqlalchemy import BigInteger, Double, Integer, SmallInteger, String, Text
from sqlalchemy.dialects.mysql import MEDIUMTEXT
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import DDLCompiler, SQLCompiler
from sqlalchemy.sql.expression import FunctionElement


class Key(String):
    """Text that is compared: exactly, by code points, trailing spaces included, as SQLite and Python do.

    MySQL's `utf8mb4_bin` is not enough: it takes `x` and `x ` for the same. The collations that do not are named
    differently by MySQL (from 8.0.17 on) and MariaDB.
    """


@compiles(Key, "mysql")
def _key_on_mysql(type_: Key, compiler: DDLCompiler, **_: Any) -> str:
    collation = "utf8mb4_nopad_bin" if getattr(compiler.dialect, "is_mariadb", False) else "utf8mb4_0900_bin"
    return f"VARCHAR({type_.length}) CHARACTER SET utf8mb4 COLLATE {collation}"


# Text that is only stored; MySQL's TEXT would end at 64 KiB.
LongText: Final = Text().with_variant(MEDIUMTEXT(charset="utf8mb4"), "mysql")
Number: Final = Integer()
BigNumber: Final = BigInteger()
SmallNumber: Final = SmallInteger()
# Microseconds since 1970, UTC.
Time: Final = BigInteger()
Float: Final[Double[float]] = Double()


class now_micros(FunctionElement[int]):  # noqa: N801  # reads as the SQL function that it stands for
    """The database's time now, in microseconds since 1970."""

    type = BigInteger()
    inherit_cache = True


@compiles(now_micros, "sqlite")
def _now_on_sqlite(_element: now_micros, _compiler: SQLCompiler, **_: Any) -> str:
    return "CAST((julianday('now') - 2440587.5) * 86400000000.0 AS INTEGER)"


@compiles(now_micros, "mysql")
def _now_on_mysql(_element: now_micros, _compiler: SQLCompiler, **_: Any) -> str:
    # Not UNIX_TIMESTAMP(): that goes by way of the session's time zone, which has an hour twice a year's autumn.
    return "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"
