"""Casts against oracles in plain Python: what is castable, and to what."""

from __future__ import annotations

import calendar
import datetime as dt
import json
import re
import unicodedata
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from claims_pipeline.feeds.contract import Column
from claims_pipeline.frames import cast
from claims_pipeline.frames.masks import Casted
from claims_pipeline.frames.physical import canonical_text

from .samples import VISITS, relaxed

COLUMNS = {column.name: column for column in VISITS.columns}
AUCKLAND = "Pacific/Auckland"
BAD = "bad"  # what an oracle says of a text that is not castable


def one(result: Casted) -> list[Any]:
    """Values, with BAD where the cast said so; bad places must be NULL."""
    values, bad = result
    found: list[Any] = values.to_pylist()
    if bad is None:
        return found
    assert bad.any()
    assert all(value is None for value, is_bad in zip(found, bad, strict=True) if is_bad)
    return [BAD if is_bad else value for value, is_bad in zip(found, bad, strict=True)]


def agrees(function: Callable[[pa.Array], Casted], oracle: Callable[[str], Any], texts: list[str | None]) -> None:
    """The cast of an array and the oracle's word on each text are the same."""
    expected = [None if text is None else oracle(text) for text in texts]
    assert one(function(pa.array(texts, pa.string()))) == expected
    sliced = pa.array(["pad", *texts, "pad"], pa.string()).slice(1, len(texts))
    assert one(function(sliced)) == expected


def some(*kinds: st.SearchStrategy[str]) -> st.SearchStrategy[list[str | None]]:
    return st.lists(st.one_of(st.none(), *kinds), max_size=12)


digits = st.text("0123456789", max_size=4)
noise = st.text(st.sampled_from(list("0123456789-+.eE:TZ tf/\u0663\n")), max_size=12)
edges = st.sampled_from([str(s * (1 << b) + d) for b in (15, 31, 63) for s in (1, -1) for d in (-1, 0, 1)])


def padded(number: str) -> str:
    """The number with leading zeros."""
    return number.replace("-", "-000") if "-" in number else f"00{number}"


def integer_oracle(bits: int) -> Callable[[str], Any]:
    def oracle(text: str) -> Any:
        if not re.fullmatch(r"-?[0-9]+", text):
            return BAD
        value = int(text)
        return value if -(1 << bits - 1) <= value < 1 << bits - 1 else BAD

    return oracle


@relaxed
@given(some(noise, edges, st.integers().map(str), edges.map(padded)),
       st.sampled_from([16, 32, 64]))  # fmt: skip
@example(["600130094.0"], 64)
@example(["0" * 40 + "7", "9" * 60, "-0"], 64)
def test_integers_are_digits_within_range(texts: list[str | None], bits: int) -> None:
    arrow = {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}[bits]
    agrees(lambda text: cast.to_integer(text, arrow), integer_oracle(bits), texts)


@relaxed
@given(some(st.sampled_from(["t", "F", "TRUE", "false", "1", "0", "yes", "", "tt", "10", "nan"])))
def test_booleans_are_six_words(texts: list[str | None]) -> None:
    words = {"t": True, "true": True, "1": True, "f": False, "false": False, "0": False}
    agrees(cast.to_boolean, lambda text: words.get(text.lower(), BAD), texts)


def date_oracle(text: str) -> Any:
    match = re.fullmatch(r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[ T]00:00:00(?:\.0{1,9})?)?", text)
    if match is None:
        return BAD
    try:
        return dt.date(*map(int, match.groups()))
    except ValueError:
        return BAD


day_like = st.tuples(
    st.one_of(st.integers(0, 9999), st.sampled_from([0, 1, 1900, 1904, 2000, 2023, 2024, 2100, 9999])),
    st.integers(0, 13), st.integers(0, 32),
).map(lambda p: f"{p[0]:04d}-{p[1]:02d}-{p[2]:02d}")  # fmt: skip


@relaxed
@given(some(day_like, noise, st.dates().map(str)))
@example(["2023-02-29", "2024-02-29", "2023-02-31", "0000-01-01", "0000-02-29", "2020-XX-01", "20200101", "2020-1-1"])
@example(
    [
        "2020-01-01 00:00:00",
        "2020-01-01T00:00:00.000",
        "2020-01-01 00:00:01",
        "2020-01-01\n",
        "1900-02-29",
        "2000-02-29",
        "0004-02-29",
        "9999-12-31",
    ]
)
def test_dates_are_days_of_the_calendar(texts: list[str | None]) -> None:
    agrees(cast.to_date, date_oracle, texts)


def test_every_february_of_400_years_ends_when_the_calendar_says() -> None:
    texts = [f"{year:04d}-02-{day}" for year in range(1, 402) for day in (28, 29)]
    found = one(cast.to_date(pa.array(texts)))
    assert [f != BAD for f in found] == [day == 28 or calendar.isleap(y) for y in range(1, 402) for day in (28, 29)]


def timestamp_oracle(text: str) -> Any:
    match = re.fullmatch(
        r"([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,6}))?( UTC|Z|[+-][0-9:]+)?",
        text,
    )
    if match is None or date_oracle(match[1]) == BAD:
        return BAD
    try:
        time = dt.time(int(match[2]), int(match[3]), int(match[4]), int((match[5] or "").ljust(6, "0")))
        naive = dt.datetime.combine(date_oracle(match[1]), time)
        zone = match[6]
        if zone is None:
            return naive.replace(tzinfo=ZoneInfo(AUCKLAND)).astimezone(dt.UTC)
        if zone in {" UTC", "Z"}:
            return naive.replace(tzinfo=dt.UTC)
        offset = re.fullmatch(r"([+-])([01][0-9]|2[0-3]):?([0-5][0-9])?", zone)
        if offset is None or zone.endswith(":"):
            return BAD
        minutes = int(offset[2]) * 60 + int(offset[3] or 0)
        return (naive - dt.timedelta(minutes=minutes if offset[1] == "+" else -minutes)).replace(tzinfo=dt.UTC)
    except (ValueError, OverflowError):
        return BAD


zones = st.sampled_from(
    ["", " UTC", "Z", "+00:00", "-05:00", "+0000", "+1345", "-03", "+24:00", "+05:60", "z", " +00:00"]
)
moment_like = st.tuples(
    st.one_of(day_like, st.dates().map(str)),
    st.sampled_from([" ", "T", "  ", ""]),
    st.times(),
    st.sampled_from([0, 1, 3, 6]),
    zones,
).map(lambda p: f"{p[0]}{p[1]}{p[2]:%H:%M:%S}{'.' + f'{p[2]:%f}'[: p[3]] if p[3] else ''}{p[4]}")


def certain(text: str | None) -> bool:
    """Not within a change of clocks or before standard time, where Arrow and zoneinfo settle by other rules."""
    expected = None if text is None else timestamp_oracle(text)
    if not isinstance(expected, dt.datetime):
        return True
    local = expected.astimezone(ZoneInfo(AUCKLAND)) if 1950 < expected.year < 2037 else None
    return local is not None and local.fold == 0 and not 1 <= local.hour <= 4


@relaxed
@given(some(moment_like, noise).map(lambda texts: [t for t in texts if certain(t)]))
@example(["2020-06-03 17:47:50 UTC", "2024-09-03 17:47:50.123456", "2015-08-28T19:53:45+00:00"])
@example(["2021-08-01T10:00:00Z", "2021-08-01T10:00:00.123Z", "2021-08-01 10:00:00-05:00", None])
@example(
    ["2021-08-01", "2021-08-01 10:00", "2021-08-01 24:00:00Z", "2021-08-01 23:59:60Z", "2021-08-01 10:00:00.1234567Z"]
)
@example(["0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00", "0000-01-01T00:00:00Z"])
def test_time_stamps_in_all_forms_become_utc(texts: list[str | None]) -> None:
    agrees(lambda text: cast.to_timestamp(text, AUCKLAND), timestamp_oracle, texts)


@pytest.mark.parametrize(
    ("local", "utc"),
    [
        ("2026-04-05 02:30:00", dt.datetime(2026, 4, 4, 13, 30, tzinfo=dt.UTC)),  # twice: the first, still summer time
        ("2026-09-27 02:30:00", dt.datetime(2026, 9, 26, 14, 0, tzinfo=dt.UTC)),  # never: the moment of the change
        ("2026-09-27 03:00:00", dt.datetime(2026, 9, 26, 14, 0, tzinfo=dt.UTC)),
        ("2026-07-01 00:00:00", dt.datetime(2026, 6, 30, 12, 0, tzinfo=dt.UTC)),
    ],
)
def test_changes_of_clocks_are_settled_by_rule(local: str, utc: dt.datetime) -> None:
    assert one(cast.to_timestamp(pa.array([local]), AUCKLAND)) == [utc]


def decimal_oracle(text: str) -> Any:
    if not re.fullmatch(r"-?(?:[0-9]{1,10}(?:\.[0-9]+)?|\.[0-9]+)", text):
        return BAD
    value = Decimal(text)
    return value if value == value.quantize(Decimal("0.01")) else BAD


amounts = st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**11), max_value=10**11).map(str)


@relaxed
@given(some(noise, amounts, st.tuples(digits, digits).map(".".join)))
@example([".00", "-.5", "18.500", "18.501", "9999999999.99", "10000000000.00", "1e3", "+1", "5.", ".", "1,000"])
def test_decimals_are_exact(texts: list[str | None]) -> None:
    agrees(lambda text: cast.to_decimal(text, pa.decimal128(12, 2)), decimal_oracle, texts)


@relaxed
@given(some(st.text(st.sampled_from(list("a\0e\u0301\u00e9 \U0001f600\x1f")), max_size=6)))
def test_text_is_composed_and_holds_no_nul(texts: list[str | None]) -> None:
    agrees(cast.to_text, lambda text: BAD if "\0" in text else unicodedata.normalize("NFC", text), texts)


items = st.lists(st.none() | st.text(st.sampled_from(list('a "\\,{}[]\n\u00e9')), max_size=5), max_size=4)


def postgres_array(values: list[str | None]) -> str:
    def quoted(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    return "{" + ",".join("NULL" if value is None else quoted(value) for value in values) + "}"


@relaxed
@given(st.lists(items, max_size=5))
def test_postgres_arrays_come_back(lists: list[list[str | None]]) -> None:
    assert one(cast.to_text_list(pa.array([postgres_array(v) for v in lists], pa.string()))) == lists


@relaxed
@given(st.lists(items, max_size=5))
def test_json_arrays_come_back(lists: list[list[str | None]]) -> None:
    assert one(cast.to_text_list(pa.array([json.dumps(v) for v in lists], pa.string()))) == lists


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{Army,Air Force,NULL}", ["Army", "Air Force", None]),
        ('{ Army , "NULL" , null }', ["Army", "NULL", None]),
        ("{}", []),
        (" []", BAD),  # blanks around are taken off before
        ("{a,}", BAD),
        ("{,a}", BAD),
        ("{a b", BAD),
        ("{{a},{b}}", BAD),
        ('{"a}', BAD),
        ('{"a"b}', BAD),
        ("[1]", BAD),
        ("[0]", BAD),
        ("[[]]", BAD),
        ('["\\u0000"]', BAD),
        ('["\\ud800"]', BAD),
        ("[" * 100_000, BAD),
        ("a,b", BAD),
    ],
)
def test_lists_have_two_forms(text: str, expected: object) -> None:
    assert one(cast.to_text_list(pa.array([text]))) == [expected]


def utf8_oracle(value: bytes | None) -> Any:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return BAD


@relaxed
@given(st.lists(st.none() | st.binary(max_size=5) | st.text(max_size=5).map(str.encode), max_size=8))
@example([b"\xed\xa0\x80", b"\xff", b"\xc3\xa9"])
def test_one_bad_byte_spoils_one_value(values: list[bytes | None]) -> None:
    assert one(canonical_text(pa.array(values, pa.binary()))) == [utf8_oracle(v) for v in values]


def cast_of(name: str, text: str | None) -> tuple[object, list[str]]:
    column: Column = COLUMNS[name]
    result = cast.cast_column(pa.array([text], pa.string()), column, timezone="UTC")
    assert result.values.type == column.arrow
    return result.values[0].as_py(), [kind for kind, _ in result.faults]


@pytest.mark.parametrize("name", ["visit_id", "is_open", "seen_at", "day", "price", "tags", "person", "zip_code"])
@pytest.mark.parametrize("text", ["", " ", "\u00a0\t", None])
def test_a_blank_is_null_where_it_cannot_be_a_value(name: str, text: str | None) -> None:
    assert cast_of(name, text) == (None, [])


def test_a_blank_text_is_a_value() -> None:
    assert cast_of("note", " ") == (" ", [])


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("visit_id", " 12\u00a0", 12),
        ("person", " 123123123 ", "123123123"),
        ("note", " padded ", " padded "),
        ("state", "1", "shut"),
        ("state", " 0 ", "open"),
        ("state", "open", "open"),
        ("ward", "007", "007"),
        ("ward", "NA", "NA"),
    ],
)
def test_blanks_and_codes_are_settled_before_the_cast(name: str, text: str, value: object) -> None:
    assert cast_of(name, text) == (value, [])


def test_kinds_of_fault_are_told_apart() -> None:
    assert cast_of("visit_id", "x") == (None, ["cast"])
    assert cast_of("note", "a\0") == (None, ["nul"])
    assert cast.cast_column(pa.array([b"\xff"]), COLUMNS["note"], timezone="UTC").faults[0][0] == "encoding"
