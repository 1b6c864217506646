"""What a driver's error means for what is done next, and the sentence that a user reads."""

import sqlite3

import pymysql
import pytest
from sqlalchemy import create_engine

from katib.domain.errors import FailedPreconditionError, InternalError, UnavailableError
from katib.manager.storage.sql.failures import Failure, failure_of, to_katib_error

WHERE = "mysql+pymysql://katib:***@db/katib"


@pytest.fixture(scope="module")
def mysql():
    return create_engine("mysql+pymysql://u@h/d").dialect


def error(code, text="what the server says"):
    return pymysql.err.OperationalError(code, text)


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (1040, "raise max_connections"),
        (1203, "the user's limit"),
        (1226, "the user's limit"),
        (1044, "grant the user all on it"),
        (1045, "correct user and password"),
        (1698, "correct user and password"),
        (1049, "CREATE DATABASE"),
        (1142, "grant the user all on it"),
        (1143, "grant the user all on it"),
        (1021, "make room on its server's disk"),
        (1114, "make room on its server's disk"),
        (1054, "start the manager again"),
        (1665, "set binlog_format to MIXED or ROW"),
        (1709, "set innodb_default_row_format to dynamic"),
        (1969, "raise max_statement_time"),
        (1129, "FLUSH HOSTS"),
        (1130, "create the user for this host"),
        (2003, "start it"),
        (2005, "correct the address"),
    ],
)
def test_what_is_mended_outside_is_unavailable_with_the_remedy(mysql, code, remedy):
    known = to_katib_error(error(code), mysql, WHERE)
    assert type(known) is UnavailableError
    assert remedy in known.message
    assert f"{code} what the server says" in known.message
    assert WHERE in known.message


def test_tables_that_are_away_while_a_copy_is_put_back_are_waited_for(mysql):
    known = to_katib_error(pymysql.err.ProgrammingError(1146, "Table 'katib.studies' doesn't exist"), mysql, WHERE)
    assert type(known) is UnavailableError
    assert "put back a whole copy, or start the manager again" in known.message


@pytest.mark.parametrize("code", [1040, 1203, 1226])
def test_no_connection_left_is_tried_again_for_a_moment(mysql, code):
    assert failure_of(error(code), mysql) is Failure.FULL


@pytest.mark.parametrize("code", [1053, 1080, 1927, 2006, 2013, 2055, 4031])
def test_a_connection_that_is_gone_is_replaced(mysql, code):
    failure = failure_of(error(code), mysql)
    assert (failure, failure.costs_the_connection) == (Failure.LOST, True)


@pytest.mark.parametrize("code", [1290, 1792, 1836])
def test_a_server_that_became_a_replica_costs_the_connection_and_is_said_to_take_no_writes(mysql, code):
    assert failure_of(error(code), mysql) is Failure.LOST
    assert "takes no writes now" in to_katib_error(error(code), mysql, WHERE).message


@pytest.mark.parametrize(("code", "expected"), [(1205, Failure.LOCKED), (1213, Failure.BUSY)])
def test_who_is_in_the_way_costs_no_connection(mysql, code, expected):
    failure = failure_of(error(code), mysql)
    assert (failure, failure.costs_the_connection) == (expected, False)
    assert type(to_katib_error(error(code), mysql, WHERE)) is UnavailableError


def test_a_server_that_says_nothing_is_not_one_that_closed_the_connection(mysql):
    try:
        try:
            raise TimeoutError("timed out")
        except OSError as cause:
            raise error(2013, f"Lost connection to MySQL server during query ({cause})")  # noqa: B904  # as the driver does
    except pymysql.err.OperationalError as caught:
        silent = caught
    assert failure_of(silent, mysql) is Failure.SILENT
    assert silent_sentence(silent, mysql) == "gives no answer"


def silent_sentence(silent, mysql) -> str:
    return to_katib_error(silent, mysql, WHERE).message.partition(f"{WHERE} ")[2].partition(" (")[0]


def test_a_statement_that_is_refused_is_a_defect(mysql):
    known = to_katib_error(pymysql.err.ProgrammingError(1064, "syntax"), mysql, WHERE)
    assert type(known) is InternalError


@pytest.mark.parametrize(("code", "sentence"), [(11, "is damaged"), (26, "is no SQLite database")])
def test_a_file_that_is_no_database_will_not_become_one(code, sentence):
    refused = sqlite3.DatabaseError("said SQLite")
    refused.sqlite_errorcode = code
    known = to_katib_error(refused, create_engine("sqlite://").dialect, "sqlite:///x.db")
    assert type(known) is FailedPreconditionError
    assert sentence in known.message
