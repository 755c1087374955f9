"""Text -> typed Arrow arrays, by the contract's types. Nothing is inferred, nothing goes through a float.

Belongs here: decoding, casts, and what counts as castable. Does not belong here: rules on typed values (`validate`) and
treatment of personal data (`treat`).

Every cast takes text and gives (values, bad): values are NULL where the text cannot be cast, `bad` marks those places,
or is None when there are none. A regular expression decides, and what it lets through is a plain Arrow cast: Arrow
raises for the whole array on one bad value, so nothing that it would refuse may reach it.

Declared, where senders differ (feeds.md 1.7):
- A blank is NULL for every type but text, where '' is a value. Identifiers that are tokenised or reduced count as
  non-text here: a blank one is none, and surrounding blanks are no part of it.
- Surrounding blanks (space, tab, line ends, no-break space) are taken off before every cast but that of text.
- A naive time stamp is in the sender's zone. One that occurs twice (clocks go back) is the first of the two; one that
  never occurred (clocks go forward) is the moment of the change.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from claims_pipeline.feeds.contract import Column, Reduce, Token

Mask = npt.NDArray[np.bool_]
Casted = tuple[pa.Array, Mask | None]

_BLANKS = " \t\n\v\f\r\u00a0"
_YEAR = r"(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"  # 0001..9999: what Arrow, Postgres and Python hold
_LEAP = r"(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_DATE = (
    rf"(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    rf"|02-(?:0[1-9]|1[0-9]|2[0-8]))|{_LEAP}-02-29)"
)
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?"
_ZONE = r"(?: UTC|Z|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)"
_FIRST_MICROSECOND = -62_135_596_800_000_000  # 0001-01-01T00:00:00Z
_LAST_MICROSECOND = 253_402_300_799_999_999  # 9999-12-31T23:59:59.999999Z
_BOOLEANS = {"t": True, "true": True, "1": True, "f": False, "false": False, "0": False}
_ARRAY_ITEM = re.compile(r'"((?:[^"\\]|\\.)*)"|([^\s",{}\\](?:[^",{}\\]*[^\s",{}\\])?)', re.DOTALL)


@dataclass(frozen=True)
class CastColumn:
    """A column after its cast.

    Attributes:
        values: typed, NULL where the text could not be cast.
        faults: what was wrong where: ("cast" | "encoding" | "nul", mask) pairs, masks disjoint.
    """

    values: pa.Array
    faults: tuple[tuple[str, Mask], ...]


def cast_column(carried: pa.Array, column: Column, *, timezone: str) -> CastColumn:
    """Cast one column of a batch as its contract says.

    Args:
        carried: text, one character per byte (see `decode`).
        column: the contract's column.
        timezone: IANA zone of naive time stamps.
    """
    faults: list[tuple[str, Mask]] = []

    def note(kind: str, result: Casted) -> pa.Array:
        values, bad = result
        if bad is not None:
            faults.append((kind, bad))
        return values

    text = note("encoding", decode(carried))
    is_text = pa.types.is_string(column.arrow)
    if not is_text or column.facts.codes or isinstance(column.facts.treatment, Token | Reduce):
        trimmed = pc.utf8_trim(text, characters=_BLANKS)
        if column.facts.codes:
            text = _mapped(text, trimmed, dict(column.facts.codes))
            trimmed = text if is_text else pc.utf8_trim(text, characters=_BLANKS)
        if not is_text or isinstance(column.facts.treatment, Token | Reduce):
            text = _null_where(trimmed, pc.equal(trimmed, ""))
    values = note("nul", to_text(text)) if is_text else note("cast", _cast_of(column.arrow, timezone)(text))
    return CastColumn(values, tuple(faults))


def decode(carried: pa.Array) -> Casted:
    """Text from its carrier, whose characters are the bytes of UTF-8."""
    if pc.all(pc.string_is_ascii(carried), min_count=0).as_py():
        return carried, None
    bad = np.zeros(len(carried), np.bool_)
    texts: list[str | None] = carried.to_pylist()
    for i, value in enumerate(texts):
        if value is not None and not value.isascii():
            try:
                texts[i] = value.encode("latin-1").decode("utf-8")
            except UnicodeDecodeError:
                texts[i] = None
                bad[i] = True
    return pa.array(texts, pa.string()), bad if bad.any() else None


def to_text(text: pa.Array) -> Casted:
    """Text in Unicode's composed form (NFC), so that equal words are equal. NUL is bad: Postgres text has none."""
    bad = None
    data = text.buffers()[2]
    if data is not None and b"\0" in data.to_pybytes():  # a hint: the buffer may hold more than the array
        bad = _mask(pc.match_substring(text, "\0"))
        text = _null_where(text, pa.array(bad))
    if not pc.all(pc.string_is_ascii(text), min_count=0).as_py():
        text = pc.utf8_normalize(text, form="NFC")
    return text, bad if bad is not None and bad.any() else None


def to_integer(text: pa.Array, arrow: pa.DataType) -> Casted:
    """Digits with an optional minus, within the type's range. '600130094.0' and '1e3' are no integers."""
    text, bad = _matching(text, r"^-?[0-9]+$")
    if (pc.max(pc.binary_length(text)).as_py() or 0) > 18:
        long = _mask(pc.match_substring_regex(text, r"^-?0*[1-9][0-9]{18,}$"))
        fits = [-(1 << 63) <= int(text[i].as_py()) < 1 << 63 for i in np.flatnonzero(long)]
        long[np.flatnonzero(long)[fits]] = False
        text, bad = _null_where(text, pa.array(long)), _either(bad, long)
    values = pc.cast(text, pa.int64())
    if arrow == pa.int64():
        return values, bad
    limit = 1 << (arrow.bit_width - 1)
    outside = _mask(pc.or_(pc.less(values, -limit), pc.greater_equal(values, limit)))
    return pc.cast(_null_where(values, pa.array(outside)), arrow), _either(bad, outside)


def to_boolean(text: pa.Array) -> Casted:
    """t, f, true, false, 1, 0 in upper or lower case."""
    place = pc.index_in(pc.ascii_lower(text), value_set=pa.array(list(_BOOLEANS)))
    values = pc.take(pa.array(list(_BOOLEANS.values())), place)
    if values.null_count == text.null_count:
        return values, None
    return values, _mask(pc.and_(pc.is_null(values), pc.is_valid(text)))


def to_date(text: pa.Array) -> Casted:
    """YYYY-MM-DD, and a day that the calendar has, years 0001 to 9999."""
    text, bad = _matching(text, rf"^{_DATE}$")
    return pc.cast(text, pa.date32()), bad


def to_timestamp(text: pa.Array, timezone: str) -> Casted:
    """Date, blank or T, time to the second or up to the microsecond, then ' UTC', 'Z', an offset or no zone; to UTC."""
    text, bad = _matching(text, rf"^{_DATE}[ T]{_TIME}{_ZONE}?$")
    zoned = pc.match_substring_regex(text, rf"{_ZONE}$")
    moments = pc.cast(pc.replace_substring(pc.if_else(zoned, text, None), " UTC", "Z"), pa.timestamp("us", "UTC"))
    if not pc.all(zoned, min_count=0).as_py():
        naive = pc.cast(pc.if_else(zoned, None, text), pa.timestamp("us"))
        local = pc.assume_timezone(naive, timezone, ambiguous="earliest", nonexistent="latest")
        moments = pc.coalesce(moments, pc.cast(local, pa.timestamp("us", "UTC")))
    since = pc.cast(moments, pa.int64())
    outside = _mask(pc.or_(pc.less(since, _FIRST_MICROSECOND), pc.greater(since, _LAST_MICROSECOND)))
    return _null_where(moments, pa.array(outside)), _either(bad, outside)


def to_decimal(text: pa.Array, arrow: pa.DataType) -> Casted:
    """Digits with an optional minus and point ('.00' too), exact: more digits than the scale holds must be zeros."""
    whole, scale = arrow.precision - arrow.scale, arrow.scale
    pad = max(0, min(8, (38 - arrow.precision) // 2))  # Arrow reads 38 digits, zeros at both ends included
    point = rf"\.[0-9]{{1,{scale}}}0{{0,{pad}}}" if scale else rf"\.0{{1,{pad or 1}}}"
    pattern = rf"^-?0{{0,{pad}}}(?:[0-9]{{1,{whole}}}(?:{point})?|{point})$"
    text, bad = _matching(text, pattern)
    return pc.cast(text, arrow), bad


def to_text_list(text: pa.Array) -> Casted:
    """A one-dimensional Postgres array ({a,"b c",NULL}) or a JSON array of texts and nulls.

    Lists repeat, so each distinct text is parsed once, in Python.
    """
    encoded = pc.dictionary_encode(text)
    lists = [_parsed_list(value) for value in encoded.dictionary.to_pylist()]
    values = pa.array(lists, pa.list_(pa.string())).take(encoded.indices)
    if values.null_count == text.null_count:
        return values, None
    return values, _mask(pc.and_(pc.is_null(values), pc.is_valid(text)))


def _cast_of(arrow: pa.DataType, timezone: str) -> Callable[[pa.Array], Casted]:
    kinds = pa.types
    if kinds.is_integer(arrow):
        return lambda text: to_integer(text, arrow)
    if kinds.is_boolean(arrow):
        return to_boolean
    if kinds.is_date(arrow):
        return to_date
    if kinds.is_timestamp(arrow):
        return lambda text: to_timestamp(text, timezone)
    if kinds.is_decimal(arrow):
        return lambda text: to_decimal(text, arrow)
    if kinds.is_list(arrow):
        return to_text_list
    raise TypeError(f"no cast from text to {arrow}")


def _mapped(text: pa.Array, trimmed: pa.Array, codes: dict[str, str]) -> pa.Array:
    """The text with the contract's codes replaced; what is no code stays as it is."""
    place = pc.index_in(trimmed, value_set=pa.array(list(codes)))
    return pc.coalesce(pc.take(pa.array(list(codes.values())), place), text)


def _parsed_list(value: str) -> list[str | None] | None:
    """The list that a text writes; None when it writes none."""
    if value.startswith("["):
        return _parsed_json(value)
    if not (value.startswith("{") and value.endswith("}")) or "\0" in value:
        return None
    inner = value[1:-1].strip(_BLANKS)
    found: list[str | None] = []
    at = 0
    while inner:
        match = _ARRAY_ITEM.match(inner, at)
        if match is None:
            return None
        quoted, plain = match.groups()
        if quoted is not None:
            found.append(_composed(re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)))
        else:
            found.append(None if plain.upper() == "NULL" else _composed(plain))
        at = match.end()
        if at == len(inner):
            break
        separator = re.compile(r"\s*,\s*").match(inner, at)
        if separator is None:
            return None
        at = separator.end()
    return found


def _parsed_json(value: str) -> list[str | None] | None:
    try:
        items = json.loads(value)
    except (ValueError, RecursionError):
        return None
    for item in items:
        # JSON can write what Postgres cannot hold: NUL and lone surrogates.
        if item is not None and (not isinstance(item, str) or re.search("[\0\ud800-\udfff]", item)):
            return None
    return [_composed(item) for item in items]


def _composed(item: str | None) -> str | None:
    return None if item is None else unicodedata.normalize("NFC", item)


def _matching(text: pa.Array, pattern: str) -> Casted:
    """The text, NULL where it does not match, and where that was."""
    matches = pc.match_substring_regex(text, pattern)
    if pc.all(matches, min_count=0).as_py():
        return text, None
    return pc.if_else(matches, text, None), _mask(pc.invert(matches))


def _null_where(values: pa.Array, condition: pa.Array) -> pa.Array:
    """The values, NULL where the condition is true."""
    if not pc.any(condition, min_count=0).as_py():
        return values
    return pc.if_else(pc.fill_null(condition, fill_value=False), pa.scalar(None, values.type), values)


def _mask(condition: pa.Array) -> Mask:
    """A condition as a writable mask; NULL counts as false."""
    mask: Mask = pc.fill_null(condition, fill_value=False).to_numpy(zero_copy_only=False)
    return mask if mask.flags.writeable else mask.copy()


def _either(first: Mask | None, second: Mask) -> Mask | None:
    if not second.any():
        return first
    return second if first is None else first | second
