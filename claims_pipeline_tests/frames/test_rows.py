"""Validated rows are read back whole or in part, and parts of the file that hold no wanted row are not read."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pytest

from claims_pipeline.frames import ValidatedRows, rejects_in, rows_schema, validate_dump

from .samples import DAY, GOOD, KEYS, STAMP, VISITS, csv_bytes

ROWS = 600


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The two files of a dump in many batches, every seventh row of which is rejected."""
    folder = tmp_path_factory.mktemp("frames")
    rows = [{**GOOD, "visit_id": "no number" if n % 7 == 0 else str(n)} for n in range(1, ROWS + 1)]
    validate_dump(
        io.BytesIO(csv_bytes(rows)),
        feed=VISITS,
        compression=None,
        stamp=STAMP,
        delivery_day=DAY,
        keys=KEYS,
        rows_file=folder / "rows.parquet",
        rejects_file=folder / "rejects.parquet",
        batch_bytes=4_000,
    )
    return folder / "rows.parquet", folder / "rejects.parquet"


class Counting(io.RawIOBase):
    """A file that counts the bytes read from it."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self.count = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int = -1, /) -> bytes:
        part = self._file.read(size)
        self.count += len(part)
        return part


def numbers_in(batches: Iterator[pa.RecordBatch]) -> list[int]:
    return [number for batch in batches for number in batch.column("_row_number").to_pylist()]


def wanted(*numbers: int, until: int = ROWS) -> np.typing.NDArray[np.bool_]:
    mask = np.zeros(until + 1, np.bool_)
    mask[list(numbers)] = True
    return mask


KEPT = [n for n in range(1, ROWS + 1) if n % 7]


def test_all_rows_come_in_order_as_often_as_they_are_asked_for(files: tuple[Path, Path]) -> None:
    rows = ValidatedRows(files[0])
    assert (rows.count, rows.schema) == (len(KEPT), rows_schema(VISITS))
    assert numbers_in(rows.batches()) == KEPT
    assert numbers_in(rows.batches()) == KEPT


def test_only_the_columns_asked_for_are_given(files: tuple[Path, Path]) -> None:
    batches = list(ValidatedRows(files[0]).batches(["visit_id", "_row_number"]))
    assert {tuple(batch.schema.names) for batch in batches} == {("visit_id", "_row_number")}
    assert [v for batch in batches for v in batch.column("visit_id").to_pylist()] == KEPT


@pytest.mark.parametrize("chosen", [(), (1,), (ROWS - 1,), (1, 300, 302, ROWS - 1), tuple(KEPT)])
def test_only_the_rows_asked_for_are_given(files: tuple[Path, Path], chosen: tuple[int, ...]) -> None:
    assert numbers_in(ValidatedRows(files[0]).batches(numbers=wanted(*chosen))) == list(chosen)


def test_rows_behind_the_end_of_the_mask_are_not_asked_for(files: tuple[Path, Path]) -> None:
    assert numbers_in(ValidatedRows(files[0]).batches(numbers=wanted(3, 9, until=10))) == [3, 9]


def test_parts_of_the_file_without_a_wanted_row_are_not_read(files: tuple[Path, Path]) -> None:
    file = Counting(files[0])
    rows = ValidatedRows(cast_file(file))
    footer = file.count
    assert numbers_in(rows.batches(numbers=wanted(300))) == [300]
    one = file.count - footer
    list(rows.batches())
    assert one < (file.count - footer - one) / 2


def test_progress_tells_of_rows_passed_over_too(files: tuple[Path, Path]) -> None:
    told: list[int] = []
    list(ValidatedRows(files[0], progress=told.append).batches(numbers=wanted(300)))
    assert told[-1] == len(KEPT)
    assert told == sorted(told)


def test_no_value_is_in_the_statistics_of_the_file(files: tuple[Path, Path]) -> None:
    metadata = pa.parquet.ParquetFile(files[0]).metadata
    columns = [metadata.row_group(0).column(i) for i in range(metadata.num_columns)]
    assert [c.path_in_schema for c in columns if c.is_stats_set and c.statistics.has_min_max] == ["_row_number"]


def test_the_rejects_are_read_back(files: tuple[Path, Path]) -> None:
    found = [n for batch in rejects_in(files[1]) for n in batch.column("row_number").to_pylist()]
    assert found == [n for n in range(1, ROWS + 1) if n % 7 == 0]


def cast_file(file: Counting) -> BinaryIO:
    return file  # type: ignore[return-value]  # io's classes and typing's protocols differ
