"""Reading the quarantine: which rows were set apart and why, and noting who opened them.

Belongs here: queries of `ops.quarantine`, and `ops.quarantine_look`. Does not belong here: keys and opening (frames),
setting rows apart and resolving them (apart.py), replaying dumps (`replay`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg import sql
from psycopg.rows import class_row


@dataclass(frozen=True)
class Selection:
    """Which quarantined rows; None for any.

    Attributes:
        feed: "sender/dataset".
        rule: rule id that the row broke, maybe among others.
        day: delivery day of its dump.
        dump_id: its dump.
    """

    feed: str | None = None
    rule: str | None = None
    day: dt.date | None = None
    dump_id: int | None = None


@dataclass(frozen=True)
class Group:
    """Open rows of one feed, rule, delivery day and contract.

    Attributes:
        contract: fingerprint of the contract that they broke.
        rows: a row that broke several rules is in several groups.
        dumps: numbers of their dumps, in ascending order.
        latest: when the last of them was set apart, UTC.
    """

    feed: str
    rule: str
    day: dt.date
    contract: str
    rows: int
    dumps: list[int]
    latest: dt.datetime


@dataclass(frozen=True)
class SealedRow:
    """A quarantined row, sealed.

    Attributes:
        row_number: among the data rows of its dump, from 1.
        line: of the file, on which it begins, from 1; None where the format has no lines, or the load set it apart.
        columns: that broke a rule; none for a row without the shape of a row.
        contract: fingerprint of the contract that it broke.
        resolved_at: when a load took it, UTC; None while it is open.
    """

    dump_id: int
    feed: str
    row_number: int
    line: int | None
    columns: list[str]
    rules: list[str]
    contract: str
    key_version: str
    sealed: bytes = field(repr=False)
    quarantined_at: dt.datetime
    resolved_at: dt.datetime | None


_OPEN = """
from ops.quarantine q join ops.dump d using (dump_id), unnest(q.rules) as rule
where q.resolved_at is null and d.in_effect
  and (%(feed)s::text is null or q.feed = %(feed)s) and (%(rule)s::text is null or rule = %(rule)s)
  and (%(day)s::date is null or d.delivery_day = %(day)s) and (%(dump_id)s::bigint is null or q.dump_id = %(dump_id)s)
"""
"""Rows of dumps that are undone or superseded are not open: nothing of these dumps is missing from a table."""


def groups(connection: psycopg.Connection, which: Selection, *, limit: int, offset: int = 0) -> list[Group]:
    """Open rows, counted; newest day first."""
    with connection.cursor(row_factory=class_row(Group)) as cursor:
        return cursor.execute(
            "select q.feed, rule, d.delivery_day as day, q.contract, count(*) as rows,"
            f" array_agg(distinct q.dump_id) as dumps, max(q.quarantined_at) as latest {_OPEN}"
            " group by 1, 2, 3, 4 order by day desc, q.feed, rows desc, rule, q.contract"
            " limit %(limit)s offset %(offset)s",
            {**vars(which), "limit": limit, "offset": offset},
        ).fetchall()


def count(connection: psycopg.Connection, which: Selection) -> tuple[int, int]:
    """Open rows, each once, and their dumps."""
    query = f"select count(distinct (q.dump_id, q.row_number)), count(distinct q.dump_id) {_OPEN}"
    row = connection.execute(query.encode(), vars(which)).fetchone()
    return (row[0], row[1]) if row else (0, 0)


def dumps(connection: psycopg.Connection, which: Selection) -> list[int]:
    """Numbers of the dumps with open rows, in the order of their feed's history."""
    query = f"select d.dump_id {_OPEN} group by d.dump_id order by d.stamp, d.dump_id"
    return [row[0] for row in connection.execute(query.encode(), vars(which))]


def open_rules(connection: psycopg.Connection, which: Selection) -> dict[int, list[str]]:
    """The open rows of one dump by number, each with all rules that it broke."""
    query = f"select distinct q.row_number, q.rules {_OPEN}"
    return dict(connection.execute(query.encode(), vars(which)).fetchall())


def rows(
    connection: psycopg.Connection, dump_id: int, *, numbers: Sequence[int] = (), limit: int, offset: int = 0
) -> list[SealedRow]:
    """Rows of a dump in order: those with these numbers, resolved ones included; without numbers the open ones."""
    chosen = sql.SQL("row_number = any(%(numbers)s)") if numbers else sql.SQL("resolved_at is null")
    query = sql.SQL(
        "select dump_id, feed, row_number, line, columns, rules, contract, key_version, sealed, quarantined_at,"
        " resolved_at from ops.quarantine where dump_id = %(dump_id)s and {} order by row_number"
        " limit %(limit)s offset %(offset)s"
    ).format(chosen)
    values = {"dump_id": dump_id, "numbers": list(numbers), "limit": limit, "offset": offset}
    with connection.cursor(row_factory=class_row(SealedRow)) as cursor:
        return cursor.execute(query, values).fetchall()


def note_look(
    connection: psycopg.Connection, dump_id: int, row_numbers: Sequence[int], *, by: str, reason: str
) -> None:
    """Append who is about to see which rows, and why. To be committed before anything is shown."""
    connection.execute(
        "insert into ops.quarantine_look (dump_id, row_numbers, looked_by, reason) values (%s, %s, %s, %s)",
        [dump_id, list(row_numbers), by, reason],
    )
