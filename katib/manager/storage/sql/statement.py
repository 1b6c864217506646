"""Statements that SQLAlchemy writes and the driver runs.

SQLAlchemy builds each statement once and knows the dialects; executing through its connections would cost two to five times
what the database takes for the look-up of a row (measured: 20 to 33 µs against 7). The columns are of types that need no
conversion (see columns.py), so a statement can go straight to the driver's cursor.

PyMySQL takes apart what the server says of each column of each result, in Python: 5 µs a column, which for a study or a trial
110 of the 140 µs that its look-up takes. Where a row has many columns the server is asked for it as one, a JSON array.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import BindParameter, CompoundSelect, Delete, Insert, Select, Table, Update, bindparam, func
from sqlalchemy.engine import Dialect

# From so many columns on, an array costs less than they do.
_MANY: Final = 4


def parameters(name: str, count: int) -> "list[BindParameter[Any]]":
    """For an IN: `name0` and on."""
    return [bindparam(f"{name}{i}") for i in range(count)]


def filled(name: str, values: Sequence[str]) -> Mapping[str, str]:
    """By the names of `parameters`, for an IN of many lengths: a statement for each power of two, filled up with the last."""
    full = [*values, *[values[-1]] * ((1 << (len(values) - 1).bit_length()) - len(values))]
    return {f"{name}{i}": value for i, value in enumerate(full)}


def by_index(table: Table, index: str, statement: "Select[Any]") -> "Select[Any]":
    """Names the index to MySQL and MariaDB. Their guesses rest on statistics that are old where a study grows fast: they were
    seen to read a whole study by number in place of its few running trials by state."""
    return statement.with_hint(table, f"FORCE INDEX ({index})", "mysql")


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
        # Whether on MySQL and MariaDB each row is one JSON array.
        self.packed: Final = isinstance(element, Select) and len(element.selected_columns) >= _MANY

    def compiled(self, dialect: Dialect) -> tuple[str, tuple[str, ...], Mapping[str, Any]]:
        """Its text, the names of its parameters in their order there, and the values of the constants."""
        found = self._compiled.get(dialect.name)
        if found is None:
            element = self._element
            if self.packed and dialect.name != "sqlite":
                assert isinstance(element, Select)
                row = func.json_array(*element.selected_columns)
                element = element.with_only_columns(row, maintain_column_froms=True)
            compiled = element.compile(dialect=dialect, column_keys=self._columns)
            assert compiled.positional, "see make_engine"
            names = tuple(compiled.positiontup or ())
            constants = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
            found = self._compiled[dialect.name] = (str(compiled), names, constants)
        return found
