"""The short way of a cast: text in which every value is written in the one plain form of its type.

Belongs here: how to see in a few looks at the whole column that Arrow's own cast says of each value just what `cast`
would. Does not belong here: what is castable. Where anything is odd (a blank around a value, a rare form, one bad
value) nothing is said, and `cast` decides value by value. So both ways agree on every column, which is tested.

Arrow's casts of text are exact and raise for what they do not know. What they take and `cast` refuses is kept from
them: hexadecimal integers, decimals with exponents or nothing behind the point or more zeros than fit, the year 0,
times without seconds.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from claims_pipeline.frames.clock import utc_of, within_years
from claims_pipeline.frames.octets import octets, span, starts

_ODD = 2
_BOOLEANS = np.full(256, _ODD, np.uint8)
_BOOLEANS[list(b"fF0")] = 0
_BOOLEANS[list(b"tT1")] = 1
_FIRST_DAY = -719_162  # since 1970: 0001-01-01
_SECONDS = len("2020-01-01 00:00:00")
_COLONS = (len("2020-01-01 00"), len("2020-01-01 00:00"))


def plain_cast(text: pa.Array, arrow: pa.DataType, *, timezone: str) -> pa.Array | None:
    """The values, NULL where the text is NULL; None where not every text is plain.

    Args:
        text: strings as delivered; what is no UTF-8 is not plain.
        arrow: the contract's type, not text.
        timezone: IANA zone of naive time stamps.
    """
    if text.null_count == len(text):
        return pa.nulls(len(text), arrow)
    kinds = pa.types
    try:
        if kinds.is_integer(arrow):
            return pc.cast(text, arrow) if _is_numeric(text) else None
        if kinds.is_decimal(arrow):
            return pc.cast(text, arrow) if _is_numeric(text) and _is_short(text, arrow) else None
        if kinds.is_date(arrow):
            days = pc.cast(text, arrow)
            return days if pc.min(pc.cast(days, pa.int32())).as_py() >= _FIRST_DAY else None
        if kinds.is_timestamp(arrow):
            return _moments(text, timezone)
        if kinds.is_boolean(arrow):
            return _booleans(text)
    except pa.ArrowInvalid:
        return None
    return None


def is_plain_text(text: pa.Array, *, trims: bool) -> bool:
    """Whether the texts are in ASCII without NUL: composed and valid as they are.

    Args:
        text: strings as delivered.
        trims: whether they must besides hold no blank, and none be empty.
    """
    lowest, highest = span(text)
    if highest > 0x7E or lowest < (0x21 if trims else 0x01):
        return False
    return not trims or pc.min(pc.binary_length(text)).as_py() != 0


def _is_numeric(text: pa.Array) -> bool:
    """Whether the texts hold digits, "-", "." and "/" only; the last is none that Arrow takes for anything."""
    lowest, highest = span(text)
    return lowest >= ord("-") and highest <= ord("9")


def _is_short(text: pa.Array, arrow: pa.DataType) -> bool:
    """Whether no decimal can have so many zeros that `cast` refuses it, and none ends with its point."""
    pad = max(0, min(8, (38 - arrow.precision) // 2))
    longest = min(1 + arrow.scale + pad, arrow.precision - arrow.scale + pad)
    return pc.max(pc.binary_length(text)).as_py() <= longest and not pc.any(pc.ends_with(text, ".")).as_py()


def _moments(text: pa.Array, timezone: str) -> pa.Array | None:
    if pc.min(pc.binary_length(text)).as_py() < _SECONDS:
        return None
    if _is_naive(pc.drop_null(text).slice(0, 1)):
        moments = utc_of(pc.cast(text, pa.timestamp("us")), timezone)
    else:
        begins = starts(text)[:-1]
        if text.null_count:
            begins = begins[pc.is_valid(text).to_numpy(zero_copy_only=False)]
        data = np.frombuffer(text.buffers()[2], np.uint8)
        if any((data[begins + place] != ord(":")).any() for place in _COLONS):
            return None
        moments = pc.cast(text, pa.timestamp("us", "UTC"))
    moments, outside = within_years(moments)
    return moments if outside is None else None


def _is_naive(first: pa.Array) -> bool:
    """Whether a time stamp has no zone. Asked of one: a cast of all that fails takes thirty times as long."""
    try:
        pc.cast(first, pa.timestamp("us"))
    except pa.ArrowInvalid:
        return False
    return True


def _booleans(text: pa.Array) -> pa.Array | None:
    data = octets(text)
    if len(data) != len(text) - text.null_count or pc.min(pc.binary_length(text)).as_py() != 1:
        return None  # not one byte each
    said = _BOOLEANS[data]
    if said.max() == _ODD:
        return None
    if text.null_count == 0:
        return pa.array(said.view(np.bool_))
    valid = pc.is_valid(text).to_numpy(zero_copy_only=False)
    values = np.zeros(len(text), np.bool_)
    values[valid] = said
    return pa.array(values, mask=~valid)
