"""Values as delivered -> typed Arrow arrays, by the contract's types. Nothing is inferred, nothing is rounded.

Belongs here: casts of text, and what counts as castable. Does not belong here: what has a type already (`physical`),
rules on typed values (`validate`) and treatment of personal data (`treat`).

Every cast takes text and gives (values, bad): values are NULL where the text cannot be cast, `bad` marks those places,
or is None when there are none. A regular expression decides, and what it lets through is a plain Arrow cast: Arrow
raises for the whole array on one bad value, so nothing that it would refuse may reach it. Columns in which every text
is plain, which is nearly all of them, need none of that (`plain`).

Declared, where senders differ (feeds.md 1.7):
- A blank is NULL for every type but text, where '' is a value. Identifiers that are tokenised or reduced count as
  non-text here: a blank one is none, and surrounding blanks are no part of it.
- Surrounding blanks (space, tab, line ends, no-break space) are taken off before every cast but that of text.
- A naive time stamp is in the sender's zone, see `clock`.
- Sentinels are compared without surrounding blanks, before codes and casts; of numbers and times also by value.
- A date may have midnight behind it: it is how databases without dates write one.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from claims_pipeline.feeds.contract import Column, Reduce, TextFormat, Token
from claims_pipeline.frames.clock import to_microseconds, utc_of, wall_clock, within_years
from claims_pipeline.frames.masks import Casted, Mask, either, mask_of, matching, null_where
from claims_pipeline.frames.octets import span
from claims_pipeline.frames.physical import canonical_text, direct, is_text, unwrapped
from claims_pipeline.frames.plain import is_plain_text, plain_cast
from claims_pipeline.frames.spelling import iso, plain_numbers

ISO = TextFormat()
"""How values are written where a sender declares nothing else, and in Parquet and JSON Lines."""

# The highest byte of characters below U+0300, all of which are composed already: NFC_Quick_Check of UAX #15. That is
# Latin with all its accents.
_COMPOSED = 0xCB
_BLANKS = " \t\n\v\f\r\u00a0"
_YEAR = r"(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"  # 0001..9999: what Arrow, Postgres and Python hold
_LEAP = r"(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_DATE = (
    rf"(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    rf"|02-(?:0[1-9]|1[0-9]|2[0-8]))|{_LEAP}-02-29)"
)
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?"
_ZONE = r"(?: UTC|Z|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)"
_BOOLEANS = {"t": True, "true": True, "1": True, "f": False, "false": False, "0": False}
_ARRAY_ITEM = re.compile(r'"((?:[^"\\]|\\.)*)"|([^\s",{}\\](?:[^",{}\\]*[^\s",{}\\])?)', re.DOTALL)


@dataclass(frozen=True)
class CastColumn:
    """A column after its cast.

    Attributes:
        values: typed, NULL where the text could not be cast.
        faults: what was wrong where: ("cast" | "encoding" | "nul", mask) pairs, masks disjoint.
        local: naive time stamps as delivered, of a column with `local_copy`.
    """

    values: pa.Array
    faults: tuple[tuple[str, Mask], ...]
    local: pa.Array | None = None


def cast_column(values: pa.Array, column: Column, *, timezone: str, written: TextFormat = ISO) -> CastColumn:
    """Cast one column of a batch as its contract says.

    Args:
        values: as delivered, of any type; bytes stand for UTF-8.
        column: the contract's column.
        timezone: IANA zone of naive time stamps.
        written: how the sender writes numbers and days as text.
    """
    faults: list[tuple[str, Mask]] = []

    def note(kind: str, result: Casted) -> pa.Array:
        values, bad = result
        if bad is not None:
            faults.append((kind, bad))
        return values

    values = unwrapped(values)
    plain = _plain(values, column, timezone, written)
    if plain is not None:
        return CastColumn(plain, (), _as_shown(values, plain, timezone) if column.facts.local_copy else None)
    delivered = None if is_text(values.type) or column.facts.codes else direct(values, column.arrow, timezone=timezone)
    if delivered is not None:
        typed = note("cast", delivered)
    elif pa.types.is_list(column.arrow) and _is_list(values.type):
        typed = note("cast", _list_of_texts(values))
    else:
        values = note("encoding" if is_text(values.type) else "cast", canonical_text(values))
        values = _prepared(values, column, written)
        typed = note(*_cast_text(values, column, timezone))
    if column.facts.sentinels:
        typed = null_where(typed, _is_sentinel(typed, column, timezone))
    local = _as_shown(values, typed, timezone) if column.facts.local_copy else None
    return CastColumn(typed, tuple(faults), local)


def _plain(values: pa.Array, column: Column, timezone: str, written: TextFormat) -> pa.Array | None:
    """The typed values where the contract asks for a cast alone, and every text is in its type's plain form."""
    arrow, facts, kinds = column.arrow, column.facts, pa.types
    if not kinds.is_string(values.type) or facts.codes or facts.sentinels:
        return None
    if kinds.is_string(arrow):
        return values if is_plain_text(values, trims=isinstance(facts.treatment, Token | Reduce)) else None
    spelled = (
        (written.decimal, written.thousands) != (".", "")
        if kinds.is_integer(arrow) or kinds.is_decimal(arrow)
        else (kinds.is_date(arrow) and written.dates) or (kinds.is_timestamp(arrow) and written.timestamps)
    )
    return None if spelled else plain_cast(values, arrow, timezone=timezone)


def _prepared(text: pa.Array, column: Column, written: TextFormat) -> pa.Array:
    """Text as the cast of the column's type reads it: blanks, sentinels, codes and the sender's spelling settled."""
    arrow, facts, kinds = column.arrow, column.facts, pa.types
    is_word = kinds.is_string(arrow)
    trims = not is_word or isinstance(facts.treatment, Token | Reduce)
    if trims or facts.codes or facts.sentinels:
        trimmed = pc.utf8_trim(text, characters=_BLANKS)
        if facts.sentinels:
            unknown = pc.is_in(trimmed, value_set=pa.array(facts.sentinels))
            text, trimmed = null_where(text, unknown), null_where(trimmed, unknown)
        if facts.codes:
            text = _mapped(text, trimmed, dict(facts.codes))
            trimmed = text if is_word else pc.utf8_trim(text, characters=_BLANKS)
        if trims:
            text = null_where(trimmed, pc.equal(trimmed, ""))
    if kinds.is_integer(arrow) or kinds.is_decimal(arrow):
        return plain_numbers(text, decimal=written.decimal, thousands=written.thousands)
    if kinds.is_date(arrow) and written.dates:
        return iso(text, written.dates, time=False)
    if kinds.is_timestamp(arrow) and written.timestamps:
        return iso(text, written.timestamps, time=True)
    return text


def _cast_text(text: pa.Array, column: Column, timezone: str) -> tuple[str, Casted]:
    """The kind of fault that a cast of the column finds, and its result."""
    if pa.types.is_string(column.arrow):
        return "nul", to_text(text)
    return "cast", _cast_of(column.arrow, timezone)(text)


def _is_sentinel(typed: pa.Array, column: Column, timezone: str) -> pa.Array:
    """Where a number or a time is one that a sentinel says, however it was written (1900-01-01 00:00:00.000)."""
    spelled = pa.array(column.facts.sentinels)
    if pa.types.is_timestamp(column.arrow):
        spelled = pc.replace_substring_regex(spelled, rf"^({_DATE})$", r"\1 00:00:00")
        known = pa.concat_arrays([to_timestamp(spelled, zone)[0] for zone in (timezone, "UTC")])
    elif pa.types.is_integer(column.arrow) or pa.types.is_decimal(column.arrow) or pa.types.is_date(column.arrow):
        known = _cast_of(column.arrow, timezone)(spelled)[0]
    else:
        return pa.array(np.zeros(len(typed), np.bool_))
    return pc.is_in(typed, value_set=known.drop_null())


def _as_shown(values: pa.Array, moments: pa.Array, timezone: str) -> pa.Array:
    """Time stamps as delivered if they were naive, else what the sender's clocks showed; NULL where the moment is."""
    if is_text(values.type):
        is_naive = pc.and_(pc.is_valid(moments), pc.invert(pc.match_substring_regex(values, rf"{_ZONE}$")))
        naive = pc.cast(pc.if_else(is_naive, values, None), pa.timestamp("us"))
    elif pa.types.is_timestamp(values.type) and not values.type.tz:
        naive = to_microseconds(values)[0]
    else:
        naive = pa.nulls(len(values), pa.timestamp("us"))
    return pc.if_else(pc.is_valid(moments), pc.coalesce(naive, wall_clock(moments, timezone)), None)


def _is_list(kind: pa.DataType) -> bool:
    kinds = pa.types
    return bool(
        kinds.is_list(kind) or kinds.is_large_list(kind) or kinds.is_fixed_size_list(kind) or kinds.is_list_view(kind)
    )


def _list_of_texts(lists: pa.Array) -> Casted:
    """Lists of anything as lists of text; one bad entry spoils its list."""
    lists = pc.cast(lists, pa.list_(lists.type.value_type))
    entries = unwrapped(pc.list_flatten(lists))
    texts, unread = canonical_text(entries)
    texts, nul = to_text(texts)
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    values = pa.ListArray.from_arrays(offsets, texts, mask=pc.is_null(lists))
    wrong = either(unread, nul)
    if wrong is None:
        return values, None
    bad = np.zeros(len(lists), np.bool_)
    bad[pc.list_parent_indices(lists).to_numpy()[wrong]] = True
    return null_where(values, pa.array(bad)), bad


def to_text(text: pa.Array) -> Casted:
    """Text in Unicode's composed form (NFC), so that equal words are equal. NUL is bad: Postgres text has none."""
    bad = None
    lowest, highest = span(text)
    if lowest == 0:
        bad = mask_of(pc.match_substring(text, "\0"))
        text = null_where(text, pa.array(bad))
    if highest > _COMPOSED:
        text = pc.utf8_normalize(text, form="NFC")
    return text, bad if bad is not None and bad.any() else None


def to_integer(text: pa.Array, arrow: pa.DataType) -> Casted:
    """Digits with an optional minus, within the type's range. '600130094.0' and '1e3' are no integers."""
    text, bad = matching(text, r"^-?[0-9]+$")
    if (pc.max(pc.binary_length(text)).as_py() or 0) > 18:
        long = mask_of(pc.match_substring_regex(text, r"^-?0*[1-9][0-9]{18,}$"))
        fits = [-(1 << 63) <= int(text[i].as_py()) < 1 << 63 for i in np.flatnonzero(long)]
        long[np.flatnonzero(long)[fits]] = False
        text, bad = null_where(text, pa.array(long)), either(bad, long)
    values = pc.cast(text, pa.int64())
    if arrow == pa.int64():
        return values, bad
    limit = 1 << (arrow.bit_width - 1)
    outside = mask_of(pc.or_(pc.less(values, -limit), pc.greater_equal(values, limit)))
    return pc.cast(null_where(values, pa.array(outside)), arrow), either(bad, outside)


def to_boolean(text: pa.Array) -> Casted:
    """t, f, true, false, 1, 0 in upper or lower case."""
    place = pc.index_in(pc.ascii_lower(text), value_set=pa.array(list(_BOOLEANS)))
    values = pc.take(pa.array(list(_BOOLEANS.values())), place)
    if values.null_count == text.null_count:
        return values, None
    return values, mask_of(pc.and_(pc.is_null(values), pc.is_valid(text)))


def to_date(text: pa.Array) -> Casted:
    """YYYY-MM-DD, and a day that the calendar has, years 0001 to 9999. Midnight may stand behind it."""
    if not pc.all(pc.equal(pc.binary_length(text), 10), min_count=0).as_py():
        text = pc.replace_substring_regex(text, r"^(.{10})[ T]00:00:00(?:\.0{1,9})?$", r"\1")
    text, bad = matching(text, rf"^{_DATE}$")
    return pc.cast(text, pa.date32()), bad


def to_timestamp(text: pa.Array, timezone: str) -> Casted:
    """Date, blank or T, time to the second or up to the microsecond, then ' UTC', 'Z', an offset or no zone; to UTC."""
    text, bad = matching(text, rf"^{_DATE}[ T]{_TIME}{_ZONE}?$")
    zoned = pc.match_substring_regex(text, rf"{_ZONE}$")
    moments = pc.cast(pc.replace_substring(pc.if_else(zoned, text, None), " UTC", "Z"), pa.timestamp("us", "UTC"))
    if not pc.all(zoned, min_count=0).as_py():
        naive = pc.cast(pc.if_else(zoned, None, text), pa.timestamp("us"))
        moments = pc.coalesce(moments, utc_of(naive, timezone))
    moments, outside = within_years(moments)
    return moments, either(bad, outside)


def to_decimal(text: pa.Array, arrow: pa.DataType) -> Casted:
    """Digits with an optional minus and point ('.00' too), exact: more digits than the scale holds must be zeros."""
    whole, scale = arrow.precision - arrow.scale, arrow.scale
    pad = max(0, min(8, (38 - arrow.precision) // 2))  # Arrow reads 38 digits, zeros at both ends included
    point = rf"\.[0-9]{{1,{scale}}}0{{0,{pad}}}" if scale else rf"\.0{{1,{pad or 1}}}"
    pattern = rf"^-?0{{0,{pad}}}(?:[0-9]{{1,{whole}}}(?:{point})?|{point})$"
    text, bad = matching(text, pattern)
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
    return values, mask_of(pc.and_(pc.is_null(values), pc.is_valid(text)))


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
