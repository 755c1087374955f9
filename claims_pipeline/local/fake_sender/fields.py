"""Text at the speed of arrays: digits, hexadecimals, dates and times rendered for whole columns at once.

Belongs here: turning numpy numbers into Arrow columns of bytes. Does not belong here: how CSV
quotes them (`dialect`) or what they mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow
import pyarrow.compute as pc

from claims_pipeline.local.fake_sender.dice import Ints, Mask, Words

Glyphs: TypeAlias = npt.NDArray[np.uint8]  # one row of bytes per value, shape (rows, width)
Column: TypeAlias = pyarrow.Array  # of pyarrow.binary()

DAY_SECONDS = 86_400
SECOND = 1_000_000  # times are whole microseconds since 1970-01-01 UTC
DAY = DAY_SECONDS * SECOND

_FIRST_DATE, _LAST_DATE = "1880-01-01", "2120-01-01"  # what the fake sender can date


def _two_digits() -> npt.NDArray[np.uint16]:
    return np.frombuffer("".join(f"{i:02d}" for i in range(100)).encode(), dtype=np.uint16)


def _two_hex() -> npt.NDArray[np.uint16]:
    return np.frombuffer("".join(f"{i:02x}" for i in range(256)).encode(), dtype=np.uint16)


_PAIRS = _two_digits()
_HEX = _two_hex()


def digits(values: Ints, width: int) -> Glyphs:
    """The last `width` decimal digits of non-negative numbers, zero-padded."""
    pairs = (width + 1) // 2
    out = np.empty((len(values), pairs), dtype=np.uint16)
    rest = values
    for place in range(pairs - 1, -1, -1):
        rest, pair = np.divmod(rest, 100)
        out[:, place] = _PAIRS[pair]
    glyphs = out.view(np.uint8)
    return glyphs[:, 1:] if width % 2 else glyphs


def hexes(bits: Words) -> Glyphs:
    """16 lower-case hexadecimal digits per value."""
    octets = bits.astype(">u8").view(np.uint8).reshape(len(bits), 8)
    return _HEX[octets].view(np.uint8)


@cache
def _dates() -> tuple[int, Glyphs]:
    days = np.arange(np.datetime64(_FIRST_DATE), np.datetime64(_LAST_DATE))
    text = np.datetime_as_string(days).astype("S10")
    return int(days[0].astype(np.int64)), text.view(np.uint8).reshape(len(days), 10)


@cache
def _clock() -> Glyphs:
    hour, rest = np.divmod(np.arange(DAY_SECONDS, dtype=np.int64), 3600)
    minute, second = np.divmod(rest, 60)
    colon = np.full((DAY_SECONDS, 1), ord(":"), dtype=np.uint8)
    return np.hstack([digits(hour, 2), colon, digits(minute, 2), colon, digits(second, 2)])


def dates(days: Ints) -> Glyphs:
    """YYYY-MM-DD of days since 1970-01-01."""
    first, text = _dates()
    return text[days - first]


def clock(seconds: Ints) -> Glyphs:
    """HH:MM:SS of seconds since midnight."""
    return _clock()[seconds]


def fixed(*parts: bytes | Glyphs, null: Mask | None = None) -> Column:
    """Columns of bytes side by side, as one Arrow column; at least one part is an array.

    Args:
        *parts: constants and glyphs, in order.
        null: rows that are NULL.
    """
    rows = next(len(part) for part in parts if not isinstance(part, bytes))
    widths = [len(part) if isinstance(part, bytes) else part.shape[1] for part in parts]
    out = np.empty((rows, sum(widths)), dtype=np.uint8)
    start = 0
    for part, width in zip(parts, widths, strict=True):
        out[:, start : start + width] = np.frombuffer(part, dtype=np.uint8) if isinstance(part, bytes) else part
        start += width
    offsets = np.arange(rows + 1, dtype=np.int32) * np.int32(out.shape[1])
    valid = None if null is None else pyarrow.py_buffer(np.packbits(~null, bitorder="little"))
    buffers = [valid, pyarrow.py_buffer(offsets), pyarrow.py_buffer(out)]
    return pyarrow.Array.from_buffers(pyarrow.binary(), rows, buffers)


def uuids(high: Words, low: Words, null: Mask | None = None) -> Column:
    """Dashed version 4 UUIDs of 2 x 64 bits."""
    high = (high & np.uint64(0xFFFFFFFFFFFF0FFF)) | np.uint64(0x4000)
    low = (low & np.uint64(0x3FFFFFFFFFFFFFFF)) | np.uint64(0x8000000000000000)
    h, w = hexes(high), hexes(low)
    return fixed(h[:, :8], b"-", h[:, 8:12], b"-", h[:, 12:], b"-", w[:, :4], b"-", w[:, 4:], null=null)


def numbers(values: Ints, null: Mask | None = None) -> Column:
    """Decimal text of whole numbers."""
    return pyarrow.array(values, mask=null).cast(pyarrow.string()).cast(pyarrow.binary())


def taken(words: Sequence[bytes], index: Ints, null: Mask | None = None) -> Column:
    """`words[i]` for each index."""
    return pyarrow.array(list(words), pyarrow.binary()).take(pyarrow.array(index, mask=null))


def joined(*parts: bytes | Column) -> Column:
    """Columns and constants put together row by row; NULL where a part is NULL."""
    pieces = [pyarrow.scalar(part, pyarrow.binary()) if isinstance(part, bytes) else part for part in parts]
    return pc.binary_join_element_wise(*pieces, pyarrow.scalar(b"", pyarrow.binary()))


def chosen(mask: Mask, yes: Column | bytes, no: Column | bytes) -> Column:
    """`yes` where the mask holds, else `no`."""
    pick = [pyarrow.scalar(part, pyarrow.binary()) if isinstance(part, bytes) else part for part in (yes, no)]
    return pc.if_else(pyarrow.array(mask), *pick)


def patched(column: Column, rows: Ints, values: Sequence[bytes | None]) -> Column:
    """The column with other values in some rows (ascending row indices)."""
    mask = np.zeros(len(column), dtype=np.bool_)
    mask[rows] = True
    return pc.replace_with_mask(column, pyarrow.array(mask), pyarrow.array(list(values), pyarrow.binary()))


def as_ints(values: Sequence[int]) -> Ints:
    """A few numbers as an array."""
    return np.array(values, dtype=np.int64)


def nothing(rows: int) -> Column:
    """A column of NULLs."""
    return pyarrow.nulls(rows, pyarrow.binary())
