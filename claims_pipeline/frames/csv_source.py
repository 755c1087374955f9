"""Reading CSV: bytes -> header and batches of text columns with exact row numbers.

Belongs here: compression, encoding of the stream, CSV, ragged rows. Does not belong here: the contract's types. This is
the only module that knows the file format: whatever comes later works on `RawBatch`.

Every byte of a value arrives as one character (Latin-1 as a carrier, see `cast.decode`): one byte that is no UTF-8 then
spoils one value instead of a block of rows, and pyarrow can hand over a ragged row whatever it holds (its row handler
decodes the row as UTF-8 and fails on any other).
"""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv

from claims_pipeline.errors import BadDump
from claims_pipeline.feeds.contract import CsvDialect

_MAX_HEADER = 1 << 20
_MAX_PENDING = 64 << 20  # bytes of ragged rows held before the dump is given up: it is not what its header says
_BOMB_BYTES = 256 << 20  # a gzip stream that is larger than this
_BOMB_RATIO = 200  # and than so many times its compressed size is no CSV (text packs 3 to 30 times)
_BOMS = ((b"\xff\xfe", "UTF-16 or UTF-32"), (b"\xfe\xff", "UTF-16"), (b"\x00\x00\xfe\xff", "UTF-32"))


class RowTooLong(Exception):  # noqa: N818 - not an error yet: the reader is started again with larger blocks
    """A row does not fit into a block."""


@dataclass(frozen=True)
class RaggedRow:
    """A row with another number of fields than the header.

    Attributes:
        number: ordinal of the data row, from 1.
        line: the row as delivered, one character per byte.
    """

    number: int
    line: str


@dataclass(frozen=True)
class RawBatch:
    """Rows as delivered.

    Attributes:
        columns: one array of text per delivered column, one character per byte; NULL as the dialect says.
        numbers: ordinal of each row among the data rows, from 1, header and blank lines not counted.
        ragged: ragged rows met so far and not yet handed over; not part of `columns`.
    """

    columns: list[pa.Array]
    numbers: npt.NDArray[np.int64]
    ragged: list[RaggedRow]


class CsvSource:
    """One pass over a CSV dump.

    Attributes:
        header: delivered column names; empty when the dump is empty (no bytes, or blank lines only).
    """

    def __init__(
        self,
        source: BinaryIO,
        *,
        compression: Literal["gzip"] | None,
        dialect: CsvDialect,
        block_bytes: int,
        blocks_per_batch: int = 1,
    ) -> None:
        """Read the header.

        Args:
            source: the dump's bytes.
            compression: "gzip", or None.
            dialect: how the CSV is written.
            block_bytes: the longest row that can be read. pyarrow reads up to 32 blocks ahead.
            blocks_per_batch: how many blocks make a batch.

        Raises:
            BadDump: dump.unreadable.
        """
        self._bytes = _Bytes(source, compression, dialect.quote.encode())
        self._dialect = dialect
        self._block_bytes = block_bytes
        self._blocks_per_batch = blocks_per_batch
        self.header = self._read_header()

    def batches(self) -> Iterator[RawBatch]:
        """The data rows, some blocks at a time. The last batch may hold ragged rows only.

        Raises:
            BadDump: dump.unreadable.
            RowTooLong: a row is longer than a block; nothing can be said about rows that were not handed over.
        """
        pending: list[RaggedRow] = []
        pending_bytes = 0

        def on_ragged(row: pyarrow.csv.InvalidRow) -> str:
            nonlocal pending_bytes
            pending_bytes += len(row.text)
            pending.append(RaggedRow(row.number, row.text))
            return "error" if pending_bytes > _MAX_PENDING else "skip"

        next_number = 1
        for columns in self._blocks(on_ragged):
            rows = len(columns[0])
            numbers = _numbers(next_number, rows, [row.number for row in pending])
            if rows:
                next_number = int(numbers[-1]) + 1
            # pyarrow reads ahead: ragged rows further on shape the numbers of the next block, and stay pending.
            done = 0
            while done < len(pending) and pending[done].number <= next_number:
                next_number = max(next_number, pending[done].number + 1)
                done += 1
            ragged = pending[:done]
            del pending[:done]
            pending_bytes -= sum(len(row.line) for row in ragged)
            yield RawBatch(columns, numbers, ragged)
        if self._bytes.quotes % 2:
            # pyarrow takes everything behind such a quote, to the end of the dump, for one value.
            raise BadDump(
                "dump.unreadable", "the number of quotes is odd: a quoted value is not closed, the dump may be cut off"
            )
        if pending:
            empty = pa.array([], pa.string())
            yield RawBatch([empty] * len(self.header), np.empty(0, np.int64), pending)

    def _blocks(self, on_ragged: object) -> Iterator[list[pa.Array]]:
        """The blocks as pyarrow reads them, its errors turned into ours (pyarrow's quote the row)."""
        if not self.header or not self._bytes.more():
            return
        names = [str(i) for i in range(len(self.header))]  # delivered names may occur twice
        problem = ""
        try:
            reader = pyarrow.csv.open_csv(
                pa.PythonFile(self._bytes, mode="r"),
                # With threads pyarrow does not number ragged rows.
                read_options=pyarrow.csv.ReadOptions(
                    use_threads=False, block_size=self._block_bytes, column_names=names, encoding="latin-1"
                ),
                parse_options=pyarrow.csv.ParseOptions(
                    delimiter=self._dialect.delimiter,
                    quote_char=self._dialect.quote,
                    newlines_in_values=True,
                    invalid_row_handler=on_ragged,
                ),
                convert_options=pyarrow.csv.ConvertOptions(
                    check_utf8=False,
                    column_types=dict.fromkeys(names, pa.string()),
                    null_values=list(self._dialect.nulls),
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            )
            while blocks := list(itertools.islice(reader, self._blocks_per_batch)):
                yield pa.concat_batches(blocks).columns
        except pa.ArrowInvalid as error:
            text = str(error)
            if "Empty CSV file" in text:
                return  # blank lines only
            problem = "straddling" if "straddling object" in text else "rows that do not fit the header, or no CSV"
        if problem == "straddling":
            raise RowTooLong
        if problem:
            raise BadDump("dump.unreadable", problem)

    def _read_header(self) -> tuple[str, ...]:
        """Take the first record that is not a blank line off the stream."""
        head = self._bytes.peek(4)
        if bom := next((name for bom, name in _BOMS if head.startswith(bom)), None):
            raise BadDump("dump.unreadable", f"the dump is written in {bom}, not in UTF-8")
        if head.startswith(b"\xef\xbb\xbf"):
            self._bytes.read(3)
        line = b""
        while not line.strip(b"\r\n"):
            line = self._bytes.record()
            if not line:
                return ()
        if b"\0" in line:
            raise BadDump("dump.unreadable", "the header holds NUL bytes: no CSV")
        try:
            text = line.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            text = None
        if text is None:
            raise BadDump("dump.unreadable", "the header is not UTF-8")
        lines = io.StringIO(text, newline="")
        try:
            (names,) = csv.reader(lines, delimiter=self._dialect.delimiter, quotechar=self._dialect.quote, strict=True)
        except (csv.Error, ValueError):
            names = None
        if names is None:
            raise BadDump("dump.unreadable", "the header is no CSV record")
        return tuple(names)


def _numbers(first: int, rows: int, ragged: list[int]) -> npt.NDArray[np.int64]:
    """The ordinals of the next `rows` well-formed rows from ordinal `first` on, passing over the ragged ones."""
    numbers = np.arange(first, first + rows + len(ragged), dtype=np.int64)
    if ragged:
        numbers = numbers[~np.isin(numbers, np.array(ragged, np.int64))]
    return numbers[:rows]


class _Bytes(io.RawIOBase):
    """The dump's bytes, decompressed, with look-ahead. Trouble with the compression becomes BadDump."""

    def __init__(self, source: BinaryIO, compression: Literal["gzip"] | None, quote: bytes) -> None:
        self._counted = _Counted(source)
        self._source = gzip.GzipFile(fileobj=self._counted, mode="rb") if compression == "gzip" else self._counted
        self._compressed = compression is not None
        self._ahead = b""
        self._given = 0
        self._quote = quote
        self.quotes = 0  # met so far

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            size = _MAX_HEADER
        if self._ahead:
            part, self._ahead = self._ahead[:size], self._ahead[size:]
            return part
        return self._pull(size)

    def peek(self, size: int) -> bytes:
        """The next bytes, without taking them; fewer than `size` only at the end."""
        while len(self._ahead) < size and (part := self._pull(size - len(self._ahead))):
            self._ahead += part
        return self._ahead[:size]

    def more(self) -> bool:
        """Whether any byte is left."""
        return bool(self.peek(1))

    def record(self) -> bytes:
        """Take the next record, its line end included; empty at the end of the stream."""
        size = 1 << 14
        while True:
            text = self.peek(size)
            at_end = len(text) < size
            end = _record_end(text, self._quote, at_end=at_end)
            if end is None and at_end:
                end = len(text)
            if end is not None:
                return self.read(end)
            size *= 4
            if size > _MAX_HEADER:
                raise BadDump("dump.unreadable", f"no header within the first {_MAX_HEADER} bytes: no CSV")

    def _pull(self, size: int) -> bytes:
        problem = ""
        part = b""
        try:
            part = self._source.read(size)
        except EOFError:
            problem = "the gzip stream is cut off"
        except (gzip.BadGzipFile, zlib.error):
            problem = "the gzip stream is damaged, or the dump is not compressed with gzip"
        if problem:
            raise BadDump("dump.unreadable", problem)
        self._given += len(part)
        self.quotes += part.count(self._quote)
        if self._compressed and self._given > max(_BOMB_BYTES, _BOMB_RATIO * self._counted.count):
            raise BadDump("dump.unreadable", f"the gzip stream unpacks to more than {_BOMB_RATIO} times its size")
        return part


class _Counted:
    """A source that knows how many bytes it gave."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self.count = 0

    def read(self, size: int = -1, /) -> bytes:
        part = self._source.read(size)
        self.count += len(part)
        return part

    def seek(self, *_: int) -> int:
        raise io.UnsupportedOperation


def _record_end(text: bytes, quote: bytes, *, at_end: bool) -> int | None:
    """Where the first record of `text` ends, behind its line end; None when it does not."""
    quoted = False
    for i in range(len(text)):
        byte = text[i : i + 1]
        if byte == quote:
            quoted = not quoted
        elif not quoted and byte == b"\n":
            return i + 1
        elif not quoted and byte == b"\r" and (i + 1 < len(text) or at_end):
            return i + 2 if text[i + 1 : i + 2] == b"\n" else i + 1
    return None
