"""Rows of a dump as delivered, of any format: what every source gives.

Belongs here: what sources have in common. Does not belong here: a format (`csv_source`, `parquet_source`,
`json_source`), and the contract's columns. Whatever comes later works on `RawBatch`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa


@dataclass(frozen=True)
class RaggedRow:
    """A row that has not the shape of a row: other fields than the header, or no object of JSON.

    Attributes:
        number: ordinal of the data row, from 1.
        line: the row as delivered; bytes that are no UTF-8 are lone surrogates (Python's surrogateescape).
    """

    number: int
    line: str


@dataclass(frozen=True)
class RawBatch:
    """Consecutive rows as delivered.

    Attributes:
        columns: one array per delivered column, of whatever type the file holds. Bytes stand for UTF-8 text.
        numbers: ordinal of each row among the data rows, from 1, header and blank lines not counted.
        ragged: the ragged rows among them; not part of `columns`.
    """

    columns: list[pa.Array]
    numbers: npt.NDArray[np.int64]
    ragged: list[RaggedRow]


class Source(Protocol):
    """One pass over a dump. Everything may raise BadDump with the rule dump.unreadable.

    Attributes:
        header: delivered column names, in order; empty when the dump is empty.
        types: physical type of each column in a word; empty where a format has none.
    """

    header: tuple[str, ...]
    types: tuple[str, ...]

    def batches(self) -> Iterator[RawBatch]:
        """The data rows, in order."""
