r"""Reading JSON Lines: bytes -> header and batches of text columns.

Belongs here: lines and JSON. Does not belong here: the contract.

JSON Lines have no header, so a dump is read twice: first for its keys, then for its values. A number comes as its
text, without an exponent or trailing zeros and exact to the last digit; a list or an object as JSON text. A line that
is no object, or names a key twice, is ragged. NaN, which Python and pandas may write, is NULL.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation

import numpy as np

from claims_pipeline.errors import BadDump
from claims_pipeline.feeds.sidecars import Promise
from claims_pipeline.frames.physical import as_array
from claims_pipeline.frames.raw import RaggedRow, RawBatch
from claims_pipeline.frames.stream import Watched
from claims_pipeline.frames.text_stream import Line, TextStream, lines_of

MAX_KEYS = 2000  # more is no table: keys are data then
_PLAIN_DIGITS = 40  # numbers of more digits stay as they are written; no column holds them


class JsonSource:
    """One pass over a dump of JSON Lines.

    Attributes:
        header: all keys, in the order of their first occurrence; empty when there is no line.
        types: none.
        trailer: none.
    """

    types: tuple[str, ...] = ()
    trailer: Promise | None = None

    def __init__(self, file: Watched, *, batch_bytes: int) -> None:
        """Read the keys.

        Args:
            file: the dump; seekable.
            batch_bytes: bytes handled at once. A batch is larger only when one line is.

        Raises:
            BadDump: dump.unreadable.
        """
        self._file = file
        self._batch_bytes = batch_bytes
        keys: dict[str, None] = {}
        some = False
        for lines in self._lines():
            some = True
            for _, line in lines:
                keys.update(dict.fromkeys(_object(line) or ()))
            if len(keys) > MAX_KEYS:
                raise BadDump("dump.unreadable", f"the lines have more than {MAX_KEYS} different keys")
        if some and not keys:
            raise BadDump("dump.unreadable", "no line is an object of JSON with a key")
        self.header = tuple(keys)

    def batches(self) -> Iterator[RawBatch]:
        """The rows.

        Raises:
            BadDump: dump.unreadable.
        """
        first = 1
        for lines in self._lines():
            rows: list[dict[str, object]] = []
            numbers: list[int] = []
            ragged: list[RaggedRow] = []
            places: dict[int, int] = {}
            for number, (place, line) in enumerate(lines, first):
                places[number] = place
                row = _object(line)
                if row is None:
                    ragged.append(RaggedRow(number, line))
                else:
                    rows.append(row)
                    numbers.append(number)
            first += len(lines)
            columns = [as_array([_text(row.get(key)) for row in rows]) for key in self.header]
            yield RawBatch(columns, np.array(numbers, np.int64), ragged, places.get)

    def _lines(self) -> Iterator[list[Line]]:
        """All lines that are not blank, some at a time."""
        self._file.seek(0)
        return lines_of(TextStream(self._file), self._batch_bytes)


class _Number(float):
    """A number that remembers how it was written."""

    def __new__(cls, text: str) -> _Number:
        number = super().__new__(cls, text)
        number.text = text
        return number

    text: str


def _object(line: str) -> dict[str, object] | None:
    try:
        value = _DECODER.decode(line)
    except (ValueError, RecursionError):  # the second: nested deeper than Python reads
        return None
    return value if isinstance(value, dict) else None


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, _Number):
        return _plain(value.text)
    return str(value) if isinstance(value, int) else json.dumps(value, ensure_ascii=False)


def _plain(text: str) -> str:
    """Digits of a number: 12.50 is 12.5, 1.2e3 is 1200, 7.0 is 7."""
    try:
        number = Decimal(text)
    except InvalidOperation:  # an exponent beyond reason
        return text
    if not number:
        return "0"
    if max(len(number.as_tuple().digits), abs(number.adjusted())) > _PLAIN_DIGITS:
        return text
    digits = format(number, "f")
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


_DECODER = json.JSONDecoder(
    object_pairs_hook=_without_repeats,
    parse_float=_Number,
    parse_constant=lambda word: None if word == "NaN" else word,
)
