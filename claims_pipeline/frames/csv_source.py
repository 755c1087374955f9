"""Reading CSV: bytes -> header and batches of text columns with exact row numbers.

Belongs here: compression, encoding of the stream, CSV, ragged rows. Does not belong here: the contract's types. This is
the only module that knows the file format: whatever comes later works on `RawBatch`.

Every byte of a value arrives as one character (Latin-1 as a carrier, see `cast.decode`): one byte that is no UTF-8 then
spoils one value instead of a block of rows, and pyarrow can hand over a ragged row whatever it holds (its row handler
decodes the row as UTF-8 and fails on any other).

pyarrow's streaming reader is not used: it reads 32 blocks ahead, fails on rows longer than a block, and when it is
given up early its destructor waits, holding the interpreter's lock, for a thread that needs the lock to go on.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
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
from claims_pipeline.frames.csv_records import first_end, last_end, structural_quotes

MAX_ROW = 64 << 20  # bytes; the longest row that is read
_MAX_HEADER = 1 << 20
_BOMB_BYTES = 256 << 20  # a gzip stream that is larger than this
_BOMB_RATIO = 200  # and than so many times its compressed size is no CSV (text packs 3 to 30 times)
_BOM = b"\xef\xbb\xbf"
_OTHER_BOMS = ((b"\xff\xfe", "UTF-16 or UTF-32"), (b"\xfe\xff", "UTF-16"), (b"\x00\x00\xfe\xff", "UTF-32"))


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
    """Consecutive rows as delivered.

    Attributes:
        columns: one array of text per delivered column, one character per byte; NULL as the dialect says.
        numbers: ordinal of each row among the data rows, from 1, header and blank lines not counted.
        ragged: the ragged rows among them; not part of `columns`.
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
        batch_bytes: int,
    ) -> None:
        """Read the header.

        Args:
            source: the dump's bytes; need not be seekable.
            compression: "gzip", or None.
            dialect: how the CSV is written.
            batch_bytes: uncompressed bytes read at once. A batch is larger only when one row is.

        Raises:
            BadDump: dump.unreadable.
        """
        self._stream = _Stream(source, compression)
        self._dialect = dialect
        self._batch_bytes = batch_bytes
        self._held = b""
        self.header = self._read_header()

    def batches(self) -> Iterator[RawBatch]:
        """The data rows.

        Raises:
            BadDump: dump.unreadable.
        """
        first = 1
        for records in self._records():
            batch = self._parse(records, first)
            first += len(batch.numbers) + len(batch.ragged)
            yield batch

    def _records(self) -> Iterator[bytes]:
        """The bytes behind the header, cut between records."""
        while part := self._stream.read(self._batch_bytes):
            self._held += part
            end = last_end(self._held, self._quotes(self._held))
            if end == 0 and len(self._held) > MAX_ROW:
                raise BadDump(
                    "dump.unreadable", f"a row is longer than {MAX_ROW} bytes: a quoted value is not closed, or no CSV"
                )
            records, self._held = self._held[:end], self._held[end:]
            if records.strip(b"\r\n"):
                yield records
        if len(self._quotes(self._held)) % 2:
            raise BadDump(
                "dump.unreadable", "the dump ends inside a quoted value: it was cut off, or a quote is missing"
            )
        if self._held.strip(b"\r\n"):
            yield self._held

    def _parse(self, records: bytes, first: int) -> RawBatch:
        """Parse whole records, the first of which is row number `first`."""
        ragged: list[RaggedRow] = []

        def on_ragged(row: pyarrow.csv.InvalidRow) -> str:
            ragged.append(RaggedRow(first - 1 + row.number, row.text))
            return "skip"

        carried = records if records.isascii() else records.decode("latin-1").encode()
        names = [str(i) for i in range(len(self.header))]  # delivered names may occur twice
        table = None
        with contextlib.suppress(pa.ArrowInvalid):  # its text may quote the row, so it is no cause of ours
            table = pyarrow.csv.read_csv(
                pa.BufferReader(carried),
                # With threads pyarrow does not number ragged rows; with one block no row can span two.
                read_options=pyarrow.csv.ReadOptions(
                    use_threads=False, block_size=len(carried) + 1, column_names=names
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
        if table is None:
            raise BadDump("dump.unreadable", f"no CSV from row {first} on")
        numbers = np.arange(first, first + table.num_rows + len(ragged), dtype=np.int64)
        if ragged:
            numbers = np.delete(numbers, [row.number - first for row in ragged])
        return RawBatch([_one_chunk(column) for column in table.columns], numbers, ragged)

    def _quotes(self, text: bytes) -> npt.NDArray[np.intp]:
        return structural_quotes(text, quote=self._dialect.quote.encode(), delimiter=self._dialect.delimiter.encode())

    def _read_header(self) -> tuple[str, ...]:
        """Take the first record that is not a blank line off the stream."""
        self._held = self._stream.read(1 << 16)
        if bom := next((name for mark, name in _OTHER_BOMS if self._held.startswith(mark)), None):
            raise BadDump("dump.unreadable", f"the dump is written in {bom}, not in UTF-8")
        self._held = self._held.removeprefix(_BOM).lstrip(b"\r\n")
        at_end = False
        while (end := first_end(self._held, self._quotes(self._held), at_end=at_end)) is None and not at_end:
            if len(self._held) > _MAX_HEADER:
                raise BadDump("dump.unreadable", f"no header within the first {_MAX_HEADER} bytes: no CSV")
            part = self._stream.read(1 << 16)
            self._held = (self._held + part).lstrip(b"\r\n")
            at_end = not part
        line, self._held = self._held[:end], self._held[len(self._held) if end is None else end :]
        names = self._header_names(line)
        if names is None:
            raise BadDump("dump.unreadable", "the header is no CSV record in UTF-8")
        return names

    def _header_names(self, line: bytes) -> tuple[str, ...] | None:
        if not line:
            return ()
        try:
            lines = io.StringIO(line.decode("utf-8").rstrip("\r\n"), newline="")
            (names,) = csv.reader(lines, delimiter=self._dialect.delimiter, quotechar=self._dialect.quote, strict=True)
        except (ValueError, csv.Error):
            return None
        return None if "\0" in "".join(names) else tuple(names)


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


class _Stream:
    """The dump's bytes, decompressed. Trouble with the compression becomes BadDump."""

    def __init__(self, source: BinaryIO, compression: Literal["gzip"] | None) -> None:
        self._counted = _Counted(source)
        self._source = gzip.GzipFile(fileobj=self._counted, mode="rb") if compression == "gzip" else self._counted
        self._compressed = compression is not None
        self._given = 0

    def read(self, size: int) -> bytes:
        """The next `size` bytes; fewer only at the end."""
        parts: list[bytes] = []
        while size > 0 and (part := self._read_some(size)):
            parts.append(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _read_some(self, size: int) -> bytes:
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
