"""What the ledger and the audit can tell: reports for messages, `status`, `explain`, checks and plots.

Belongs here: reading `ops`. Does not belong here: writing anything, or wording for people.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import class_row, dict_row

from claims_pipeline.feeds import Feed
from claims_pipeline.feeds.drift import Delivered
from claims_pipeline.vocabulary import CheckName, CheckOutcome, DumpReport, DumpStatus, DumpVerdict, RowCounts
from claims_pipeline.warehouse.ddl import table_of
from claims_pipeline.warehouse.ledger import Dump

COUNTED_UP_TO = 5_000_000
"""Rows up to which a table is counted exactly; a full count of more would cost more than the load."""

_DUMPS = """
select d.dump_id, d.sender || '/' || coalesce(d.dataset, '?') as feed, d.key, d.delivery_day, d.verdict, d.status,
       d.reason, d.validation, d.checks, d.size_bytes, l.*
from ops.dump d
left join lateral (
    select load_id, rows_read, rows_inserted, rows_updated, rows_unchanged, rows_stale, rows_duplicate, rows_filtered,
           rows_quarantined, rows_deleted, seconds
    from ops.load where dump_id = d.dump_id and kind <> 'cascade' order by load_id desc limit 1) l on true
"""
_LAST_LOAD = "select * from ops.load where dump_id = d.dump_id and kind <> 'cascade' order by load_id desc limit 1"


def run_dumps(connection: psycopg.Connection, run_id: str) -> list[tuple[DumpReport, list[CheckOutcome]]]:
    """Every dump that a run had in hand, with its checks, by feed and stamp."""
    return _reports(connection, "where d.run_id = %s order by feed, d.stamp", [run_id])


def settled_since(connection: psycopg.Connection, since: dt.datetime) -> list[tuple[DumpReport, list[CheckOutcome]]]:
    """Every dump closed since a moment (aware), for the digest."""
    return _reports(connection, "where d.settled_at >= %s order by feed, d.stamp", [since])


def dump_report(connection: psycopg.Connection, dump_id: int) -> tuple[DumpReport, list[CheckOutcome]]:
    """One dump."""
    return _reports(connection, "where d.dump_id = %s", [dump_id])[0]


def past_volumes(connection: psycopg.Connection, dump: Dump, *, limit: int = 20) -> list[int]:
    """Rows read by the last loads of the feed's dumps before this one, newest first; each dump once."""
    query = (
        "select l.rows_read from (select dump_id from ops.dump"  # noqa: S608 - constants of this module
        " where sender = %s and dataset = %s and status = 'loaded'"
        " and delivery_day <= %s and stamp <= %s and dump_id <> %s order by delivery_day desc, stamp desc limit %s) d"
        f" join lateral ({_LAST_LOAD}) l on true"
    )
    values = [dump.sender, dump.dataset, dump.delivery_day, dump.stamp, dump.dump_id, limit]
    return [row[0] for row in connection.execute(query, values)]


def previous_delivery(connection: psycopg.Connection, dump: Dump) -> Delivered | None:
    """Columns of the feed's loaded dump before this one; None when there is none."""
    row = connection.execute(
        "select validation->'columns', validation->'types' from ops.dump where sender = %s and dataset = %s"
        " and status = 'loaded' and delivery_day <= %s and (stamp, dump_id) < (%s, %s)"
        " order by delivery_day desc, stamp desc, dump_id desc limit 1",
        [dump.sender, dump.dataset, dump.delivery_day, dump.stamp, dump.dump_id],
    ).fetchone()
    return Delivered(tuple(row[0]), row[1] or {}) if row and row[0] is not None else None


def last_loaded_day(connection: psycopg.Connection, sender: str, dataset: str) -> dt.date | None:
    """Newest delivery day of a feed with a loaded (or truly empty) dump."""
    row = connection.execute(
        "select max(delivery_day) from ops.dump where sender = %s and dataset = %s"
        " and (status = 'loaded' or verdict = 'empty')",
        [sender, dataset],
    ).fetchone()
    return row[0] if row else None


def days_with_dumps(connection: psycopg.Connection, sender: str, dataset: str, since: dt.date) -> set[dt.date]:
    """Delivery days since a date for which any dump arrived."""
    rows = connection.execute(
        "select distinct delivery_day from ops.dump where sender = %s and dataset = %s and delivery_day >= %s",
        [sender, dataset, since],
    )
    return {row[0] for row in rows}


def daily_rows(
    connection: psycopg.Connection, feed: Feed, *, until: dt.date, days: int
) -> list[tuple[dt.date, RowCounts]]:
    """Rows by verdict of a feed's last delivery days, oldest first; the latest load of each dump counts."""
    sums = ", ".join(f"sum(l.rows_{name})::bigint as rows_{name}" for name in RowCounts().as_dict())
    query = (
        f"select d.delivery_day, {sums} from ops.dump d"  # noqa: S608 - constants of this module
        f" join lateral ({_LAST_LOAD}) l on true"
        " where d.sender = %s and d.dataset = %s and d.delivery_day > %s::date - %s and d.delivery_day <= %s"
        " group by d.delivery_day order by d.delivery_day"
    )
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(query, [feed.sender.name, feed.dataset, until, days, until]).fetchall()
    return [(row["delivery_day"], _counts(row)) for row in rows]


def table_rows(connection: psycopg.Connection, feed: Feed) -> int:
    """Rows in the feed's table: counted while it is small, else Postgres' own estimate."""
    row = connection.execute(
        "select reltuples::bigint from pg_class where oid = to_regclass(%s)", [table_of(feed).as_string(None)]
    ).fetchone()
    if row and row[0] > COUNTED_UP_TO:
        return int(row[0])
    counted = connection.execute(sql.SQL("select count(*) from {}").format(table_of(feed))).fetchone()
    return int(counted[0]) if counted else 0


@dataclass(frozen=True)
class FeedStatus:
    """A line of `claims-pipeline status`."""

    feed: str
    last_loaded_day: dt.date | None
    last_loaded_at: dt.datetime | None
    dumps_loaded: int
    dumps_open: int
    dumps_refused: int
    dumps_skipped: int
    dumps_waiting: int = 0


_FEED_STATUS = """
select feed, greatest(last_loaded_day, last_empty_day) as last_loaded_day, last_loaded_at, dumps_loaded, dumps_open,
       dumps_refused, dumps_skipped, dumps_waiting
from ops.feed_status
left join (select sender || '/' || dataset as feed, max(delivery_day) as last_empty_day
           from ops.dump where verdict = 'empty' group by 1) empty using (feed)
order by feed
"""
"""As `last_loaded_day` has it: a day whose dump was truly empty is in the table too."""


def feed_status(connection: psycopg.Connection) -> list[FeedStatus]:
    """The state of every feed that ever had a dump."""
    with connection.cursor(row_factory=class_row(FeedStatus)) as cursor:
        return cursor.execute(_FEED_STATUS).fetchall()


def quarantine_of(connection: psycopg.Connection, dump_id: int) -> list[tuple[str, int]]:
    """Open quarantined rows of a dump by rule, most first."""
    return connection.execute(
        "select rule, count(*) from ops.quarantine, unnest(rules) as rule where dump_id = %s and resolved_at is null"
        " group by 1 order by 2 desc, 1",
        [dump_id],
    ).fetchall()


def quarantine_by_feed(connection: psycopg.Connection) -> list[tuple[str, int]]:
    """Open quarantined rows by feed, of dumps in effect."""
    query = (
        "select q.feed, count(*) from ops.quarantine q join ops.dump d using (dump_id)"
        " where q.resolved_at is null and d.in_effect group by 1"
    )
    return connection.execute(query).fetchall()


def held_by_feed(connection: psycopg.Connection) -> list[tuple[str, int]]:
    """Dumps that wait for a person, by feed, rejected ones left out; so are feeds without any."""
    query = (
        "select sender || '/' || dataset, count(*) from ops.dump d"
        " where verdict = 'held' and status = 'refused' and dataset is not null and not exists (select 1"
        "   from ops.decision c where c.dump_id = d.dump_id and c.what = 'reject' and c.decided_at >= d.settled_at)"
        " group by 1"
    )
    return connection.execute(query).fetchall()


def loads_of(connection: psycopg.Connection, dump_id: int) -> list[dict[str, Any]]:
    """The audit of a dump, oldest first."""
    with connection.cursor(row_factory=dict_row) as cursor:
        query = "select * from ops.load where dump_id = %s order by load_id"
        return cursor.execute(query, [dump_id]).fetchall()


def message_of(connection: psycopg.Connection, run_id: str) -> tuple[str, str] | None:
    """(channel, ts) of the Slack message about a run; None when there is none."""
    row = connection.execute("select channel, ts from ops.message where run_id = %s", [run_id]).fetchone()
    return (row[0], row[1]) if row else None


def remember_message(connection: psycopg.Connection, run_id: str, *, channel: str, ts: str) -> None:
    """Note the Slack message about a run, so that it is updated and not repeated."""
    connection.execute(
        "insert into ops.message (run_id, channel, ts) values (%s, %s, %s) on conflict do nothing",
        [run_id, channel, ts],
    )


def _reports(
    connection: psycopg.Connection, tail: str, parameters: Sequence[object]
) -> list[tuple[DumpReport, list[CheckOutcome]]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_DUMPS + tail, parameters).fetchall()
    return [(_report(row), _checks(row["checks"])) for row in rows]


def _counts(row: dict[str, Any]) -> RowCounts:
    return RowCounts(**{name: row[f"rows_{name}"] or 0 for name in RowCounts().as_dict()})


def _report(row: dict[str, Any]) -> DumpReport:
    validation = row["validation"] or {}
    archived = row["checks"].get(CheckName.INTACT.value, {}).get("figures", {})
    stages = {"archive": archived.get("seconds", 0.0), "validation": validation.get("elapsed", 0.0)}
    stages |= {**validation.get("seconds", {}), **(row["seconds"] or {})}
    rejects = dict(validation.get("rejects", {}))
    unique = row["checks"].get(CheckName.KEY_UNIQUE.value, {}).get("figures", {})
    rejects |= {rule: int(count) for rule, count in unique.items() if rule.startswith("unique.")}
    return DumpReport(
        feed=row["feed"],
        file=row["key"],
        delivery_day=row["delivery_day"],
        verdict=DumpVerdict(row["verdict"]) if row["verdict"] else None,
        status=DumpStatus(row["status"]),
        reason=row["reason"],
        rows=_counts(row) if row["load_id"] else RowCounts(read=validation.get("read", 0)),
        rejects=rejects,
        issues=validation.get("issues", {}),
        drift=tuple(validation.get("drift", ())),
        bytes=row["size_bytes"],
        seconds=round(sum(stages.get(step, 0.0) for step in ("archive", "validation", "load")), 3),
        stages=stages,
    )


def _checks(stored: dict[str, Any]) -> list[CheckOutcome]:
    return [CheckOutcome(name=CheckName(name), **body) for name, body in stored.items()]
