"""The short way of a cast says what the long way says, value for value, or nothing."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from claims_pipeline.frames.cast import cast_column
from claims_pipeline.frames.plain import is_plain_text, plain_cast

from .samples import VISITS, relaxed

COLUMNS = {column.name: column for column in VISITS.columns}
ODD = "\u00a0"  # a blank that no type keeps, or a character beyond ASCII: a column that holds it goes the long way
AUCKLAND = "Pacific/Auckland"

zeros = st.sampled_from(["", "0", "000", "0" * 20])
signs = st.sampled_from(["", "-"])
digits = st.integers(0, 10**20).map(str)
integers = st.tuples(signs, zeros, digits | st.integers(0, 200).map(str)).map("".join)
decimals = st.tuples(
    signs, st.sampled_from(["", "0", "7", "0012", "1234567890", "0" * 9]), st.sampled_from(["", "."]),
    st.sampled_from(["", "5", "25", "250", "255", "0" * 11]),
).map("".join)  # fmt: skip
days = st.tuples(st.sampled_from([0, 1, 1900, 2000, 2024, 9999]), st.integers(0, 13), st.integers(0, 32)).map(
    lambda p: f"{p[0]:04d}-{p[1]:02d}-{p[2]:02d}"
) | st.dates().map(str)
clocks = st.sampled_from(
    ["", " 10", "T10:30", " 10:30:15", "T23:59:59.5", " 10:30:15.123456", " 24:00:00", " 10:30:60"]
)
zones = st.sampled_from(["", "Z", " UTC", "+00:00", "-05", "+1345", "+24:00", "+5", "+05:60"])
moments = st.tuples(days, clocks, zones).map("".join)
words = st.sampled_from(["t", "f", "T", "F", "1", "0", "true", "x", "tt", ""])
plain_days = st.dates().map(str)
plain_moments = st.tuples(plain_days, st.sampled_from([" 10:30:15.123456", "T10:30:15"])).map("".join)
noise = st.text(st.sampled_from(list("0123456789-+.eE:TZ tfx,/\u0663\0")), max_size=20)

BY_COLUMN = {
    "visit_id": integers, "floor": integers, "room": st.integers(-200, 200).map(str) | integers, "price": decimals,
    "day": days | plain_days, "seen_at": moments | plain_moments, "is_open": words, "person": words, "note": words,
}  # fmt: skip


def cast(name: str, texts: list[str | None], zone: str) -> tuple[pa.Array, list[list[str]]]:
    """The values, and what was wrong with each."""
    found = cast_column(pa.array(texts, pa.string()), COLUMNS[name], timezone=zone)
    return found.values, [[kind for kind, rows in found.faults if rows[i]] for i in range(len(texts))]


@pytest.mark.parametrize("name", BY_COLUMN)
@relaxed
@given(st.data(), st.sampled_from(["UTC", AUCKLAND]))
def test_both_ways_agree(name: str, data: st.DataObject, zone: str) -> None:
    texts = data.draw(st.lists(st.none() | BY_COLUMN[name] | noise, max_size=4))
    values, wrong = cast(name, texts, zone)
    long_values, long_wrong = cast(name, [*texts, ODD], zone)
    assert values.equals(long_values.slice(0, len(texts)))
    assert wrong == long_wrong[:-1]


@pytest.mark.parametrize(("kind", "text"), [
    (pa.timestamp("us", "UTC"), "1900-12-24 11+00:00"),  # as long as one with seconds, with a colon where they begin
    (pa.date32(), "0000-01-01"), (pa.int64(), "0x1F"), (pa.decimal128(12, 2), "5."), (pa.decimal128(12, 2), "1e3"),
])  # fmt: skip
def test_what_arrow_takes_and_the_contract_does_not_is_not_plain(kind: pa.DataType, text: str) -> None:
    assert plain_cast(pa.array([text]), kind, timezone=AUCKLAND) is None


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (pa.int64(), "-12"),
        (pa.int16(), "0012"),
        (pa.decimal128(12, 2), "18.50"),
        (pa.date32(), "2024-02-29"),
        (pa.timestamp("us", "UTC"), "2026-01-02 03:04:05.123456"),
        (pa.timestamp("us", "UTC"), "2026-01-02T03:04:05Z"),
        (pa.bool_(), "t"),
    ],
)
def test_what_senders_mostly_write_goes_the_short_way(kind: pa.DataType, text: str) -> None:
    assert plain_cast(pa.array([None, text]), kind, timezone=AUCKLAND) is not None


@pytest.mark.parametrize(
    ("texts", "kept", "trimmed"),
    [(["a b"], True, False), ([""], True, False), (["ab", None], True, True), (["\u00e9"], False, False),
     (["a\0"], False, False), ([None], True, True), ([], True, True), (["a", ""], True, False)],
)  # fmt: skip
def test_plain_text_needs_neither_composition_nor_trimming(texts: list[str | None], kept: bool, trimmed: bool) -> None:
    array = pa.array(texts, pa.string())
    assert (is_plain_text(array, trims=False), is_plain_text(array, trims=True)) == (kept, trimmed)
