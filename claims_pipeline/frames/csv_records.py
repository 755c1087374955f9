"""Where the records of a CSV text begin and end.

Belongs here: quotes and line ends. Does not belong here: fields, and reading (`csv_source`).

Quotes are understood as pyarrow's parser understands them: one opens a value only where the value begins; inside a
quoted value two are one; anywhere else one is a character like others.

Texts are blocks of some megabytes and are gone through in pieces that stay in the processor's cache: three times as
fast as with arrays as long as the text.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

Positions = npt.NDArray[np.intp]

Text = bytes | memoryview

_LINE_END = re.compile(rb"\r\n|\n|\r")
_PIECE = 1 << 17  # bytes


def structural_quotes(text: Text, *, quote: bytes, delimiter: bytes) -> Positions:
    """Positions of quotes in ascending order, such that behind an odd number of them is inside a quoted value.

    Args:
        text: bytes that begin with a record.
        quote: one byte.
        delimiter: one byte.
    """
    quotes = np.flatnonzero(np.frombuffer(text, np.uint8) == quote[0])
    if _count_of_structural(text, quote=quote, delimiter=delimiter) is not None:
        return quotes
    return _one_by_one(text, quotes, b"\r\n" + delimiter)


def first_end(text: bytes, quotes: Positions, *, at_end: bool) -> int | None:
    """Where the first record ends, behind its line end; None when it does not.

    Args:
        text: bytes that begin with a record.
        quotes: its structural quotes.
        at_end: whether nothing follows the text, so that a last CR cannot be half of a line end.
    """
    start = 0
    while found := _LINE_END.search(text, start):
        before = int(np.searchsorted(quotes, found.start()))
        if before % 2 == 0:
            return found.end() if at_end or found.end() < len(text) or found[0] != b"\r" else None
        if before == len(quotes):
            return None
        start = int(quotes[before]) + 1
    return None


def last_end(text: bytes, *, quote: bytes, delimiter: bytes) -> int:
    """Where the last complete record ends, behind its line end; 0 when none is complete.

    Args:
        text: bytes that begin with a record, and with more to follow.
        quote: one byte.
        delimiter: one byte.
    """
    count = _count_of_structural(text, quote=quote, delimiter=delimiter)
    quotes = None if count is not None else structural_quotes(text, quote=quote, delimiter=delimiter)
    for mark, stop in ((b"\n", len(text)), (b"\r", len(text) - 1)):
        while (found := text.rfind(mark, 0, stop)) >= 0:
            before = (count or 0) - text.count(quote, found) if quotes is None else int(np.searchsorted(quotes, found))
            if before % 2 == 0:
                return found + 1
            stop = text.rfind(quote, 0, found) if quotes is None else int(quotes[before - 1])
    return 0


def line_ends(text: Text) -> int:
    """How many line ends are in a text; CR LF is one."""
    lf = cr = 0
    codes = np.frombuffer(text, np.uint8)
    for start in range(0, len(codes), _PIECE):
        piece = codes[start : start + _PIECE]
        lf += int(np.count_nonzero(piece == 10))
        cr += int(np.count_nonzero(piece == 13))
    return lf + cr - (bytes(text).count(b"\r\n") if cr else 0)


def lines_of_records(text: Text, quotes: Positions) -> Positions:
    """For each record that is not a blank line: how many line ends are before it.

    Args:
        text: bytes that begin with a record.
        quotes: its structural quotes.
    """
    codes = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero((codes == 10) | (codes == 13))
    after_cr = (codes[ends] == 10) & (ends > 0) & (codes[ends - 1] == 13)
    last = np.ones(len(ends), np.bool_)  # of CR LF only the LF
    last[:-1] = ~after_cr[1:]
    ends, width = ends[last], 1 + after_cr[last]
    between = np.searchsorted(quotes, ends) % 2 == 0  # and not inside a quoted value
    starts = np.append(0, ends[between] + 1)
    stops = np.append(ends[between] + 1 - width[between], len(text))
    lines = np.append(0, np.flatnonzero(between) + 1)
    return lines[starts < stops]


def _count_of_structural(text: Text, *, quote: bytes, delimiter: bytes) -> int | None:
    """How many quotes the text has, if all of them are structural; None if one is not, as only odd files have it.

    All are if each opening one begins a value, or goes on after an escape: it has a closing one before it.
    """
    may_precede = np.zeros(256, np.bool_)
    may_precede[list(b"\r\n" + delimiter + quote)] = True
    codes = np.frombuffer(text, np.uint8)
    count = 0
    for start in range(0, len(codes), _PIECE):
        places = np.flatnonzero(codes[start : start + _PIECE] == quote[0])
        before = places[count % 2 :: 2] + (start - 1)
        if start == 0 and len(before) and before[0] < 0:
            before = before[1:]
        if not may_precede[codes[before]].all():
            return None
        count += len(places)
    return count


def _one_by_one(text: Text, quotes: Positions, before_value: bytes) -> Positions:
    structural: list[int] = []
    inside = False
    escape = -1
    places = quotes.tolist()
    following = [*places[1:], -1]
    for place, after in zip(places, following, strict=True):
        if place == escape:
            continue
        if inside and after == place + 1:
            escape = after
        elif inside or place == 0 or text[place - 1] in before_value:
            structural.append(place)
            inside = not inside
    return np.array(structural, np.intp)
