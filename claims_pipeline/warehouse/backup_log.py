"""`ops.backup`: the record of backups, drills, restores and deletions of old backups. Append-only.

Belongs here: writing and reading that record. Does not belong here: making any of them (pgdump, backup.py).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal

import psycopg

Kind = Literal["backup", "drill", "restore", "prune"]


@dataclass(frozen=True)
class Entry:
    """One piece of work and how it ended.

    Attributes:
        kind: backup: one was made; drill: one was restored beside and compared; restore: this database was made from
            one; prune: old ones were deleted.
        passed: whether it went well.
        run_id: Dagster's run, or "cli-...".
        stamp: which backup; None where it did not come to one.
        location: s3:// of its dump.
        tables: how many.
        rows: in all tables.
        bytes: compressed size of the backup; prune: bytes deleted.
        seconds: wall time.
        reason: what was wrong or deleted; no value of a record.
    """

    kind: Kind
    passed: bool
    run_id: str
    stamp: dt.datetime | None = None
    location: str = ""
    tables: int = 0
    rows: int = 0
    bytes: int = 0
    seconds: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class Standing:
    """How the backups stand: the figures that are to be watched.

    Attributes:
        backup_age: seconds since the last good backup was begun; since the database was set up, where there is none.
        drill_age: the same since the last good drill ended.
        backup_bytes: compressed size of the last good backup; None where there is none.
        backup_seconds: that it took; None where there is none.
    """

    backup_age: float
    drill_age: float
    backup_bytes: int | None
    backup_seconds: float | None


def record(connection: psycopg.Connection, entry: Entry) -> None:
    """Append an entry. A database of before this record (a restored one, not yet migrated) is left as it is."""
    if connection.execute("select to_regclass('ops.backup')").fetchone() == (None,):
        return
    names = list(Entry.__dataclass_fields__)
    connection.execute(
        f"insert into ops.backup ({', '.join(names)}) values ({', '.join(['%s'] * len(names))})".encode(),  # noqa: S608 - names of a dataclass
        [getattr(entry, name) for name in names],
    )


def standing(connection: psycopg.Connection) -> Standing:
    """How the backups stand now, by the server's clock."""
    row = connection.execute(
        "with begun as (select min(applied_at) as at from public.claims_pipeline_migration),"
        " backup as (select stamp, bytes, seconds from ops.backup where kind = 'backup' and passed"
        "            order by stamp desc limit 1),"
        " drill as (select max(ended_at) as at from ops.backup where kind = 'drill' and passed)"
        " select extract(epoch from now() - coalesce((select stamp from backup), begun.at))::float8,"
        "        extract(epoch from now() - coalesce((select at from drill), begun.at))::float8,"
        "        (select bytes from backup), (select seconds from backup) from begun"
    ).fetchone()
    assert row is not None  # noqa: S101 - an aggregate has one row
    return Standing(*row)
