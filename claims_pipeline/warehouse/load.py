"""The load: one dump, one transaction. Rows, history, quarantine, audit and ledger commit together or not at all.

Belongs here: COPY to staging, the order of the merge's steps, what is written beside the rows. Does not belong here:
where the validated frames come from, and whether the dump may be loaded at all (decided before, see `flow`).
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pgpq
import psycopg
import pyarrow
from psycopg import sql
from psycopg.types.json import Jsonb

from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.feeds import Feed
from claims_pipeline.vocabulary import DumpStatus, RowCounts
from claims_pipeline.warehouse import ledger, merge
from claims_pipeline.warehouse.ddl import columns_sql, create_stage
from claims_pipeline.warehouse.ledger import Dump

Seal = Callable[[int, bytes], tuple[str, bytes]]
"""Seals a row for the quarantine: (row number, content) -> (key version, sealed bytes)."""

QUARANTINE_SCHEMA = pyarrow.schema(
    [
        ("row_number", pyarrow.int64()),
        ("columns", pyarrow.list_(pyarrow.string())),
        ("rules", pyarrow.list_(pyarrow.string())),
        ("key_version", pyarrow.string()),
        ("sealed", pyarrow.binary()),
    ]
)
"""The rejects of a validated dump, as `frames` writes them."""


@dataclass(frozen=True)
class Loaded:
    """What a load did.

    Attributes:
        load_id: its number in the audit.
        rows: rows by verdict, conserved.
        conflicts: rows set apart because a unique value belongs to another key, by rule id.
        removed_with_parent: rows of replaced sets removed because their parent has none any more, by feed.
        seconds: time by stage.
    """

    load_id: int
    rows: RowCounts
    conflicts: dict[str, int]
    removed_with_parent: dict[str, int]
    seconds: dict[str, float]


def load_dump(
    connection: psycopg.Connection,
    feed: Feed,
    dump: Dump,
    *,
    rows: Iterable[pyarrow.RecordBatch],
    rejects: Iterable[pyarrow.RecordBatch],
    read: int,
    filtered: int,
    seal: Seal,
    children: Sequence[Feed] = (),
    run_id: str,
) -> Loaded:
    """Load one validated dump.

    Args:
        connection: where the caller has begun a transaction, the load is a savepoint of it.
        feed: the dump's contract; the database must know it (`migrate`).
        dump: the ledger's row of the dump.
        rows: batches of the stored columns with `_row_number` and `_row_hash`.
        rejects: batches of `QUARANTINE_SCHEMA`.
        read: rows read from the dump, all verdicts.
        filtered: rows that the contract left out.
        seal: seals rows that turn out here to belong into quarantine.
        children: feeds whose rows are replaced as sets with rows of this feed.
        run_id: of the audit.

    Raises:
        psycopg.Error: nothing was written.
        ClaimsPipelineError: rows were not conserved; nothing was written.
    """
    started = dt.datetime.now(dt.UTC)
    clock = _Clock()
    with connection.transaction():
        _lock(connection, [feed, *children])
        load_id = _next_load_id(connection)
        create_stage(connection, feed)
        with clock.stage("copy"):
            staged = copy_into(connection, "stage", rows)
        with clock.stage("merge"):
            connection.execute("analyze stage")
            duplicates = merge.drop_duplicates(connection, feed)
            context = merge.MergeContext(dump.dump_id, dump.stamp, load_id)
            merge.judge(connection, feed, context)
            conflicts = merge.take_unique_conflicts(connection, feed)
            counts = merge.merge(connection, feed, context)
        with clock.stage("quarantine"):
            quarantined = _quarantine(connection, feed, dump, load_id, rejects)
            quarantined += _quarantine(connection, feed, dump, load_id, _conflict_batches(conflicts, seal))
            _resolve_older(connection, dump, load_id)
        counts = replace(counts, read=read, filtered=filtered, duplicate=duplicates, quarantined=quarantined)
        if not counts.conserved or staged + filtered + quarantined - len(conflicts) != read:
            raise ClaimsPipelineError(
                f"rows of dump {dump.dump_id} ({feed.name}) are not conserved: {counts.as_dict()}, staged {staged}; "
                "nothing was written. This is a defect of the pipeline: report it with this line."
            )
        kind = "reload" if _was_loaded(connection, dump) else "load"
        _audit(connection, load_id, kind, feed, dump, run_id, counts, clock.seconds, started)
        removed = {}
        for child in children:
            child_load = _next_load_id(connection)
            gone = merge.remove_emptied_sets(connection, child, parent_load_id=load_id, load_id=child_load)
            if gone:
                removed[child.name] = gone
                cascade = RowCounts(deleted=gone)
                _audit(connection, child_load, "cascade", child, dump, run_id, cascade, {}, started)
        ledger.settle(connection, dump.dump_id, DumpStatus.LOADED)
    by_rule: dict[str, int] = {}
    for conflict in conflicts:
        by_rule[f"unique.{conflict.column}"] = by_rule.get(f"unique.{conflict.column}", 0) + 1
    return Loaded(load_id, counts, by_rule, removed, clock.seconds)


def copy_into(connection: psycopg.Connection, table: str, batches: Iterable[pyarrow.RecordBatch]) -> int:
    """Binary COPY of Arrow batches into a table with columns of the same names; returns the rows copied."""
    copied = 0
    iterator = iter(batches)
    first = next(iterator, None)
    if first is None:
        return 0
    encoder = pgpq.ArrowToPostgresBinaryEncoder(first.schema)
    columns = sql.SQL(", ").join(sql.Identifier(name) for name in first.schema.names)
    statement = sql.SQL("copy {} ({}) from stdin (format binary)").format(sql.Identifier(table), columns)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(encoder.write_header())
        batch: pyarrow.RecordBatch | None = first
        while batch is not None:
            if batch.num_rows:
                copy.write(encoder.write_batch(batch))
                copied += batch.num_rows
            batch = next(iterator, None)
        copy.write(encoder.finish())
    return copied


class _Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - begun, 4)


def _lock(connection: psycopg.Connection, feeds: Sequence[Feed]) -> None:
    """One load at a time per table; always in the order of names, so that two loads cannot wait for each other."""
    for name in sorted(feed.name for feed in feeds):
        connection.execute("select pg_advisory_xact_lock(526, hashtext(%s))", [name])


def _next_load_id(connection: psycopg.Connection) -> int:
    row = connection.execute("select nextval(pg_get_serial_sequence('ops.load', 'load_id'))").fetchone()
    return int(row[0]) if row else 0


def _was_loaded(connection: psycopg.Connection, dump: Dump) -> bool:
    query = "select 1 from ops.load where dump_id = %s and kind <> 'cascade' limit 1"
    return connection.execute(query, [dump.dump_id]).fetchone() is not None


def _conflict_batches(conflicts: list[merge.UniqueConflict], seal: Seal) -> Iterator[pyarrow.RecordBatch]:
    if not conflicts:
        return
    sealed = [seal(c.row_number, c.row.encode()) for c in conflicts]
    yield pyarrow.record_batch(
        [
            pyarrow.array([c.row_number for c in conflicts], pyarrow.int64()),
            pyarrow.array([[c.column] for c in conflicts], pyarrow.list_(pyarrow.string())),
            pyarrow.array([[f"unique.{c.column}"] for c in conflicts], pyarrow.list_(pyarrow.string())),
            pyarrow.array([version for version, _ in sealed], pyarrow.string()),
            pyarrow.array([content for _, content in sealed], pyarrow.binary()),
        ],
        schema=QUARANTINE_SCHEMA,
    )


def _quarantine(
    connection: psycopg.Connection, feed: Feed, dump: Dump, load_id: int, batches: Iterable[pyarrow.RecordBatch]
) -> int:
    connection.execute(
        "create temp table if not exists rejects (row_number bigint, columns text[], rules text[], key_version text,"
        " sealed bytea) on commit drop"
    )
    connection.execute("truncate rejects")
    count = copy_into(connection, "rejects", batches)
    if count:
        connection.execute(
            "insert into ops.quarantine"
            " (dump_id, feed, row_number, columns, rules, contract, load_id, key_version, sealed)"
            " select %s, %s, row_number, columns, rules, %s, %s, key_version, sealed from rejects"
            " on conflict (dump_id, row_number) do update set columns = excluded.columns, rules = excluded.rules,"
            " contract = excluded.contract, load_id = excluded.load_id, key_version = excluded.key_version,"
            " sealed = excluded.sealed, resolved_at = null",
            [dump.dump_id, feed.name, feed.fingerprint, load_id],
        )
    return count


def _resolve_older(connection: psycopg.Connection, dump: Dump, load_id: int) -> None:
    """Rows of this dump that an earlier load set apart and this one did not are no longer in quarantine."""
    connection.execute(
        "update ops.quarantine set resolved_at = now() where dump_id = %s and load_id <> %s and resolved_at is null",
        [dump.dump_id, load_id],
    )


def _audit(
    connection: psycopg.Connection,
    load_id: int,
    kind: str,
    feed: Feed,
    dump: Dump,
    run_id: str,
    counts: RowCounts,
    seconds: dict[str, float],
    started: dt.datetime,
) -> None:
    values = {
        "load_id": load_id,
        "kind": kind,
        "dump_id": dump.dump_id,
        "feed": feed.name,
        "run_id": run_id,
        "contract": feed.fingerprint,
        "seconds": Jsonb(seconds),
        "started_at": started,
    }
    values |= {f"rows_{name}": count for name, count in counts.as_dict().items()}
    connection.execute(
        sql.SQL("insert into ops.load ({}) overriding system value values ({})").format(
            columns_sql(values), sql.SQL(", ").join(sql.Placeholder(name) for name in values)
        ),
        values,
    )
