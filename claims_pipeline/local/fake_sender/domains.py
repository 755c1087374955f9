"""Sets of values that can be indexed: value number i of a column, for whole arrays of i at once.

Belongs here: the sets, and how small ones make large ones. Does not belong here: which set a column has
(`proposals`), or which value a row gets (`invented`).

A key takes value e for row e, so different rows have different keys; every other column takes a drawn index. One
notion serves both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow
import pyarrow.compute as pc

from claims_pipeline.local.fake_sender.dice import Ints

LARGEST = 1 << 62  # sizes above are cut to it: indices stay whole 64-bit numbers
_MERGED = 1000  # neighbours with so few combinations become one list of words: one lookup instead of two


@dataclass(frozen=True)
class Domain:
    """A set of values.

    Attributes:
        size: how many indices there are.
        at: the values of indices 0 .. size - 1, as an Arrow array of the column's type.
        words: all of them, where they are few texts.
    """

    size: int
    at: Callable[[Ints], pyarrow.Array]
    words: tuple[str, ...] | None = None


def listed(values: pyarrow.Array) -> Domain:
    """The values of an array."""
    return Domain(len(values), lambda index: values.take(pyarrow.array(index)))


def words(texts: Sequence[str]) -> Domain:
    """A few texts."""
    values = pyarrow.array(list(texts), pyarrow.string())
    return Domain(len(texts), lambda index: values.take(pyarrow.array(index)), tuple(texts))


def whole(low: int, high: int, arrow: pyarrow.DataType) -> Domain:
    """The whole numbers low .. high as an integer type, a date (days) or a time stamp (its unit), since 1970."""
    size = min(high - low + 1, LARGEST)
    return Domain(size, lambda index: pyarrow.array(index + low).cast(_carrier(arrow)).cast(arrow))


def decimals(low: int, high: int, arrow: pyarrow.Decimal128Type) -> Domain:
    """The decimals low .. high, counted in units of the last digit."""

    def at(index: Ints) -> pyarrow.Array:
        # A 128-bit two's complement number, low word first.
        halves = np.empty((len(index), 2), dtype=np.int64)
        halves[:, 0] = index + low
        halves[:, 1] = halves[:, 0] >> 63
        return pyarrow.Array.from_buffers(arrow, len(index), [None, pyarrow.py_buffer(halves)])

    return Domain(high - low + 1, at)


def in_a_row(parts: Sequence[Domain]) -> Domain:
    """Texts put together of one text from each part; the last part changes fastest."""
    merged: list[Domain] = []
    for part in parts:
        before = merged[-1].words if merged else None
        if before is not None and part.words is not None and len(before) * len(part.words) <= _MERGED:
            merged[-1] = words([first + second for first in before for second in part.words])
        else:
            merged.append(part)
    if not merged:
        return words([""])
    if len(merged) == 1:
        return merged[0]

    def at(index: Ints) -> pyarrow.Array:
        pieces = []
        for part in reversed(merged):
            index, place = np.divmod(index, part.size)
            pieces.append(part.at(place))
        return pc.binary_join_element_wise(*reversed(pieces), "")

    return Domain(min(math.prod(part.size for part in merged), LARGEST), at)


def either(options: Sequence[Domain], *, distinct: bool) -> Domain:
    """The texts of several sets, each set met equally often.

    Args:
        options: the sets.
        distinct: no text for two indices (given that the sets share none); else small sets are repeated.
    """
    if len(options) == 1:
        return options[0]
    if all(option.words is not None for option in options):
        texts = [text for option in options for text in option.words or ()]
        if len(texts) <= _MERGED:
            return words(texts)
    sizes = [option.size for option in options]
    each = min(sizes) if distinct else max(sizes)

    def at(index: Ints) -> pyarrow.Array:
        inner, which = np.divmod(index, len(options))
        out = pyarrow.nulls(len(index), pyarrow.string())
        for number, option in enumerate(options):
            mask = which == number
            out = pc.replace_with_mask(out, pyarrow.array(mask), option.at(inner[mask] % option.size))
        return out

    return Domain(min(each * len(options), LARGEST), at)


def _carrier(arrow: pyarrow.DataType) -> pyarrow.DataType:
    return pyarrow.int32() if pyarrow.types.is_date32(arrow) else pyarrow.int64()
