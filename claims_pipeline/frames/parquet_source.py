"""Reading Parquet: bytes -> header and batches of columns in the file's own types.

Belongs here: Parquet. Does not belong here: what types mean (`physical`), and the contract.

Columns are taken by position: pyarrow cannot address the second of two with one name.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from claims_pipeline.errors import BadDump
from claims_pipeline.feeds.sidecars import Promise
from claims_pipeline.frames.physical import type_name
from claims_pipeline.frames.raw import RawBatch
from claims_pipeline.frames.stream import BOMB_BYTES, BOMB_RATIO, Watched

_MAX_ROWS = 1 << 16  # of a batch
_MIN_WIDTH = 8  # bytes of a value that are reckoned with; packed columns look smaller than they get
_BUFFER = 1 << 16  # bytes of a column read at once; without it, and with pre_buffer, a row group is held whole
_DAMAGE = (pa.ArrowException, OSError, ValueError)  # the last: names that are no UTF-8
_MARK, _SEALED_MARK = b"PAR1", b"PARE"


class ParquetSource:
    """One pass over a Parquet dump.

    Attributes:
        header: column names in order, which may repeat; empty when the dump has no bytes.
        types: the file's type of each.
        trailer: none.
    """

    trailer: Promise | None = None

    def __init__(self, file: Watched, *, batch_bytes: int) -> None:
        """Read the footer.

        Args:
            file: the dump; seekable.
            batch_bytes: bytes of values handled at once, about.

        Raises:
            BadDump: dump.unreadable.
        """
        self._file = file
        self.header: tuple[str, ...] = ()
        self.types: tuple[str, ...] = ()
        self._parquet: pa.parquet.ParquetFile | None = None
        size = file.seek(0, os.SEEK_END)
        if size == 0:
            return
        _refuse_strangers(file, size)
        try:
            self._parquet = pa.parquet.ParquetFile(file, buffer_size=_BUFFER, pre_buffer=False)
            self.header = tuple(self._parquet.schema_arrow.names)
            self.types = tuple(type_name(kind) for kind in self._parquet.schema_arrow.types)
        except MemoryError:
            raise
        except _DAMAGE:
            if file.failed:
                raise
        if self._parquet is None or not self.header:
            raise BadDump("dump.unreadable", "the Parquet footer is damaged")
        self._rows = self._rows_at_once(size, batch_bytes)

    def batches(self) -> Iterator[RawBatch]:
        """The rows.

        Raises:
            BadDump: dump.unreadable.
        """
        if self._parquet is None:
            return
        first = 1
        batches = self._parquet.iter_batches(batch_size=self._rows)
        while (batch := self._next(batches, first)) is not None:
            yield RawBatch(batch.columns, np.arange(first, first + batch.num_rows, dtype=np.int64), [])
            first += batch.num_rows

    def _next(self, batches: Iterator[pa.RecordBatch], first: int) -> pa.RecordBatch | None:
        try:
            return next(batches, None)
        except MemoryError:
            raise
        except _DAMAGE:  # damaged pages; the text may quote what they hold
            if self._file.failed:
                raise
        raise BadDump("dump.unreadable", f"the Parquet data is damaged from row {first} on")

    def _rows_at_once(self, size: int, batch_bytes: int) -> int:
        metadata = self._parquet.metadata  # type: ignore[union-attr]  # it is open while batches are read
        unpacked = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
        if unpacked > max(BOMB_BYTES, BOMB_RATIO * size):
            raise BadDump("dump.unreadable", f"the dump unpacks to more than {BOMB_RATIO} times its size")
        row = max(unpacked // max(metadata.num_rows, 1), _MIN_WIDTH * len(self.header))
        return int(min(max(batch_bytes // row, 1), _MAX_ROWS))


def _refuse_strangers(file: Watched, size: int) -> None:
    """Say what a file is that is no Parquet, in better words than Arrow's."""
    file.seek(0)
    begins = file.read(4)
    file.seek(max(size - 4, 0))
    ends = file.read(4)
    file.seek(0)
    if _SEALED_MARK in (begins, ends):
        raise BadDump("dump.unreadable", "the Parquet is encrypted")
    if begins != _MARK:
        raise BadDump("dump.unreadable", "the dump is no Parquet")
    if ends != _MARK:
        raise BadDump("dump.unreadable", "the Parquet has no footer: it was cut off")
