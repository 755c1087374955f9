"""Whether two databases hold the same tables and histories, and how many rows differ where they do not.

Belongs here: what of a feed is compared, and the comparison. Does not belong here: making the other database (rebuild,
restore). Load numbers and clock times differ between equal tables and are left out; so are columns that left the
contract, and stays in the table that were found to be no versions of a row (see `ddl.PAST_COLUMNS`).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from claims_pipeline.feeds import Feed
from claims_pipeline.vocabulary import OPEN_STATUSES, DumpStatus
from claims_pipeline.warehouse.ddl import META_COLUMNS, PAST_COLUMNS, columns_sql, history_of, table_of
from claims_pipeline.warehouse.fingerprint import Fingerprint, fingerprint

_OF_THE_CLOCK = {"_load_id", "_loaded_at", "_superseded_at", "_superseded_by", "_retracted_by", "_retracted_at"}

_VIEW = "compared"


@dataclass(frozen=True)
class Content:
    """What a database held of some feeds at one moment.

    Attributes:
        tables: fingerprints by "schema.table", histories included.
        in_effect: dumps whose rows are part of that.
        failed: dumps that were given up; they count as if they had never come.
        open: dumps on their way.
        newest: the highest number of a dump.
    """

    tables: dict[str, Fingerprint]
    in_effect: frozenset[int]
    failed: frozenset[int]
    open: frozenset[int]
    newest: int


@dataclass(frozen=True)
class Difference:
    """A table that is not the same in both databases.

    Attributes:
        table: "schema.table".
        rows: rows of the first database.
        rows_other: rows of the other.
        missing: rows of the first that the other lacks.
        extra: rows of the other that the first lacks.
    """

    table: str
    rows: int
    rows_other: int
    missing: int
    extra: int


def content(connection: psycopg.Connection, feeds: Sequence[Feed]) -> Content:
    """Fingerprints and dumps of feeds, all of one snapshot."""
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read")
        tables = {}
        for feed in feeds:
            for history in (False, True):
                with _view(connection, feed, history=history):
                    tables[name_of(feed, history=history)] = fingerprint(connection, "pg_temp", _VIEW)
        dumps = connection.execute(
            "select dump_id, in_effect, status from ops.dump where sender || '/' || dataset = any(%s)",
            [[feed.name for feed in feeds]],
        ).fetchall()
    pending = {number: DumpStatus(status) for number, in_effect, status in dumps if not in_effect}
    return Content(
        tables=tables,
        in_effect=frozenset(number for number, in_effect, _ in dumps if in_effect),
        failed=frozenset(number for number, status in pending.items() if status is DumpStatus.FAILED),
        open=frozenset(number for number, status in pending.items() if status in OPEN_STATUSES),
        newest=max((number for number, _, _ in dumps), default=0),
    )


def differences(
    one: psycopg.Connection, other: psycopg.Connection, feeds: Sequence[Feed], *, of_one: Content, of_other: Content
) -> list[Difference]:
    """Tables and histories of feeds that differ between two databases, with counts of rows; empty when none does.

    Args:
        one: a connection to the first database.
        other: a connection to the other one.
        feeds: whose tables.
        of_one: what the first held when it mattered. Missing and extra rows are counted as tables are now.
        of_other: what the other held.
    """
    found = []
    for feed in feeds:
        for history in (False, True):
            name = name_of(feed, history=history)
            left, right = of_one.tables[name], of_other.tables[name]
            if left != right:
                missing, extra = _count(_hashes(one, feed, history=history), _hashes(other, feed, history=history))
                found.append(Difference(name, left.rows, right.rows, missing, extra))
    return found


def name_of(feed: Feed, *, history: bool) -> str:
    """The table of a feed, or its history, as "schema.table"."""
    return (history_of(feed) if history else table_of(feed)).as_string(None).replace('"', "")


@contextmanager
def _view(connection: psycopg.Connection, feed: Feed, *, history: bool) -> Iterator[None]:
    """A temporary view, `compared`, of the columns and rows of a table that equal databases have in common."""
    names = [column.name for column in feed.stored]
    names += [m.name for m in (*META_COLUMNS, *(PAST_COLUMNS if history else ())) if m.name not in _OF_THE_CLOCK]
    query = sql.SQL("create temp view {} as select {} from {}").format(
        sql.Identifier(_VIEW), columns_sql(names), history_of(feed) if history else table_of(feed)
    )
    if history:
        query += sql.SQL(" where _retracted_by is null")
    connection.execute(query)  # after an error it goes with the transaction
    yield
    connection.execute(sql.SQL("drop view pg_temp.{}").format(sql.Identifier(_VIEW)))


def _hashes(connection: psycopg.Connection, feed: Feed, *, history: bool) -> Iterator[bytes]:
    """A hash of each row, in order of the hashes; never all in memory."""
    with connection.transaction(), _view(connection, feed, history=history):
        for setting in ("timezone = 'UTC'", "datestyle = 'ISO, YMD'", "extra_float_digits = 1", "bytea_output = 'hex'"):
            connection.execute(sql.SQL("set local {}").format(sql.SQL(setting)))
        with connection.cursor("hashes") as cursor:
            cursor.itersize = 50_000
            cursor.execute(
                sql.SQL("select sha256(convert_to(v::text, 'UTF8')) from pg_temp.{} v order by 1").format(
                    sql.Identifier(_VIEW)
                )
            )
            for (digest,) in cursor:
                yield digest


def _count(left: Iterator[bytes], right: Iterator[bytes]) -> tuple[int, int]:
    """Of two sorted multisets: how many the right one lacks, and how many only it has."""
    missing = extra = 0
    surplus, current = 0, b""
    for digest, side in heapq.merge(((d, 1) for d in left), ((d, -1) for d in right), key=lambda pair: pair[0]):
        if digest != current:
            missing, extra = missing + max(surplus, 0), extra + max(-surplus, 0)
            surplus, current = 0, digest
        surplus += side
    return missing + max(surplus, 0), extra + max(-surplus, 0)
