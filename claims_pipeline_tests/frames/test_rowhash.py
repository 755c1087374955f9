"""The row hash: equal for equal rows, different for different ones, and the same next year."""

from __future__ import annotations

import datetime as dt
import hashlib
from decimal import Decimal

import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from claims_pipeline.frames.rowhash import row_hashes

from .samples import relaxed

text = st.none() | st.text(st.sampled_from(list("ab\x10\x1e\x1f_^P@0")), max_size=3)
lists = st.none() | st.lists(text, max_size=3)
Row = tuple[str | None, str | None, list[str | None] | None, int | None]
TYPES = (pa.string(), pa.string(), pa.list_(pa.string()), pa.int32())


def hashes(rows: list[Row]) -> list[bytes]:
    columns = [pa.array([row[i] for row in rows], kind) for i, kind in enumerate(TYPES)]
    found: list[bytes] = row_hashes(columns).to_pylist()
    return found


@relaxed
@given(st.lists(st.tuples(text, text, lists, st.none() | st.integers(0, 12)), min_size=1, max_size=30))
@example([("a", "bc", None, 1), ("ab", "c", None, 1), ("", None, None, 1), (None, "", None, 1)])
@example([("a", None, [], 1), ("a", None, [""], 1), ("a", None, [None], 1), ("a", None, None, 1)])
@example([("a\x1fb", "c", ["a\x1eb"], 1), ("a", "b\x1fc", ["a", "b"], 1), ("a\x10_b", "c", None, 1)])
def test_rows_have_one_hash_exactly_when_they_are_equal(rows: list[Row]) -> None:
    found = hashes(rows)
    assert len(set(found)) == len({repr(row) for row in rows})
    assert found == [h for row in rows for h in hashes([row])]


def test_the_canonical_bytes_are_as_declared() -> None:
    columns = [
        pa.array(["a\x1f"]),
        pa.array([None], pa.string()),
        pa.array([-5], pa.int64()),
        pa.array([True]),
        pa.array([Decimal("1.50")], pa.decimal128(12, 2)),
        pa.array([dt.date(2024, 2, 29)]),
        pa.array([dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=dt.UTC)], pa.timestamp("us", "UTC")),
        pa.array([["x", None, "\x1e"]]),
    ]
    fields = (
        b"a\x10\x5f", b"\0", b"-5", b"true", b"1.50", b"2024-02-29", b"1000000", b"3\x1ex\x1e\0\x1e\x10\x5e",
    )  # fmt: skip
    assert row_hashes(columns).to_pylist() == [hashlib.blake2b(b"\x1f".join(fields), digest_size=16).digest()]


def test_a_slice_hashes_like_the_whole() -> None:
    column = pa.array([["a"], None, ["b", "c"], []], pa.list_(pa.string()))
    assert row_hashes([column.slice(1, 2)]).to_pylist() == row_hashes([column]).to_pylist()[1:3]


def test_a_mark_in_one_row_is_escaped_in_that_row_only() -> None:
    rows = [b"plain", b"a\x10\x5fb", b"a\nb"]
    expected = [hashlib.blake2b(row, digest_size=16).digest() for row in rows]
    assert row_hashes([pa.array(["plain", "a\x1fb", "a\nb"])]).to_pylist() == expected
