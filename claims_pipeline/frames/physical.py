"""Values as a file holds them, of whatever type -> canonical text, or at once the contract's type where that is exact.

Belongs here: physical types (Parquet lets them differ from file to file). Does not belong here: text -> types (`cast`),
where everything goes that has no exact way of its own.

Canonical text: integers in digits; floats and decimals in digits without an exponent or trailing zeros, integral ones
without a point; true and false; YYYY-MM-DD; YYYY-MM-DD HH:MM:SS[.ffffff], with Z where the type says that it is UTC;
lists and structs as JSON. NaN is NULL: it is how pandas writes a missing number. Bad are infinities, floats of 2^53 and
more (2^24 in single precision), since neighbours are rounded to one number there, and years outside 1 to 9999.
"""

from __future__ import annotations

import json
import uuid
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from claims_pipeline.frames.clock import to_days, to_microseconds, utc_of, within_years
from claims_pipeline.frames.masks import Casted, either, mask_of, null_where, split

_NOISE = 1e-4  # of the last digit: sums and products of doubles stay far below it, another digit far above
_EXACT_BELOW = {16: 1 << 11, 32: 1 << 24, 64: 1 << 53}  # by bits of a float


def unwrapped(values: pa.Array) -> pa.Array:
    """The values without dictionary, extension, view or large offsets: text is string, bytes are binary."""
    kind, kinds = values.type, pa.types
    if isinstance(kind, pa.BaseExtensionType):
        stored = values.storage
        return _uuids(stored) if kind.extension_name == "arrow.uuid" else unwrapped(stored)
    if kinds.is_dictionary(kind):
        return unwrapped(values.dictionary_decode())
    if kinds.is_run_end_encoded(kind):
        return unwrapped(pc.run_end_decode(values))
    if kinds.is_binary(kind) or kinds.is_large_binary(kind) or kinds.is_binary_view(kind):
        return pc.cast(values, pa.binary())
    if kinds.is_fixed_size_binary(kind):
        return pc.cast(values, pa.binary())
    if kinds.is_large_string(kind) or kinds.is_string_view(kind):
        return pc.cast(pc.cast(values, pa.large_binary()), pa.binary())
    return values


def is_text(kind: pa.DataType) -> bool:
    """Whether values of a type, unwrapped, are text (binary is taken for UTF-8)."""
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind))


def canonical_text(values: pa.Array) -> Casted:
    """Unwrapped values as text; bad where there is none that says the value."""
    kind, kinds = values.type, pa.types
    if is_text(kind):
        return _utf8(values)
    if kinds.is_null(kind):
        return pa.nulls(len(values), pa.string()), None
    if kinds.is_floating(kind):
        return _float_text(values)
    if kinds.is_decimal(kind):
        return _decimal_text(values), None
    if kinds.is_timestamp(kind):
        moments, bad = to_microseconds(values)
        text = pc.replace_substring_regex(pc.cast(moments, pa.string()), r"\.0{6}", "")
        return pc.replace_substring_regex(text, r"(\.[0-9]*[1-9])0+", r"\1"), bad
    if kinds.is_date(kind):
        days, bad = _dates(values)
        return pc.cast(days, pa.string()), bad
    if kinds.is_boolean(kind) or kinds.is_integer(kind) or kinds.is_time(kind) or kinds.is_duration(kind):
        return pc.cast(values, pa.string()), None
    return _json_text(values)


def direct(values: pa.Array, arrow: pa.DataType, *, timezone: str) -> Casted | None:
    """Unwrapped values in the contract's type, where that needs no text; None where it does.

    Args:
        values: not text.
        arrow: the contract's type.
        timezone: IANA zone of naive time stamps.
    """
    kind, kinds = values.type, pa.types
    result: Casted | None = None
    if kinds.is_null(kind):
        result = pa.nulls(len(values), arrow), None
    elif kinds.is_integer(arrow):
        result = _integers(values, arrow)
    elif kinds.is_boolean(arrow) and kinds.is_boolean(kind):
        result = values, None
    elif kinds.is_date(arrow) and kinds.is_date(kind):
        result = _dates(values)
    elif kinds.is_date(arrow) and kinds.is_timestamp(kind):
        result = to_days(values, timezone)
    elif kinds.is_timestamp(arrow) and (kinds.is_timestamp(kind) or kinds.is_date(kind)):
        result = _moments(values, timezone)
    elif kinds.is_decimal(arrow) and kinds.is_decimal(kind):
        try:
            result = pc.cast(values, arrow), None
        except pa.ArrowInvalid:  # one value does not fit: the text says which
            return None
    elif kinds.is_decimal(arrow) and kinds.is_floating(kind):
        result = _decimals(values, arrow)
    return result


def _decimals(values: pa.Array, arrow: pa.DataType) -> Casted | None:
    """Floats as decimals: what arithmetic in floats leaves behind is rounded away, a real further digit is bad.

    None where one is too long for the type: its text says which.
    """
    numbers = pc.cast(values, pa.float64())
    scaled = pc.multiply(numbers, 10.0**arrow.scale)
    whole = pc.round(scaled)
    near = pc.and_(
        pc.less_equal(pc.abs(pc.subtract(scaled, whole)), _NOISE), pc.less(pc.abs(scaled), float(_EXACT_BELOW[64]))
    )
    missing = pc.is_nan(numbers)
    bad = mask_of(pc.and_not(pc.invert(near), pc.or_kleene(missing, pc.is_null(numbers))))
    units = null_where(whole, pc.or_kleene(missing, pc.invert(near)))
    try:
        exact = pc.cast(pc.cast(units, pa.int64()), pa.decimal128(19, 0))
        return pc.cast(
            pc.multiply(exact, pa.scalar(Decimal(1).scaleb(-arrow.scale))), arrow
        ), bad if bad.any() else None
    except pa.ArrowInvalid:
        return None


def delivered_texts(values: pa.Array) -> list[str | None]:
    """Values in words that lose as little as can be, for a sealed row; bytes that are no UTF-8 are lone surrogates."""
    plain = unwrapped(values)
    if is_text(plain.type):
        raw = pc.cast(plain, pa.binary()).to_pylist()
        return [None if value is None else value.decode("utf-8", "surrogateescape") for value in raw]
    text, bad = canonical_text(plain)
    texts: list[str | None] = text.to_pylist()
    for i in np.flatnonzero(bad) if bad is not None else ():
        texts[i] = _roughly(plain.slice(int(i), 1))
    return texts


def as_array(texts: list[str | None]) -> pa.Array:
    """Texts as an array: of strings, or of bytes where a lone surrogate is among them, which no string can hold."""
    try:
        return pa.array(texts, pa.string())
    except (UnicodeEncodeError, pa.ArrowInvalid):
        return pa.array([None if text is None else _bytes(text) for text in texts], pa.binary())


def type_name(kind: pa.DataType) -> str:
    """A type in a word or two. Names within a struct are not told: they may be a map's keys, which are data."""
    if isinstance(kind, pa.BaseExtensionType):
        return str(kind.extension_name)
    if pa.types.is_dictionary(kind):
        return type_name(kind.value_type)
    if pa.types.is_nested(kind):
        return next((name for name in ("struct", "map", "list") if name in str(kind).partition("<")[0]), "nested")
    return str(kind)


def _roughly(value: pa.Array) -> str:
    try:
        return str(pc.cast(value, pa.string())[0].as_py())
    except (pa.ArrowException, ValueError):
        return f"(a {type_name(value.type)} that cannot be written)"


def _bytes(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")  # bytes of the dump that were no UTF-8
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")  # "\ud800" written out in JSON


def _utf8(values: pa.Array) -> Casted:
    raw = pc.cast(values, pa.binary())
    try:
        return pc.cast(raw, pa.string()), None
    except pa.ArrowInvalid:
        pass
    bad = np.zeros(len(raw), np.bool_)
    texts: list[str | None] = []
    for i, value in enumerate(raw.to_pylist()):
        try:
            texts.append(None if value is None else value.decode())
        except UnicodeDecodeError:
            texts.append(None)
            bad[i] = True
    return pa.array(texts, pa.string()), bad


def _uuids(stored: pa.Array) -> pa.Array:
    return pa.array([None if value is None else str(uuid.UUID(bytes=value)) for value in stored.to_pylist()])


def _exact_floats(values: pa.Array) -> Casted:
    """Floats in double precision, NaN as NULL; bad where a neighbour may be meant."""
    doubles = pc.cast(values, pa.float64())
    doubles = null_where(doubles, pc.is_nan(doubles))
    return split(doubles, pc.greater_equal(pc.abs(doubles), float(_EXACT_BELOW[values.type.bit_width])))


def _float_text(values: pa.Array) -> Casted:
    doubles, bad = _exact_floats(values)
    integral = pc.equal(pc.trunc(doubles), doubles)
    whole = pc.cast(pc.cast(pc.if_else(integral, doubles, None), pa.int64()), pa.string())
    # The shortest text of a float in its own precision: 0.1 in single is 0.10000000149 in double precision.
    broken = pc.cast(pc.cast(pc.if_else(integral, None, doubles), values.type), pa.string())
    return pc.coalesce(whole, _without_exponent(broken)), bad


def _decimal_text(values: pa.Array) -> pa.Array:
    text = _without_exponent(pc.cast(values, pa.string()))
    return pc.replace_substring_regex(text, r"(\.[0-9]*[1-9])0+$|\.0*$", r"\1")


def _without_exponent(text: pa.Array) -> pa.Array:
    short = mask_of(pc.match_substring(text, "e", ignore_case=True))
    if not short.any():
        return text
    texts = text.to_pylist()
    for i in np.flatnonzero(short):
        texts[i] = format(Decimal(texts[i]), "f")
    return pa.array(texts, pa.string())


def _json_text(values: pa.Array) -> Casted:
    bad = np.zeros(len(values), np.bool_)
    texts: list[str | None] = []
    for i, value in enumerate(values):
        text = None
        try:
            plain = value.as_py()
            text = None if plain is None else json.dumps(plain, ensure_ascii=False, default=str)
        except (ValueError, TypeError, OverflowError):  # no UTF-8, two fields of one name, a time beyond the calendar
            bad[i] = True
        texts.append(text)
    return pa.array(texts, pa.string()), bad if bad.any() else None


def _integers(values: pa.Array, arrow: pa.DataType) -> Casted | None:
    bad = None
    if pa.types.is_floating(values.type):
        doubles, bad = _exact_floats(values)
        values, broken = split(doubles, pc.not_equal(pc.trunc(doubles), doubles))
        bad = either(bad, broken)
    elif not pa.types.is_integer(values.type) or pa.types.is_uint64(values.type):
        return None
    longs = pc.cast(values, pa.int64())
    if arrow == pa.int64():
        return longs, bad
    limit = 1 << (arrow.bit_width - 1)
    longs, outside = split(longs, pc.or_(pc.less(longs, -limit), pc.greater_equal(longs, limit)))
    return pc.cast(longs, arrow), either(bad, outside)


def _dates(values: pa.Array) -> Casted:
    if pa.types.is_date64(values.type):  # milliseconds, by declaration of whole days
        return to_days(pc.cast(pc.cast(values, pa.int64()), pa.timestamp("ms")), "UTC")
    since = pc.cast(values, pa.int32())
    return split(values, pc.or_(pc.less(since, -719_162), pc.greater(since, 2_932_896)))  # years 1 to 9999


def _moments(values: pa.Array, timezone: str) -> Casted:
    bad = None
    if pa.types.is_date(values.type):
        values, bad = _dates(values)
        values = pc.cast(values, pa.timestamp("us"))
    stamps, outside = to_microseconds(values)
    moments, late = within_years(stamps if stamps.type.tz else utc_of(stamps, timezone))
    return moments, either(either(bad, outside), late)
