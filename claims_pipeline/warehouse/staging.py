"""Binary COPY of Arrow batches: the only way by which rows of a dump come into Postgres."""

from __future__ import annotations

from collections.abc import Iterable

import pgpq
import psycopg
import pyarrow
from psycopg import sql

from claims_pipeline.warehouse.ddl import columns_sql


def copy_into(connection: psycopg.Connection, table: str, batches: Iterable[pyarrow.RecordBatch]) -> int:
    """Copy batches into a table that has columns of the same names; returns the rows copied."""
    copied = 0
    iterator = iter(batches)
    first = next(iterator, None)
    if first is None:
        return 0
    encoder = pgpq.ArrowToPostgresBinaryEncoder(first.schema)
    statement = sql.SQL("copy {} ({}) from stdin (format binary)").format(
        sql.Identifier(table), columns_sql(first.schema.names)
    )
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
