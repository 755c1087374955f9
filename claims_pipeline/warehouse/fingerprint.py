"""Fingerprints of tables: whether two tables hold the same rows, without moving them.

Belongs here: the digest of one table, and which tables there are. Does not belong here: which columns may differ
between two tables, and what follows when they do (backup, rebuild and the tests decide that).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import psycopg
from psycopg import sql

from claims_pipeline.errors import ClaimsPipelineError

# How values are written as text depends on these; each table is read under the same ones, whatever the session has.
_TEXT_FORM = {
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",  # the shortest text that reads back as the same number
    "bytea_output": "hex",
}


@dataclass(frozen=True)
class Fingerprint:
    """What two tables have in common that hold the same rows.

    Attributes:
        rows: how many.
        digest: hex, over the columns' names and the set of rows, whatever their order.
    """

    rows: int
    digest: str


def fingerprint(
    connection: psycopg.Connection, schema: str, table: str, *, without: Collection[str] = ()
) -> Fingerprint:
    """A table's fingerprint, computed by Postgres in one scan.

    The digest covers the columns' names and the sum of the rows' SHA-256 halves (two sums of 64-bit numbers), so the
    order of rows and of columns does not matter, and a row that is there twice counts twice. Accidents are found; it is
    no defence against somebody who chooses rows so that the sums agree. Types take part by their text alone.

    Args:
        connection: its transaction's snapshot is what is read; its settings are as before afterwards.
        schema: of the table.
        table: its name.
        without: columns left out, such as "_load_id", which differ between tables of the same content. Names that the
            table does not have do not matter.

    Raises:
        ClaimsPipelineError: there is no such table.
    """
    found = connection.execute(
        "select attname from pg_attribute where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped"
        ' order by attname collate "C"',
        [sql.Identifier(schema, table).as_string(None)],
    )
    names = [name for (name,) in found.fetchall()]
    if not names:
        raise ClaimsPipelineError(f"there is no table {schema}.{table} in this database")
    kept = [name for name in names if name not in without]
    query = sql.SQL(
        # A record's text tells NULL from '', and quotes what would blur the columns' borders.
        "with hashed as (select encode(sha256(convert_to(row({columns})::text, 'UTF8')), 'hex') as hash from {table}),"
        " summed as (select count(*) as rows,"
        " coalesce(sum(('x' || substr(hash, 1, 16))::bit(64)::bigint), 0) as high,"
        " coalesce(sum(('x' || substr(hash, 17, 16))::bit(64)::bigint), 0) as low from hashed)"
        " select rows, encode(sha256(convert_to(concat_ws('/', {names}, rows, high, low), 'UTF8')), 'hex') from summed"
    ).format(
        columns=sql.SQL(", ").join(map(sql.Identifier, kept)),
        table=sql.Identifier(schema, table),
        names=sql.Literal("\x1f".join(kept)),
    )
    with connection.transaction(force_rollback=True):  # undoes the settings; nothing is written
        for name, value in _TEXT_FORM.items():
            connection.execute("select set_config(%s, %s, true)", [name, value])
        row = connection.execute(query).fetchone()
    assert row is not None  # noqa: S101 - an aggregate has one row
    return Fingerprint(int(row[0]), row[1])


def user_tables(connection: psycopg.Connection) -> list[tuple[str, str]]:
    """(schema, table) of every table with rows of ours, sorted: ops, history, the senders' and public.

    Temporary tables and those that belong to an extension are not among them; of a partitioned table, its partitions.
    """
    return connection.execute(
        "select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where c.relkind = 'r' and c.relpersistence <> 't' and n.nspname <> 'information_schema'"
        " and n.nspname !~ '^pg_' and not exists ("
        " select 1 from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')"
        ' order by n.nspname collate "C", c.relname collate "C"'
    ).fetchall()
