"""Reading CSV: bytes -> header and batches of text columns with exact row numbers.

Belongs here: CSV, ragged rows. Does not belong here: compression (`stream`), encodings (`text_stream`), the contract's
types.

One byte that is no UTF-8 must spoil one value, not a block of rows, and pyarrow must hand over a ragged row whatever
it holds (its row handler decodes the row as UTF-8 and fails on any other). So a block that is not UTF-8 throughout is
carried through pyarrow as Latin-1, one character per byte, and its values are given as bytes.

pyarrow's streaming reader is not used: it reads 32 blocks ahead, fails on rows longer than a block, and when it is
given up early its destructor waits, holding the interpreter's lock, for a thread that needs the lock to go on.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import re
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from claims_pipeline.errors import BadDump
from claims_pipeline.feeds.contract import Csv
from claims_pipeline.feeds.sidecars import Promise, Trailer, total_of
from claims_pipeline.frames.csv_records import (
    Text,
    first_end,
    last_end,
    line_ends,
    lines_of_records,
    structural_quotes,
)
from claims_pipeline.frames.raw import LineOf, RaggedRow, RawBatch
from claims_pipeline.frames.stream import Compression, Stream
from claims_pipeline.frames.text_stream import TextStream

MAX_ROW = 64 << 20  # bytes; the longest row that is read
_MAX_HEADER = 1 << 20
_SOMETHING = re.compile(rb"[^\r\n]")


class CsvSource:
    """One pass over a CSV dump.

    Attributes:
        header: delivered column names; empty when the dump is empty (no bytes, or blank lines only).
        types: none.
        trailer: what the trailer row promises, of feeds that have one; known when all rows are read.
    """

    types: tuple[str, ...] = ()
    trailer: Promise | None = None

    def __init__(
        self,
        source: BinaryIO,
        *,
        compression: Compression | None,
        dialect: Csv,
        batch_bytes: int,
    ) -> None:
        """Read the header.

        Args:
            source: the dump's bytes; need not be seekable.
            compression: of the whole file, or None.
            dialect: how the CSV is written.
            batch_bytes: uncompressed bytes read at once. A batch is larger only when one row is.

        Raises:
            BadDump: dump.unreadable.
        """
        self._stream = TextStream(
            Stream(source, compression), encoding=dialect.encoding, quote=dialect.quote, escape=dialect.escape
        )
        self._dialect = dialect
        self._batch_bytes = batch_bytes
        self._held = b""
        self._line = 1  # of the file, on which the text held begins
        self.header = self._read_header()

    def batches(self) -> Iterator[RawBatch]:
        """The data rows.

        Raises:
            BadDump: dump.unreadable.
        """
        first = 1
        trailer = self._dialect.trailer
        for records in self._without_trailer(trailer) if trailer else self._records():
            if _SOMETHING.search(records):
                batch = self._parse(records, first)
                first += len(batch.numbers) + len(batch.ragged)
                yield batch
            self._line += line_ends(records)

    def _records(self) -> Iterator[Text]:
        """The bytes behind the header, cut between records."""
        quote, delimiter = self._dialect.quote.encode(), self._dialect.delimiter.encode()
        while part := self._stream.read(self._batch_bytes):
            held = self._held + part if self._held else part
            end = last_end(held, quote=quote, delimiter=delimiter)
            self._held = held[end:]
            if end:
                yield memoryview(held)[:end]
            elif len(held) > MAX_ROW:
                raise BadDump(
                    "dump.unreadable", f"a row is longer than {MAX_ROW} bytes: a quoted value is not closed, or no CSV"
                )
        if len(self._quotes(self._held)) % 2:
            raise BadDump(
                "dump.unreadable", "the dump ends inside a quoted value: it was cut off, or a quote is missing"
            )
        yield self._held

    def _without_trailer(self, trailer: Trailer) -> Iterator[Text]:
        """The records but for the last, which is the trailer row."""
        last = b""
        for records in self._records():
            if _SOMETHING.search(records):
                yield last
                last = bytes(records)
            else:
                last += records
        text = last.rstrip(b"\r\n")
        start = last_end(text, quote=self._dialect.quote.encode(), delimiter=self._dialect.delimiter.encode())
        self.trailer = self._promise(text[start:], trailer)
        yield text[:start]

    def _promise(self, record: bytes, trailer: Trailer) -> Promise:
        fields = self._fields(record)
        if not fields or fields[0].strip() != trailer.mark:
            raise BadDump("dump.unreadable", "the dump ends without its trailer row: it was cut off")
        try:
            rows = int(self._plain(fields[trailer.rows - 1]))
            totals = {column: total_of(self._plain(fields[place - 1])) for column, place in trailer.totals}
        except (ValueError, IndexError):
            rows = -1
        if rows < 0:  # not raised above: the cause would quote the row
            raise BadDump("dump.unreadable", "the trailer row has not the form that the contract declares")
        return Promise("the trailer row", rows=rows, totals=totals)

    def _plain(self, text: str) -> str:
        thousands, decimal = self._dialect.thousands, self._dialect.decimal
        return (text.replace(thousands, "") if thousands else text).strip().replace(decimal, ".")

    def _parse(self, records: Text, first: int) -> RawBatch:
        """Parse whole records, the first of which is row number `first`."""
        ragged: list[RaggedRow] = []

        def on_ragged(row: pyarrow.csv.InvalidRow) -> str:
            line = row.text if is_utf8 else row.text.encode("latin-1").decode("utf-8", "surrogateescape")
            ragged.append(RaggedRow(first - 1 + row.number, line))
            return "skip"

        is_utf8 = _is_utf8(records)
        carried = records if is_utf8 else bytes(records).decode("latin-1").encode()
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
        columns = [_one_chunk(column) for column in table.columns]
        if not is_utf8:
            columns = [_as_bytes(column) for column in columns]
        return RawBatch(columns, numbers, ragged, self._line_of(records, first, len(numbers) + len(ragged)))

    def _line_of(self, records: Text, first: int, rows: int) -> LineOf:
        begins = self._line

        @functools.cache
        def lines() -> npt.NDArray[np.intp] | None:
            found = lines_of_records(records, self._quotes(records))
            return found if len(found) == rows else None  # rather no line than a wrong one

        def line_of(number: int) -> int | None:
            found = lines()
            return None if found is None else begins + int(found[number - first])

        return line_of

    def _quotes(self, text: Text) -> npt.NDArray[np.intp]:
        return structural_quotes(text, quote=self._dialect.quote.encode(), delimiter=self._dialect.delimiter.encode())

    def _read_header(self) -> tuple[str, ...]:
        """Take the first record that is not a blank line off the stream."""
        text = self._stream.read(1 << 16)
        self._held = text.lstrip(b"\r\n")
        blank = text[: len(text) - len(self._held)]
        at_end = False
        while (end := first_end(self._held, self._quotes(self._held), at_end=at_end)) is None and not at_end:
            if len(self._held) > _MAX_HEADER:
                raise BadDump("dump.unreadable", f"no header within the first {_MAX_HEADER} bytes: no CSV")
            part = self._stream.read(1 << 16)
            text = self._held + part
            self._held = text.lstrip(b"\r\n")
            blank += text[: len(text) - len(self._held)]
            at_end = not part
        line, self._held = self._held[:end], self._held[len(self._held) if end is None else end :]
        self._line += line_ends(blank) + line_ends(line)
        names = self._fields(line)
        if names is None:
            raise BadDump("dump.unreadable", "the header is no CSV record in UTF-8")
        return names

    def _fields(self, line: bytes) -> tuple[str, ...] | None:
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


def _is_utf8(text: Text) -> bool:
    if np.frombuffer(text, np.uint8).max() < 0x80:
        return True
    ends = pa.py_buffer(np.array([0, len(text)], np.int32))
    try:
        # Unlike bytes.decode this makes no wide copy.
        pc.cast(pa.Array.from_buffers(pa.binary(), 1, [None, ends, pa.py_buffer(text)]), pa.string())
    except pa.ArrowInvalid:
        return False
    return True


def _as_bytes(carried: pa.Array) -> pa.Array:
    """The bytes that characters of Latin-1 stand for."""
    if pc.all(pc.string_is_ascii(carried), min_count=0).as_py():
        return carried
    return pa.array([None if text is None else text.encode("latin-1") for text in carried.to_pylist()], pa.binary())
