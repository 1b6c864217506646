"""Statements that SQLAlchemy writes and the driver runs.

SQLAlchemy builds each statement once and knows the dialects; executing through its connections would cost two to five times
what the database takes for the look-up of a row (measured: 20 to 33 µs against 7). The columns are of types that need no
conversion (see columns.py), so a statement can go straight to the driver's cursor.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import BindParameter, CompoundSelect, Delete, Insert, Select, Update, bindparam
from sqlalchemy.engine import Dialect
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor

Row = Sequence[Any]


def parameters(name: str, count: int) -> "list[BindParameter[Any]]":
    """For an IN: `name0` and on."""
    return [bindparam(f"{name}{i}") for i in range(count)]


class Statement:
    """A statement with named parameters; those that it was built with (constants) need not be given.

    A list for IN is given as one parameter each, `in_([bindparam(...), ...])`; see `parameters`.

    `columns`: those that an insert or an update sets to the parameters of the same names; an insert without sets all.
    """

    def __init__(
        self, element: "Select[Any] | CompoundSelect[Any] | Insert | Update | Delete", columns: Sequence[str] = ()
    ) -> None:
        self._element: Final = element
        self._columns: Final = list(columns) or None
        # By dialect. Two threads that compile it at the same time come to the same.
        self._compiled: dict[str, tuple[str, tuple[str, ...], Mapping[str, Any]]] = {}

    def compiled(self, dialect: Dialect) -> tuple[str, tuple[str, ...], Mapping[str, Any]]:
        """Its text, the names of its parameters in their order there, and the values of the constants."""
        found = self._compiled.get(dialect.name)
        if found is None:
            compiled = self._element.compile(dialect=dialect, column_keys=self._columns)
            assert compiled.positional, "see make_engine"
            names = tuple(compiled.positiontup or ())
            constants = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
            found = self._compiled[dialect.name] = (str(compiled), names, constants)
        return found


class Session:
    """A connection at work for one function: what it reads and writes, and which studies its writes are about."""

    __slots__ = ("_cursor", "_dialect", "touched", "writes")

    def __init__(self, connection: DBAPIConnection, dialect: Dialect) -> None:
        self._cursor: DBAPICursor = connection.cursor()
        self._dialect = dialect
        self.touched: dict[str, None] = {}
        # How many statements have written, or may have.
        self.writes = 0

    def rows(self, statement: Statement, **values: Any) -> Sequence[Row]:
        self._run(statement, values)
        return self._cursor.fetchall()

    def row(self, statement: Statement, **values: Any) -> Row | None:
        """The first row."""
        rows = self.rows(statement, **values)
        return rows[0] if rows else None

    def write(self, statement: Statement, **values: Any) -> int:
        """How many rows it inserted, removed or found to change."""
        self.writes += 1
        self._run(statement, values)
        return self._cursor.rowcount

    def write_all(self, statement: Statement, rows: Sequence[Mapping[str, Any]]) -> int:
        """The same statement for each of the rows; how many rows it inserted, removed or found to change in all."""
        if not rows:
            return 0
        self.writes += 1
        sql, names, constants = statement.compiled(self._dialect)
        if constants:
            rows = [{**constants, **row} for row in rows]
        if len(rows) == 1:
            values = rows[0]
            self._cursor.execute(sql, [values[name] for name in names])
        else:
            self._cursor.executemany(sql, [[row[name] for name in names] for row in rows])
        return self._cursor.rowcount

    def touch(self, study_id: str) -> None:
        """Those who subscribed are told of this study once the transaction is committed."""
        self.touched[study_id] = None

    def execute(self, sql: str) -> None:
        """A statement that no table has a part in."""
        self._cursor.execute(sql)

    def close(self) -> None:
        self._cursor.close()

    def _run(self, statement: Statement, values: Mapping[str, Any]) -> None:
        sql, names, constants = statement.compiled(self._dialect)
        if constants:
            values = {**constants, **values}
        self._cursor.execute(sql, [values[name] for name in names])
