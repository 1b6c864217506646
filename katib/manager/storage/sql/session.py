"""A connection at work for one function: what it reads and writes, and which studies its writes are about."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy.engine import Dialect
from sqlalchemy.engine.interfaces import DBAPIConnection

from katib.domain.errors import InternalError
from katib.manager.storage.sql.clock import DatabaseClock
from katib.manager.storage.sql.held import About, Held
from katib.manager.storage.sql.statement import Statement

Row = Sequence[Any]


def _number(digits: str) -> int | float:
    """The servers write a whole float without a point; what is a float is made one again by its reader, but for its sign."""
    return -0.0 if digits == "-0" else int(digits)


# A row that came as one JSON array.
_unpack: Final = json.JSONDecoder(parse_int=_number).decode


class StaleError(Exception):
    """A study is not as it was assumed to be (see kept.py): nothing that was done on it may stay."""

    def __init__(self, study_id: str) -> None:
        super().__init__(f"study {study_id} has changed since")
        self.study_id = study_id


# Characters to a packet, and what it takes to go over that once. `max_allowed_packet` is 16 MiB or more by default.
_PACKET: Final = 1024 * 1024


class Session:
    """Every statement is run at once; see MySqlSession for where it is not."""

    def __init__(self, connection: DBAPIConnection, dialect: Dialect, clock: DatabaseClock) -> None:
        self._cursor: Any = connection.cursor()
        self._dialect = dialect
        self.clock: Final = clock
        # Studies whose leases were mended, once this is committed: after the clock was set so often.
        self.mended: dict[str, int] = {}
        self.touched: dict[str, None] = {}
        # How many statements have written, or may have.
        self.writes = 0
        self.held = Held()
        # What has been held and is no longer, in this order.
        self.settled: list[Held] = []
        # What the writes of this transaction that have not run yet will ask for.
        self.expected: Sequence[About] = ()
        # What is left to be written of what is held, by study.
        self.unsettled: dict[str, Callable[[], None]] = {}
        # Of those that are only assumed to be as they are held: what makes sure of it and locks them, by study.
        self.guards: dict[str, Callable[[], None]] = {}

    def rows(self, statement: Statement, **values: Any) -> Sequence[Row]:
        self._run(statement, values)
        rows: Sequence[Row] = self._cursor.fetchall()
        return rows

    def read(self, *reads: tuple[Statement, Mapping[str, Any]]) -> Sequence[Sequence[Row]]:
        """The rows of each of several statements, run one after the other: over a network in one round trip."""
        return [self.rows(statement, **values) for statement, values in reads]

    def row(self, statement: Statement, **values: Any) -> Row | None:
        """The first row."""
        rows = self.rows(statement, **values)
        return rows[0] if rows else None

    def write(self, statement: Statement, **values: Any) -> int:
        """How many rows it inserted, removed or found to change."""
        self.writes += 1
        self._run(statement, values)
        return int(self._cursor.rowcount)

    def write_all(self, statement: Statement, rows: Sequence[Mapping[str, Any]], *, exactly: bool = False) -> None:
        """The same statement for each of the rows, at the latest when the session reads, writes otherwise, or is flushed.

        `exactly`: each must find its one row; else InternalError, and the transaction must be rolled back.
        """
        if not rows:
            return
        self.writes += 1
        sql, names, rows = self._prepared(statement, rows)
        if len(rows) == 1:
            self._cursor.execute(sql, [rows[0][name] for name in names])
        else:
            self._cursor.executemany(sql, [[row[name] for name in names] for row in rows])
        if exactly:
            _check(self._cursor.rowcount, len(rows))

    def assume(self, held: Held, guards: Mapping[str, Callable[[], None]]) -> None:
        """Takes what is held for what is there. `guards`, by study, make sure of it and lock it: here at once, where the
        transaction has the lock of all from its beginning."""
        self.held, self.guards = held, dict(guards)
        self._secure()

    def guard(self, study_id: str, statement: Statement, row: Mapping[str, Any]) -> None:
        """Finds or changes the row of a study that is as it was assumed to be, before anything else is written. Not there:
        StaleError, and the transaction must be rolled back."""
        if not self.rows(statement, **row):
            raise StaleError(study_id)

    def flush(self) -> None:
        """Runs what has been put off."""

    def settle(self) -> None:
        """Writes what is held and has changed, and holds nothing from then on."""
        unsettled, self.unsettled = self.unsettled, {}
        for write in unsettled.values():
            write()
        self._secure()
        self.flush()
        if self.held.studies:
            self.settled.append(self.held)
            self.held = Held()

    def _secure(self) -> None:
        guards, self.guards = self.guards, {}
        for guard in guards.values():
            guard()

    def touch(self, study_id: str) -> None:
        """Those who subscribed are told of this study once the transaction is committed."""
        self.touched[study_id] = None

    def execute(self, sql: str) -> None:
        """A statement that no table has a part in."""
        self._cursor.execute(sql)

    def close(self) -> None:
        """Also where what it did is to be rolled back. A cursor that is left to the garbage collector, as one whose function
        raised is, keeps its statement until then; and whichever thread collects waits for the connection to let go of it. If
        that thread is at another write, for which this connection waits, both wait until one gives up."""
        self._cursor.close()

    def _run(self, statement: Statement, values: Mapping[str, Any]) -> None:
        sql, names, constants = statement.compiled(self._dialect)
        if constants:
            values = {**constants, **values}
        self._cursor.execute(sql, [values[name] for name in names])

    def _prepared(
        self, statement: Statement, rows: Sequence[Mapping[str, Any]]
    ) -> tuple[str, tuple[str, ...], Sequence[Mapping[str, Any]]]:
        sql, names, constants = statement.compiled(self._dialect)
        return sql, names, [{**constants, **row} for row in rows] if constants else rows


class MySqlSession(Session):
    """Over a network each statement is a round trip, and they are most of a write's time. So `write_all` puts off, and all
    that has been put off goes to the server in one packet, the rows for a table as one statement: a group of writes to a study
    takes three round trips with its commit."""

    def __init__(self, connection: DBAPIConnection, dialect: Dialect, clock: DatabaseClock) -> None:
        super().__init__(connection, dialect, clock)
        # Each with how many rows it must find, or None; of inserts the rows, in groups that fit in a packet.
        self._put_off: list[tuple[str, int | None] | tuple[str, list[str]]] = []
        # By study: guards, which must find one row.
        self._first: dict[str, str] = {}
        self._inserts: dict[Statement, list[str]] = {}
        self._length = 0
        self._escape: Callable[[Any], str] = connection.escape

    def write_all(self, statement: Statement, rows: Sequence[Mapping[str, Any]], *, exactly: bool = False) -> None:
        if not rows:
            return
        self.writes += 1
        sql, names, rows = self._prepared(statement, rows)
        # An insert takes all its rows in one statement.
        insert, values, one = sql.partition(" VALUES ")
        for row in rows:
            text = (one if values else sql) % self._literals([row[name] for name in names])
            if not values:
                self._put_off.append((text, 1 if exactly else None))
            elif statement in self._inserts:
                self._inserts[statement].append(text)
            else:
                # Before what was put off since the first of them: new rows are in nobody's way.
                self._put_off.append((f"{insert} VALUES ", self._inserts.setdefault(statement, [text])))
            self._length += len(text)
            if self._length > _PACKET:
                self.flush()

    def rows(self, statement: Statement, **values: Any) -> Sequence[Row]:
        self.flush()
        self._cursor.execute(self._text(statement, values))
        return self._unpacked(statement, self._cursor.fetchall())

    def read(self, *reads: tuple[Statement, Mapping[str, Any]]) -> Sequence[Sequence[Row]]:
        self.flush()
        self._cursor.execute(";".join(self._text(statement, values) for statement, values in reads))
        found = [self._cursor.fetchall()]
        while self._cursor.nextset():
            found.append(self._cursor.fetchall())
        return [self._unpacked(statement, rows) for (statement, _), rows in zip(reads, found, strict=True)]

    def write(self, statement: Statement, **values: Any) -> int:
        self.flush()
        self.writes += 1
        self._cursor.execute(self._text(statement, values))
        return int(self._cursor.rowcount)

    def assume(self, held: Held, guards: Mapping[str, Callable[[], None]]) -> None:
        self.held, self.guards = held, dict(guards)

    def guard(self, study_id: str, statement: Statement, row: Mapping[str, Any]) -> None:
        self._first[study_id] = self._text(statement, row)

    def flush(self) -> None:
        if not self._put_off and not self._first:
            return
        self._secure()
        # They lock, and go by study as everybody's locks do (order.py).
        first, self._first = sorted(self._first.items()), {}
        put_off: list[tuple[str, int | str | None] | tuple[str, list[str]]] = [
            *((text, study_id) for study_id, text in first),
            *self._put_off,
        ]
        self._put_off, self._inserts, self._length = [], {}, 0
        texts = [text if not isinstance(what, list) else text + ",".join(what) for text, what in put_off]
        found: list[int] = []
        try:
            self._cursor.execute(";".join(texts))
            found.append(self._cursor.rowcount)
            # Every result is read before one is judged: the connection is of use only then.
            while self._cursor.nextset():
                found.append(self._cursor.rowcount)
        finally:
            # What came of the others may be due to it.
            for rows, (_, wanted) in zip(found, put_off, strict=False):
                if isinstance(wanted, str) and rows != 1:
                    raise StaleError(wanted)
        for rows, (_, wanted) in zip(found, put_off, strict=True):
            if isinstance(wanted, int):
                _check(rows, wanted)

    def close(self) -> None:
        """Its cursor has nothing to give back, and would read what is left of an answer that may never come."""

    def _text(self, statement: Statement, values: Mapping[str, Any]) -> str:
        sql, names, constants = statement.compiled(self._dialect)
        if constants:
            values = {**constants, **values}
        return sql % self._literals([values[name] for name in names])

    def _literals(self, values: Sequence[Any]) -> tuple[str, ...]:
        """As PyMySQL would write them; most are none or a whole number, for which it takes five times as long."""
        escape = self._escape
        return tuple(
            ["NULL" if value is None else str(value) if type(value) is int else escape(value) for value in values]
        )

    def _unpacked(self, statement: Statement, rows: Sequence[Row]) -> Sequence[Row]:
        return [_unpack(row[0]) for row in rows] if statement.packed else rows


def make_session(connection: DBAPIConnection, dialect: Dialect, clock: DatabaseClock) -> Session:
    made = Session if dialect.name == "sqlite" else MySqlSession
    return made(connection, dialect, clock)


def _check(found: int, wanted: int) -> None:
    if found != wanted:
        raise InternalError(
            f"{wanted} rows were to be changed and {found} were as they had been read: somebody has changed them who had not "
            "locked their study; nothing was stored"
        )
