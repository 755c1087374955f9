"""Fingerprints: equal for equal content, different for anything else, whatever the session is set to."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.warehouse.connection import connect
from claims_pipeline.warehouse.fingerprint import Fingerprint, fingerprint, user_tables

ROWS = "(1, 'a', now()), (2, null, now()), (3, '', now())"


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    with connect(database_url) as connection:
        connection.execute("create schema lab")
        yield connection


def make(connection: psycopg.Connection, name: str, columns: str, rows: str) -> Fingerprint:
    table = sql.Identifier("lab", name)
    connection.execute(sql.SQL("create table {} ({})").format(table, sql.SQL(columns)))
    connection.execute(sql.SQL("insert into {} values {}").format(table, sql.SQL(rows)))
    return fingerprint(connection, "lab", name)


def two(connection: psycopg.Connection, first: str, second: str, columns: str = "a text, b text") -> bool:
    """Whether tables of these rows have the same fingerprint."""
    return make(connection, "first", columns, first) == make(connection, "second", columns, second)


def test_the_order_of_rows_does_not_matter(connection: psycopg.Connection) -> None:
    assert two(connection, "('1', '2'), ('3', '4')", "('3', '4'), ('1', '2')")


def test_the_order_of_columns_does_not_matter(connection: psycopg.Connection) -> None:
    first = make(connection, "first", "a text, b text", "('1', '2')")
    assert first == make(connection, "second", "b text, a text", "('2', '1')")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("('1', '2')", "('1', '3')"),
        ("('1', '2')", "('2', '1')"),
        ("('1', '2'), ('3', '4')", "('1', '4'), ('3', '2')"),
        ("('1', null)", "('1', '')"),
        ("('1', null)", "(null, '1')"),
        ("('1,', '2')", "('1', ',2')"),
        ("('1', '2')", "('1', '2'), ('1', '2')"),
        ("('1', '2'), ('1', '2'), ('3', '4')", "('1', '2'), ('3', '4'), ('3', '4')"),
    ],
)
def test_other_rows_have_another_fingerprint(connection: psycopg.Connection, first: str, second: str) -> None:
    assert not two(connection, first, second)


def test_another_name_of_a_column_is_another_fingerprint(connection: psycopg.Connection) -> None:
    assert make(connection, "first", "a text", "('1')") != make(connection, "second", "b text", "('1')")


def test_an_empty_table_has_no_rows(connection: psycopg.Connection) -> None:
    connection.execute("create table lab.empty (a text)")
    assert fingerprint(connection, "lab", "empty").rows == 0


def test_a_column_that_may_differ_can_be_left_out(connection: psycopg.Connection) -> None:
    make(connection, "first", "a int, b text, at timestamptz", ROWS)
    make(connection, "second", "a int, b text, at timestamptz", ROWS)
    found = {fingerprint(connection, "lab", name, without={"at"}) for name in ("first", "second")}
    assert len(found) == 1


def test_a_column_that_is_not_left_out_counts(connection: psycopg.Connection) -> None:
    columns = "a int, b text, at timestamptz"
    assert make(connection, "first", columns, ROWS) != make(connection, "second", columns, ROWS)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("timezone", "Pacific/Auckland"),
        ("datestyle", "German"),
        ("intervalstyle", "iso_8601"),
        ("extra_float_digits", "-5"),
        ("bytea_output", "escape"),
    ],
)
def test_the_session_does_not_matter(connection: psycopg.Connection, setting: str, value: str) -> None:
    columns = "at timestamptz, day date, took interval, share float8, bytes bytea"
    values = "('2026-05-04 12:00Z', '2026-05-04', '1 day', 0.1::float8 + 0.2::float8, '\\xdeadbeef')"
    before = make(connection, "first", columns, values)
    connection.execute("select set_config(%s, %s, false)", [setting, value])
    assert fingerprint(connection, "lab", "first") == before


def test_the_session_is_as_before(connection: psycopg.Connection) -> None:
    connection.execute("set timezone = 'Pacific/Auckland'")
    with connection.transaction():
        make(connection, "first", "a text", "('1')")
        assert connection.execute("show timezone").fetchone() == ("Pacific/Auckland",)


def test_it_reads_the_snapshot_of_its_transaction(connection: psycopg.Connection, database_url: str) -> None:
    before = make(connection, "first", "a text", "('1')")
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read")
        connection.execute("select 1")
        with connect(database_url) as another:
            another.execute("insert into lab.first values ('2')")
        assert fingerprint(connection, "lab", "first") == before


def test_a_table_that_is_not_there_is_named(connection: psycopg.Connection) -> None:
    with pytest.raises(ClaimsPipelineError, match=r"lab\.nothing"):
        fingerprint(connection, "lab", "nothing")


def test_the_tables_are_those_of_the_pipeline(lab_url_tables: list[tuple[str, str]]) -> None:
    expected = {("ops", "dump"), ("ops", "load"), ("public", "claims_pipeline_migration")}
    assert expected <= set(lab_url_tables)


def test_temporary_tables_and_views_are_none_of_them(connection: psycopg.Connection) -> None:
    make(connection, "first", "a text", "('1')")
    connection.execute("create view lab.view as select * from lab.first")
    connection.execute("create temp table stage (a text)")
    assert user_tables(connection) == [("lab", "first")]


@pytest.fixture
def lab_url_tables(warehouse_url: str) -> list[tuple[str, str]]:
    with connect(warehouse_url) as connection:
        return user_tables(connection)
