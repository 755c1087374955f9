"""Reading lines of fields of fixed widths: bytes -> batches of text columns.

Belongs here: cutting lines. Does not belong here: encodings (text_stream), the contract's types. The declared fields
are the header; a line that is longer than they are is ragged.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from claims_pipeline.feeds.contract import FixedWidth
from claims_pipeline.feeds.sidecars import Promise
from claims_pipeline.frames.physical import as_array
from claims_pipeline.frames.raw import RaggedRow, RawBatch
from claims_pipeline.frames.stream import Stream
from claims_pipeline.frames.text_stream import Line, TextStream, lines_of


class FixedSource:
    """One pass over a dump of fixed-width lines.

    Attributes:
        header: the declared fields; empty when the dump has no row.
        types: none.
        trailer: none.
    """

    types: tuple[str, ...] = ()
    trailer: Promise | None = None

    def __init__(self, stream: Stream, *, written: FixedWidth, batch_bytes: int) -> None:
        """Read the first lines.

        Args:
            stream: the dump, unpacked.
            written: its fields and spellings.
            batch_bytes: bytes handled at once. A batch is larger only when one line is.

        Raises:
            BadDump: dump.unreadable.
        """
        self._written = written
        self._lines = _without(
            lines_of(TextStream(stream, encoding=written.encoding), batch_bytes), written.header_lines
        )
        self._first = next(self._lines, None)
        self.header = tuple(name for name, _ in written.fields) if self._first else ()

    def batches(self) -> Iterator[RawBatch]:
        """The rows.

        Raises:
            BadDump: dump.unreadable.
        """
        ends = list(itertools.accumulate(width for _, width in self._written.fields))
        places = list(zip([0, *ends], ends, strict=False))
        nulls = {"", *self._written.nulls}
        first = 1
        for lines in itertools.chain([self._first] if self._first else [], self._lines):
            rows = [(number, line.rstrip()) for number, (_, line) in enumerate(lines, first)]
            places_in_file = {number: place for number, (place, _) in enumerate(lines, first)}
            first += len(lines)
            ragged = [RaggedRow(number, line) for number, line in rows if len(line) > ends[-1]]
            whole = [(number, line) for number, line in rows if len(line) <= ends[-1]]
            columns = [
                as_array([None if (text := line[start:end].strip()) in nulls else text for _, line in whole])
                for start, end in places
            ]
            numbers = np.array([number for number, _ in whole], np.int64)
            yield RawBatch(columns, numbers, ragged, places_in_file.get)


def _without(batches: Iterator[list[Line]], header_lines: int) -> Iterator[list[Line]]:
    for lines in batches:
        rows = lines[header_lines:]
        header_lines = max(0, header_lines - len(lines))
        if rows:
            yield rows
