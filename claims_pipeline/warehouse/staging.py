"""Rows on their way into Postgres: binary COPY of Arrow batches, the only way by which rows of a dump come in.

Belongs here: COPY in, and asking which rows to send. Does not belong here: what is decided about rows (merge.py).

A load first sends what is needed to judge its rows (key, version, unique values, row number, row hash: `stage`), and
then only the rows that are to be written, whole, once: new ones straight into the table, changed ones into a temporary
table. So the rows of a dump are read more than once, each time only as much of them as is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pgpq
import psycopg
import pyarrow
from psycopg import sql

from claims_pipeline.feeds import Feed
from claims_pipeline.overlap import ahead
from claims_pipeline.warehouse.ddl import columns_sql, create_stage, staged_columns

Numbers = npt.NDArray[np.bool_]
"""Which rows of a dump are meant: true at the place of their row number; rows behind its end are not."""

_AHEAD = 2  # batches that are read while one is sent
_HEADER = 19  # bytes of a binary COPY before its first row: signature, flags, length of the extension
_TUPLE = np.dtype([("fields", ">i2"), ("length", ">i4"), ("value", ">i8")])


class Rows(Protocol):
    """The validated rows of one dump: stored columns, `_row_number` ascending from 1, and `_row_hash`."""

    @property
    def count(self) -> int:
        """How many there are."""

    def batches(
        self, columns: Sequence[str] | None = None, numbers: Numbers | None = None
    ) -> Iterator[pyarrow.RecordBatch]:
        """The rows from the beginning, each time that it is called.

        Args:
            columns: only these, in any order; None for all.
            numbers: only these rows; None for all.
        """


@dataclass(frozen=True)
class Staged:
    """What was staged.

    Attributes:
        rows: how many.
        ascending: whether the key of each row is greater than that of the row before, so that none repeats. False also
            where nobody looked (keys of several columns, or text).
    """

    rows: int
    ascending: bool


def copy_into(connection: psycopg.Connection, table: sql.Composable, batches: Iterable[pyarrow.RecordBatch]) -> int:
    """Copy batches into a table that has columns of the same names; returns the rows copied."""
    copied = 0
    # Reading the next batch overlaps with Postgres' work on this one.
    with ahead(batches, most=_AHEAD) as iterator:
        first = next(iterator, None)
        if first is None:
            return 0
        encoder = pgpq.ArrowToPostgresBinaryEncoder(first.schema)
        statement = sql.SQL("copy {} ({}) from stdin (format binary)").format(table, columns_sql(first.schema.names))
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


def stage(
    connection: psycopg.Connection,
    feed: Feed,
    rows: Rows,
    *,
    only: Callable[[pyarrow.RecordBatch], pyarrow.RecordBatch] | None = None,
) -> Staged:
    """Send what judging the rows of a dump needs into the temporary table `stage`, made anew.

    Args:
        connection: within the load's transaction.
        feed: the contract.
        rows: of the dump.
        only: leaves rows of a batch out.
    """
    create_stage(connection, feed)
    batches = rows.batches([*staged_columns(feed), "_row_number", "_row_hash"])
    order = _Order(feed)
    staged = copy_into(connection, sql.Identifier("stage"), map(order.watch, map(only, batches) if only else batches))
    connection.execute("analyze stage")
    return Staged(staged, order.ascending)


class _Order:
    """Watches whether keys ascend: senders mostly export by key, and then it is known that none repeats."""

    def __init__(self, feed: Feed) -> None:
        key = [c for c in feed.stored if c.key]
        self._name = key[0].name
        self.ascending = len(key) == 1 and pyarrow.types.is_integer(key[0].arrow)
        self._last: int | None = None

    def watch(self, batch: pyarrow.RecordBatch) -> pyarrow.RecordBatch:
        if self.ascending and batch.num_rows:
            keys = batch.column(self._name).to_numpy()
            self.ascending = bool((keys[1:] > keys[:-1]).all() and (self._last is None or keys[0] > self._last))
            self._last = int(keys[-1])
        return batch


def copy_rows(
    connection: psycopg.Connection,
    table: sql.Composable,
    rows: Rows,
    numbers: Numbers | None,
    constants: Mapping[str, pyarrow.Scalar] | None = None,
) -> int:
    """Send whole rows of a dump into a table; returns how many.

    Args:
        connection: within the load's transaction.
        table: has the columns.
        rows: of the dump.
        numbers: which; None for all.
        constants: columns that are the same in every row.
    """

    def with_constants(batch: pyarrow.RecordBatch) -> pyarrow.RecordBatch:
        for name, value in (constants or {}).items():
            batch = batch.append_column(name, pyarrow.repeat(value, batch.num_rows))
        return batch

    return copy_into(connection, table, map(with_constants, rows.batches(numbers=numbers)))


def staged_numbers(connection: psycopg.Connection, condition: sql.Composable) -> Numbers:
    """Row numbers of staged rows s that meet a condition. Memory: a byte for each row of the dump."""
    row = connection.execute("select coalesce(max(_row_number), 0) from stage").fetchone()
    numbers = np.zeros((row[0] if row else 0) + 1, np.bool_)
    query = sql.SQL("copy (select s._row_number from stage s where {}) to stdout (format binary)").format(condition)
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        held, skip = b"", _HEADER
        for block in copy:
            held += block
            if len(held) < skip + _TUPLE.itemsize:
                continue
            whole = (len(held) - skip) // _TUPLE.itemsize
            numbers[np.frombuffer(held, _TUPLE, whole, skip)["value"]] = True
            held, skip = held[skip + whole * _TUPLE.itemsize :], 0
    return numbers
