"""Reading back what was validated: all rows, some columns, or some rows, as often as it takes; and the rejects.

Belongs here: reading what `dump` has written. Does not belong here: where the file is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from claims_pipeline.frames.batch import ROW_NUMBER


class ValidatedRows:
    """The rows file of one dump."""

    def __init__(self, file: Path | BinaryIO, *, progress: Callable[[int], None] | None = None) -> None:
        """Read the footer.

        Args:
            file: can seek, and stays open as long as rows are read.
            progress: told, in each pass, of rows read so far, whichever of them are wanted.
        """
        self._file = pq.ParquetFile(file, pre_buffer=True)
        self._progress = progress
        place = self._file.schema_arrow.names.index(ROW_NUMBER)
        self._spans: list[tuple[int, int]] = []  # first and last row number of each row group
        for group in range(self._file.num_row_groups):
            numbers = self._file.metadata.row_group(group).column(place).statistics
            self._spans.append((numbers.min, numbers.max))

    @property
    def count(self) -> int:
        """How many rows there are."""
        return int(self._file.metadata.num_rows)

    @property
    def schema(self) -> pa.Schema:
        """Columns and types."""
        return self._file.schema_arrow

    def batches(
        self, columns: Sequence[str] | None = None, numbers: npt.NDArray[np.bool_] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows in ascending order of `_row_number`, from the beginning.

        One batch a row group, which is what was validated at once. Groups without a wanted row are not read.

        Args:
            columns: only these; None for all.
            numbers: true at the places of row numbers that are wanted; None for all.
        """
        done = 0
        for group, (first, last) in enumerate(self._spans):
            done += self._file.metadata.row_group(group).num_rows
            if numbers is None or numbers[first : last + 1].any():
                table = self._file.read_row_group(group, columns=None if columns is None else list(columns))
                batch = pa.RecordBatch.from_arrays(
                    [column.combine_chunks() for column in table.columns], schema=table.schema
                )
                yield batch if numbers is None else _only(batch, numbers)
            if self._progress is not None:
                self._progress(done)


def rejects_in(file: Path | BinaryIO) -> Iterator[pa.RecordBatch]:
    """The sealed rejects of one dump, see `REJECTS_SCHEMA`."""
    yield from pq.ParquetFile(file).iter_batches()


def _only(batch: pa.RecordBatch, numbers: npt.NDArray[np.bool_]) -> pa.RecordBatch:
    at = batch.column(ROW_NUMBER).to_numpy()
    wanted = np.zeros(len(at), np.bool_)
    known = at < len(numbers)
    wanted[known] = numbers[at[known]]
    return batch if wanted.all() else batch.filter(pa.array(wanted))
