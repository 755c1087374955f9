"""Where the records of a CSV text begin and end.

Belongs here: quotes and line ends. Does not belong here: fields, and reading (`csv_source`).

Quotes are understood as pyarrow's parser understands them: one opens a value only where the value begins; inside a
quoted value two are one; anywhere else one is a character like others.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

Positions = npt.NDArray[np.intp]

_LINE_END = re.compile(rb"\r\n|\n|\r")


def structural_quotes(text: bytes, *, quote: bytes, delimiter: bytes) -> Positions:
    """Positions of quotes in ascending order, such that behind an odd number of them is inside a quoted value.

    Args:
        text: bytes that begin with a record.
        quote: one byte.
        delimiter: one byte.
    """
    codes = np.frombuffer(text, np.uint8)
    quotes = np.flatnonzero(codes == quote[0])
    opening = quotes[0::2]
    # Were every quote structural, each opening one would begin a value, or go on after an escape (a closing one before
    # it). That holds for all but odd files, and is checked at once.
    begins = (opening == 0) | np.isin(codes[opening - 1], np.frombuffer(b"\r\n" + delimiter, np.uint8))
    begins[1:] |= opening[1:] == quotes[1::2][: len(opening) - 1] + 1
    return quotes if begins.all() else _one_by_one(text, quotes, b"\r\n" + delimiter)


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


def last_end(text: bytes, quotes: Positions) -> int:
    """Where the last complete record ends, behind its line end; 0 when none is complete.

    Args:
        text: bytes that begin with a record, and with more to follow.
        quotes: its structural quotes.
    """
    for mark, stop in ((b"\n", len(text)), (b"\r", len(text) - 1)):
        while (found := text.rfind(mark, 0, stop)) >= 0:
            before = int(np.searchsorted(quotes, found))
            if before % 2 == 0:
                return found + 1
            stop = int(quotes[before - 1])
    return 0


def line_ends(text: bytes) -> int:
    """How many line ends are in a text; CR LF is one."""
    ends = text.count(b"\n")
    if b"\r" in text:
        ends += text.count(b"\r") - text.count(b"\r\n")
    return ends


def lines_of_records(text: bytes, quotes: Positions) -> Positions:
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


def _one_by_one(text: bytes, quotes: Positions, before_value: bytes) -> Positions:
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
