"""Frames written again without some of their rows; the others stay as they are, row numbers included.

Belongs here: the two files of a dump. Does not belong here: which rows, and where the files go.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from claims_pipeline.frames.dump import parquet_writer


def without(source: Path | BinaryIO, target: Path | BinaryIO, *, column: str, numbers: Collection[int]) -> int:
    """Copy a rows or rejects file, row group by row group, without the rows of some numbers.

    Args:
        source: can seek.
        target: written from its start.
        column: that holds the row numbers: "_row_number" or "row_number".
        numbers: of the rows that go.

    Returns:
        How many rows were left out.
    """
    file, gone, left_out = pq.ParquetFile(source), pa.array(sorted(numbers), pa.int64()), 0
    with parquet_writer(target, file.schema_arrow) as writer:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            stays = table.filter(pc.invert(pc.is_in(table[column], value_set=gone)))
            left_out += table.num_rows - stays.num_rows
            if stays.num_rows:
                writer.write_table(stays, row_group_size=stays.num_rows)
    return left_out
