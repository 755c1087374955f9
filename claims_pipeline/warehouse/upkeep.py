"""What the database knows about things that may be pruned, and its memory of every prune (`ops.upkeep`).

Belongs here: SQL about dumps past their retention, names of S3 objects, old messages, scratch databases, the audit of
upkeep. Does not belong here: S3, and what is pruned when (upkeep.py beside flow.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import psycopg
from psycopg import sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from claims_pipeline.vocabulary import OPEN_STATUSES, DumpStatus
from claims_pipeline.warehouse.ledger import Dump

SCRATCH = "claims_scratch_"
"""What the names of the databases of drills begin with."""

_NOT_DONE = [*(status.value for status in OPEN_STATUSES), DumpStatus.FAILED.value]
"""Dumps that a run will still read: failed ones are opened again by the daily schedule."""

Layer = Literal["raw", "validated"]

_KEYS = {"raw": "archive_key", "validated": "coalesce(loaded_key, validated_key)"}


def past_retention(
    connection: psycopg.Connection,
    layer: Layer,
    *,
    sender: str,
    dataset: str,
    settled_before: dt.datetime,
    after: int,
    limit: int,
    lock: bool,
) -> list[Dump]:
    """Dumps of a feed whose objects of a layer may go, in order of their numbers: settled long ago, and not held.

    Args:
        connection: within a transaction where `lock` is set.
        layer: which objects.
        sender: the feed's.
        dataset: the feed's.
        settled_before: the end of what retention keeps.
        after: number of the last dump of the batch before; 0 for the first.
        limit: dumps at most.
        lock: keep others from taking the dumps up again until the transaction ends; dumps in hand are passed over.
    """
    query = sql.SQL(
        "select * from ops.dump where sender = %s and dataset = %s and settled_at < %s and dump_id > %s"
        " and status <> all(%s) and verdict is distinct from 'held' and {key} is not null and {pruned} is null"
        " order by dump_id limit %s {lock}"
    ).format(
        key=sql.SQL(_KEYS[layer]),
        pruned=sql.Identifier(f"{layer}_pruned_at"),
        lock=sql.SQL("for update skip locked" if lock else ""),
    )
    with connection.cursor(row_factory=class_row(Dump)) as cursor:
        return cursor.execute(query, [sender, dataset, settled_before, after, _NOT_DONE, limit]).fetchall()


def mark_pruned(connection: psycopg.Connection, layer: Layer, dump_ids: Sequence[int]) -> None:
    """Remember that the dumps' objects of a layer are deleted."""
    query = sql.SQL("update ops.dump set {} = now() where dump_id = any(%s)")
    connection.execute(query.format(sql.Identifier(f"{layer}_pruned_at")), [list(dump_ids)])


@dataclass(frozen=True)
class Known:
    """What the ledger knows of some S3 keys.

    Attributes:
        dumps: rows of the ledger by number.
        archived: of the keys asked for, those under which a dump's bytes lie, or lay.
    """

    dumps: Mapping[int, Dump]
    archived: frozenset[str]

    def is_at_rest(self, dump_id: int) -> bool:
        """Whether no run has the dump in hand or will take it up by itself."""
        return self.dumps[dump_id].status not in _NOT_DONE


def known(connection: psycopg.Connection, *, dump_ids: Sequence[int], keys: Sequence[str]) -> Known:
    """Rows of the ledger by number, and which of the keys any row names as its archived bytes."""
    with connection.cursor(row_factory=class_row(Dump)) as cursor:
        dumps = cursor.execute("select * from ops.dump where dump_id = any(%s)", [list(dump_ids)]).fetchall()
    rows = connection.execute("select archive_key from ops.dump where archive_key = any(%s)", [list(keys)])
    return Known({dump.dump_id: dump for dump in dumps}, frozenset(key for (key,) in rows))


# ---------------------------------------------------------------------------------------------- in the database itself


def old_messages(
    connection: psycopg.Connection, *, sent_before: dt.datetime, delete: bool
) -> tuple[int, dt.datetime | None]:
    """How many messages of runs were sent before a moment, and when the oldest was; deletes them if asked."""
    if delete:
        query = (
            "with gone as (delete from ops.message where sent_at < %s returning sent_at)"
            " select count(*), min(sent_at) from gone"
        )
    else:
        query = "select count(*), min(sent_at) from ops.message where sent_at < %s"
    row = connection.execute(query, [sent_before]).fetchone()
    return row or (0, None)


def old_sealed(
    connection: psycopg.Connection, feed: str, *, set_apart_before: dt.datetime, empty: bool
) -> tuple[int, dt.datetime | None]:
    """How many quarantined rows of a feed were set apart before a moment and hold content, and when the oldest was.

    Args:
        connection: to the warehouse.
        feed: "sender/dataset".
        set_apart_before: the moment.
        empty: take their content; where they stood and what they broke stays.
    """
    old = "feed = %s and quarantined_at < %s and sealed <> ''"
    if empty:
        query = (
            f"with emptied as (update ops.quarantine set sealed = '' where {old} returning quarantined_at)"  # noqa: S608 - our own words
            " select count(*), min(quarantined_at) from emptied"
        )
    else:
        query = f"select count(*), min(quarantined_at) from ops.quarantine where {old}"  # noqa: S608 - constants
    row = connection.execute(query.encode(), [feed, set_apart_before]).fetchone()
    return row or (0, None)


@dataclass(frozen=True)
class Scratch:
    """A scratch database on the server.

    Attributes:
        name: its name.
        bytes: its size on disk.
        seen: when a prune first found it, UTC; None when none has. Postgres does not tell when a database was made.
        in_use: whether anybody is connected to it.
    """

    name: str
    bytes: int
    seen: dt.datetime | None
    in_use: bool


def scratch_databases(connection: psycopg.Connection, *, kind: str) -> list[Scratch]:
    """Databases of drills on the server, and when they were first found.

    Args:
        connection: to the warehouse.
        kind: of the prune that finds them, whose audit is the memory.
    """
    with connection.cursor(row_factory=class_row(Scratch)) as cursor:
        return cursor.execute(
            "select d.datname as name, pg_database_size(d.oid) as bytes,"
            " (select min(u.finished_at) from ops.upkeep u"
            "  where u.kind = %s and u.detail -> 'found' ? d.datname) as seen,"
            " exists (select 1 from pg_stat_activity a where a.datid = d.oid) as in_use"
            " from pg_database d where starts_with(d.datname, %s) and d.datname <> current_database() order by 1",
            [kind, SCRATCH],
        ).fetchall()


def drop_scratch(connection: psycopg.Connection, name: str) -> None:
    """Drop a scratch database; not while somebody is connected.

    Raises:
        ValueError: the name is not of a scratch database.
    """
    if not name.startswith(SCRATCH):
        raise ValueError("not a scratch database")
    connection.execute(sql.SQL("drop database if exists {}").format(sql.Identifier(name)))


# ---------------------------------------------------------------------------------------------- the audit


def record(
    connection: psycopg.Connection,
    *,
    kind: str,
    dry_run: bool,
    items: int,
    bytes_: int | None,
    oldest: dt.datetime | None,
    detail: Mapping[str, Any],
    error: str,
    run_id: str,
    requested_by: str,
    started_at: dt.datetime,
) -> None:
    """Append what a prune of one kind did, or would have done."""
    connection.execute(
        "insert into ops.upkeep (kind, dry_run, items, bytes, oldest, detail, error, run_id, requested_by, started_at)"
        " values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        [kind, dry_run, items, bytes_, oldest, Jsonb(dict(detail)), error, run_id, requested_by, started_at],
    )
