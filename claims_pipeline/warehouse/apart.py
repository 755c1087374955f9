"""Setting rows apart: into quarantine with their dump's load, out of it with the next, aside with the dump itself.

Belongs here: what loads write to `ops.quarantine`. Does not belong here: reading it (quarantine.py), keys (frames).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator

import psycopg
import pyarrow
from psycopg import sql

from claims_pipeline.feeds import Feed
from claims_pipeline.warehouse.ledger import Dump
from claims_pipeline.warehouse.merge import UniqueConflict
from claims_pipeline.warehouse.staging import copy_into

Seal = Callable[[int, bytes], tuple[str, bytes]]
"""Seals a row for the quarantine: (row number, content) -> (key version, sealed bytes)."""

QUARANTINE_SCHEMA = pyarrow.schema(
    [
        ("row_number", pyarrow.int64()),
        ("line", pyarrow.int64()),
        ("columns", pyarrow.list_(pyarrow.string())),
        ("rules", pyarrow.list_(pyarrow.string())),
        ("key_version", pyarrow.string()),
        ("sealed", pyarrow.binary()),
        ("row_key", pyarrow.list_(pyarrow.string())),
        ("row_hash", pyarrow.binary()),
    ]
)
"""Rows for the quarantine. `frames` writes no `row_hash`, and earlier versions of it neither `line` nor `row_key`."""


def conflict_batches(conflicts: list[UniqueConflict], seal: Seal) -> Iterator[pyarrow.RecordBatch]:
    """Rows that only the load could find wrong, sealed as `frames` seals the others."""
    if not conflicts:
        return
    sealed = [seal(c.row_number, c.row.encode()) for c in conflicts]
    yield pyarrow.record_batch(
        [
            pyarrow.array([c.row_number for c in conflicts], pyarrow.int64()),
            pyarrow.nulls(len(conflicts), pyarrow.int64()),
            pyarrow.array([[c.column] for c in conflicts], pyarrow.list_(pyarrow.string())),
            pyarrow.array([[f"unique.{c.column}"] for c in conflicts], pyarrow.list_(pyarrow.string())),
            pyarrow.array([version for version, _ in sealed], pyarrow.string()),
            pyarrow.array([content for _, content in sealed], pyarrow.binary()),
            pyarrow.nulls(len(conflicts), pyarrow.list_(pyarrow.string())),
            pyarrow.array([c.row_hash for c in conflicts], pyarrow.binary()),
        ],
        schema=QUARANTINE_SCHEMA,
    )


def set_apart(
    connection: psycopg.Connection, feed: Feed, dump: Dump, load_id: int, batches: Iterable[pyarrow.RecordBatch]
) -> int:
    """Put rows of QUARANTINE_SCHEMA into quarantine; those that lie there are renewed. Returns how many."""
    connection.execute(
        "create temp table if not exists rejects (row_number bigint, line bigint, columns text[], rules text[],"
        " key_version text, sealed bytea, row_key text[], row_hash bytea) on commit drop"
    )
    connection.execute("truncate rejects")
    count = copy_into(connection, sql.Identifier("rejects"), batches)
    if count:
        connection.execute(
            "insert into ops.quarantine"
            " (dump_id, feed, row_number, line, columns, rules, contract, load_id, key_version, sealed, row_key,"
            " row_hash) select %s, %s, row_number, line, columns, rules, %s, %s, key_version, sealed, row_key,"
            " row_hash from rejects"
            " on conflict (dump_id, row_number) do update set line = excluded.line, columns = excluded.columns,"
            " rules = excluded.rules, contract = excluded.contract, load_id = excluded.load_id,"
            " key_version = excluded.key_version, sealed = excluded.sealed, row_key = excluded.row_key,"
            " row_hash = excluded.row_hash,"
            " resolved_at = null",
            [dump.dump_id, feed.name, feed.fingerprint, load_id],
        )
    return count


def resolve_older(connection: psycopg.Connection, dump: Dump, load_id: int) -> None:
    """Rows of this dump that an earlier load set apart and this one did not are no longer in quarantine."""
    connection.execute(
        "update ops.quarantine set resolved_at = now() where dump_id = %s and load_id <> %s and resolved_at is null",
        [dump.dump_id, load_id],
    )


def close(connection: psycopg.Connection, dump: Dump, at: dt.datetime) -> None:
    """Rows of a dump that is no longer in effect wait for nobody."""
    connection.execute(
        "update ops.quarantine set resolved_at = %s where dump_id = %s and resolved_at is null", [at, dump.dump_id]
    )


def reopen(connection: psycopg.Connection, dump: Dump) -> None:
    """Rows that waited when the dump went out of effect wait again."""
    connection.execute(
        "update ops.quarantine set resolved_at = null where dump_id = %s and resolved_at = %s",
        [dump.dump_id, dump.settled_at],
    )


def resolve_conflicts(connection: psycopg.Connection, feed: Feed, dump: Dump, at: dt.datetime) -> None:
    """Forget the conflicts of an earlier merge of a dump that has just been merged again."""
    connection.execute(
        "update ops.quarantine set resolved_at = %s where dump_id = %s and resolved_at is null and rules && %s",
        [at, dump.dump_id, [f"unique.{name}" for name in feed.unique]],
    )
