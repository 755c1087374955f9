"""Rows of a dump as delivered, of any format: what every source gives.

Belongs here: what sources have in common. Does not belong here: a format (`csv_source`, `parquet_source`,
`json_source`), and the contract's columns. Whatever comes later works on `RawBatch`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from claims_pipeline.feeds.sidecars import Promise


@dataclass(frozen=True)
class RaggedRow:
    """A row that has not the shape of a row: other fields than the header, or no object of JSON.

    Attributes:
        number: ordinal of the data row, from 1.
        line: the row as delivered; bytes that are no UTF-8 are lone surrogates (Python's surrogateescape).
    """

    number: int
    line: str


LineOf = Callable[[int], int | None]
"""Ordinal of a data row -> the line of the file, from 1, on which it begins; None where the format has no lines."""


def no_lines(number: int) -> None:
    """The `LineOf` of formats without lines."""


@dataclass(frozen=True)
class RawBatch:
    """Consecutive rows as delivered.

    Attributes:
        columns: one array per delivered column, of whatever type the file holds. Bytes stand for UTF-8 text.
        numbers: ordinal of each row among the data rows, from 1, header and blank lines not counted.
        ragged: the ragged rows among them; not part of `columns`.
        line_of: lines of the batch's rows, ragged ones included. Worked out when it is first asked: only for rejects.
    """

    columns: list[pa.Array]
    numbers: npt.NDArray[np.int64]
    ragged: list[RaggedRow]
    line_of: LineOf = no_lines


class Source(Protocol):
    """One pass over a dump. Everything may raise BadDump with the rule dump.unreadable.

    Attributes:
        header: delivered column names, in order; empty when the dump is empty.
        types: physical type of each column in a word; empty where a format has none.
        trailer: what the dump itself promises of its rows, known when all are read; None where it promises nothing.
    """

    header: tuple[str, ...]
    types: tuple[str, ...]
    trailer: Promise | None

    def batches(self) -> Iterator[RawBatch]:
        """The data rows, in order."""
