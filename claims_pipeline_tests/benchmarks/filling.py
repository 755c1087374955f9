"""A large table in little time: rows as the pipeline loaded them, multiplied by SQL; and what Postgres did to a table.

Belongs here: filling `members` tables for growth.py, and the server's own counts. Does not belong here: loads.
"""

from __future__ import annotations

import psycopg
from psycopg import sql

from claims_pipeline.feeds import Feed
from claims_pipeline.warehouse.ddl import table_of
from claims_pipeline.warehouse.merge import table_columns

_LONG_AGO = "timestamptz '2020-01-01'"


def fill(connection: psycopg.Connection, feed: Feed, *, sample: int, rows: int) -> None:
    """Multiply a table's rows: keys go on, row hashes differ, versions are older than any delta's.

    Args:
        connection: autocommit; a statement is a transaction.
        feed: keyed by `id`, with version `updated_at`.
        sample: rows that the table has, with ids from 1.
        rows: that it then has, with ids from 1.
    """
    changed = {
        "id": "id + %(copy)s * %(sample)s",
        "_row_number": "id + %(copy)s * %(sample)s",
        "updated_at": _LONG_AGO,
        "_row_hash": "decode(md5(_row_hash || %(copy)s::text::bytea), 'hex')",
    }
    names = table_columns(feed)
    values = [sql.SQL(changed[name]) if name in changed else sql.Identifier(name) for name in names]
    query = sql.SQL(
        "insert into {table} ({columns}) select {values} from {table}"
        " where id <= least(%(sample)s, %(rows)s - %(copy)s * %(sample)s) order by id"
    ).format(
        table=table_of(feed),
        columns=sql.SQL(", ").join(map(sql.Identifier, names)),
        values=sql.SQL(", ").join(values),
    )
    for copy in range(1, -(-rows // sample)):
        connection.execute(query, {"copy": copy, "sample": sample, "rows": rows})
    connection.execute(sql.SQL("vacuum (analyze) {}").format(table_of(feed)))


def activity(connection: psycopg.Connection, feed: Feed) -> dict[str, float]:
    """The server's counts on the feed's table: updates, HOT ones, scans of all of it, blocks read; MB of WAL, sizes."""
    connection.execute("select pg_stat_force_next_flush()")
    row = connection.execute(
        "select t.n_tup_upd, t.n_tup_hot_upd, t.seq_scan, io.heap_blks_read + io.idx_blks_read,"
        " pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float / 1e6,"
        " pg_table_size(t.relid) / 1e6, pg_indexes_size(t.relid) / 1e6"
        " from pg_stat_user_tables t join pg_statio_user_tables io using (relid) where relid = to_regclass(%s)",
        [table_of(feed).as_string(None)],
    ).fetchone()
    if row is None:
        raise LookupError(f"{feed.name} has no table")
    names = ("updates", "hot_updates", "whole_scans", "blocks_read", "wal_mb", "table_mb", "index_mb")
    return dict(zip(names, map(float, row), strict=True))
