"""The catalogue of reports in the database, and a view of each in schema `bi`. Made by `migrate`.

Belongs here: DDL of reports. Does not belong here: their rows (refresh.py), views on the operation (operations.py).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from claims_pipeline.feeds import Report
from claims_pipeline.warehouse.bi.disclosure import NOT_GIVEN, SMALL


def ensure_reports(connection: psycopg.Connection, reports: Iterable[Report], senders: Sequence[str]) -> list[str]:
    """Bring catalogue and views to the reports that are declared.

    Args:
        connection: of the owner.
        reports: of these senders, all that can be made.
        senders: names; their reports that are no longer declared are removed.

    Returns:
        What was changed, a line each.
    """
    wanted = {report.name: report for report in reports}
    known: dict[str, str] = dict(
        connection.execute(
            "select report, definition from ops.report where sender = any(%s)", [list(senders)]
        ).fetchall()
    )
    changes = []
    for name in sorted(known.keys() - wanted.keys()):
        connection.execute(sql.SQL("drop view if exists {}").format(sql.Identifier("bi", name)))
        connection.execute("delete from ops.report where report = %s", [name])
        changes.append(f"removed report bi.{name}")
    for name, report in wanted.items():
        if known.get(name) != definition(report):
            _make(connection, report)
            changes.append(f"{'changed' if name in known else 'made'} report bi.{name}")
    return changes


def definition(report: Report) -> str:
    """SHA-256 (hex) of all that decides what a report says: another one must be made anew."""
    said = [report.facts, report.groups, report.grain, report.sums, report.counted, report.title, report.population]
    rules = [report.sender.smallest_cell, report.sender.rounding]
    return hashlib.sha256(json.dumps([said, rules]).encode()).hexdigest()


@dataclass(frozen=True)
class Entry:
    """A report as the catalogue has it.

    Attributes:
        report: its name, and its view's in schema bi.
        sender: whose tables it asks.
        title: what it says.
        counted: the column of the count.
        grain: "day" or "month".
        groups: its columns besides.
        as_of: date for which it was last made, in the sender's time zone; None: not yet.
        refreshed_at: when that was, UTC.
        parts: its rows.
    """

    report: str
    sender: str
    title: str
    counted: str
    grain: str
    groups: list[str]
    as_of: dt.date | None
    refreshed_at: dt.datetime | None
    parts: int


def catalogue(connection: psycopg.Connection) -> list[Entry]:
    """All reports, by sender and name."""
    with connection.cursor(row_factory=class_row(Entry)) as cursor:
        return cursor.execute(
            "select report, sender, title, counted, grain, groups, as_of, refreshed_at, parts"
            " from ops.report order by sender, report"
        ).fetchall()


def _make(connection: psycopg.Connection, report: Report) -> None:
    connection.execute("delete from ops.report where report = %s", [report.name])
    values = {
        "report": report.name,
        "sender": report.sender.name,
        "title": report.title,
        "population": report.population,
        "counted": report.counted,
        "grain": report.grain,
        "groups": list(report.groups),
        "sums": list(report.sums),
        "smallest_cell": report.sender.smallest_cell,
        "rounding": report.sender.rounding,
        "definition": definition(report),
    }
    connection.execute(
        sql.SQL("insert into ops.report ({}) values ({})").format(
            sql.SQL(", ").join(map(sql.Identifier, values)), sql.SQL(", ").join(map(sql.Placeholder, values))
        ),
        values,
    )
    view = sql.Identifier("bi", report.name)
    columns: list[sql.Composable] = [sql.SQL("period"), sql.SQL("grain")]
    columns += [_element("labels", number, name) for number, name in enumerate(report.groups, 1)]
    columns += [sql.SQL("number as {}").format(sql.Identifier(report.counted))]
    columns += [_element("sums", number, name) for number, name in enumerate(report.sums, 1)]
    connection.execute(sql.SQL("drop view if exists {}").format(view))
    connection.execute(
        sql.SQL("create view {} with (security_barrier) as select {} from ops.report_part where report = {}").format(
            view, sql.SQL(", ").join(columns), sql.Literal(report.name)
        )
    )
    connection.execute(sql.SQL("comment on view {} is {}").format(view, sql.Literal(_comment(report))))


def _element(array: LiteralString, number: int, name: str) -> sql.Composed:
    return sql.SQL("{}[{}] as {}").format(sql.SQL(array), sql.Literal(number), sql.Identifier(name))


def _comment(report: Report) -> str:
    sender = report.sender
    rounding = f" Counts are rounded at random to multiples of {sender.rounding}." if sender.rounding > 1 else ""
    return (
        f"{report.title} Every row tells of at least {sender.smallest_cell} persons; smaller groups are merged to "
        f"'{SMALL}', NULL is '{NOT_GIVEN}'. Rows add up; period is the first day of the grain.{rounding}"
    )
