"""The values of the benchmarks' data: how each column is made from random-looking bits of an id, vectorised.

Belongs here: columns, their makers and vocabularies. Does not belong here: which rows a dump holds, files (data.py).
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Ints: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"
Bits: TypeAlias = "np.ndarray[Any, np.dtype[np.uint64]]"
Maker: TypeAlias = Callable[[Bits], pa.Array]

COLUMNS = 25
"""Columns of `members`; wider tables have more of the same kinds behind them."""

_DAY = 86_400
_EPOCH_2020 = int(dt.datetime(2020, 1, 1, tzinfo=dt.UTC).timestamp())
_REVISION_DAYS = 400  # a later revision's updated_at is later, whatever the row
_YEARS = 365 * _DAY

STATUSES = ("active", "pending", "suspended", "closed")
CHANNELS = ("web", "branch", "phone", "partner", "mail")
_REGIONS = tuple(
    f"{part} {place}" for part in ("North", "South", "East", "West") for place in ("Hills", "Coast", "Plain")
)
_WORDS = tuple(
    word.strip()
    for word in """
    account, address, after, agreed, asked, balance, before, called, change, client, confirmed, contract, date, details,
    email, follow, form, given, letter, member, moved, new, number, office, old, paid, phone, plan, premium, query,
    received, renewal, reply, request, review, said, sent, signed, spoke, statement, status, told, update, visit, wants,
    waits, week; will, yearly, Zürich, "urgent", café
    """.replace("\n", " ").split(",")
)


def bits_of(ids: Ints, salt: int, revisions: Ints | None) -> Bits:
    """64 random-looking bits per row (splitmix64)."""
    x = ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(salt * 0xD1B54A32D192ED03 & (1 << 64) - 1)
    if revisions is not None:
        x += revisions.astype(np.uint64) * np.uint64(0x8CB92BA72F3D8DD7)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _below(bits: Bits, limit: int) -> Ints:
    below: Ints = (bits % np.uint64(limit)).astype(np.int64)
    return below


def _some_null(array: pa.Array, bits: Bits, percent: int) -> pa.Array:
    null = ((bits >> np.uint64(40)) % np.uint64(100)).astype(np.int64) < percent
    return pc.if_else(pa.array(null), pa.scalar(None, array.type), array)


def _integer(limit: int, arrow: pa.DataType, percent_null: int = 0) -> Maker:
    return lambda bits: _some_null(pa.array(_below(bits, limit)).cast(arrow), bits, percent_null)


def _money(limit: int, percent_null: int = 0) -> Maker:
    def make(bits: Bits) -> pa.Array:
        halves = np.zeros((len(bits), 2), np.int64)  # 128 bits, the low half first
        halves[:, 0] = _below(bits, limit * 100)
        return _some_null(
            pa.Array.from_buffers(pa.decimal128(12, 2), len(bits), [None, pa.py_buffer(halves)]), bits, percent_null
        )

    return make


def _moment(percent_null: int = 0) -> Maker:
    def make(bits: Bits) -> pa.Array:
        seconds = _EPOCH_2020 + _below(bits, 4 * _YEARS)
        return _some_null(pa.array(seconds * 1_000_000).cast(pa.timestamp("us", "UTC")), bits, percent_null)

    return make


def updated_at(created_at: pa.Array, revisions: Ints) -> pa.Array:
    moments = created_at.cast(pa.int64()).to_numpy() + revisions * (_REVISION_DAYS * _DAY * 1_000_000) + 123_456
    return pa.array(moments).cast(pa.timestamp("us", "UTC"))


def _date(bits: Bits) -> pa.Array:
    return pa.array((_EPOCH_2020 // _DAY + _below(bits, 2_000)).astype(np.int32)).cast(pa.date32())


def _boolean(bits: Bits) -> pa.Array:
    return pa.array(_below(bits, 8) > 0)


def _choice(words: Sequence[str], percent_null: int = 0) -> Maker:
    pool = pa.array(words)
    return lambda bits: _some_null(pool.take(pa.array(_below(bits, len(words)))), bits, percent_null)


def _digits(before: str, width: int) -> Maker:
    """Digits of a fixed width behind some letters."""

    def make(bits: Bits) -> pa.Array:
        characters = np.empty((len(bits), len(before) + width), np.uint8)
        characters[:, : len(before)] = np.frombuffer(before.encode(), np.uint8)
        left = _below(bits, 10**width)
        for place in range(width - 1, -1, -1):
            left, digit = np.divmod(left, 10)
            characters[:, len(before) + place] = digit + ord("0")
        return _fixed_width(characters)

    return make


def _uuid(bits: Bits) -> pa.Array:
    """A UUID's text; its second half follows from the first."""
    halves = np.stack([bits, bits_of(bits.astype(np.int64), 4, None)], axis=1)
    nibbles = halves.astype(">u8").view(np.uint8).reshape(len(bits), 16)
    characters = np.full((len(bits), 36), ord("-"), np.uint8)
    hexadecimal = np.frombuffer(b"0123456789abcdef", np.uint8)
    places = [place for place in range(36) if place not in (8, 13, 18, 23)]
    characters[:, places[0::2]] = hexadecimal[nibbles >> 4]
    characters[:, places[1::2]] = hexadecimal[nibbles & 15]
    return _fixed_width(characters)


def _fixed_width(characters: np.ndarray[Any, np.dtype[np.uint8]]) -> pa.Array:
    rows, width = characters.shape
    ends = np.arange(0, (rows + 1) * width, width, dtype=np.int32)
    return pa.StringArray.from_buffers(rows, pa.py_buffer(ends), pa.py_buffer(np.ascontiguousarray(characters)))


@functools.cache
def _sentences() -> pa.Array:
    """4,096 pieces of a note, some with commas, quotes and letters beyond ASCII."""
    bits = bits_of(np.arange(4_096 * 6, dtype=np.int64), 99, None).reshape(4_096, 6)
    return pa.array([" ".join(_WORDS[int(b) % len(_WORDS)] for b in row) for row in bits])


def _note(bits: Bits) -> pa.Array:
    pool = _sentences()
    parts = [pool.take(pa.array(_below(bits >> np.uint64(shift), len(pool)))) for shift in (0, 12)]
    return _some_null(pc.binary_join_element_wise(*parts, " "), bits, 20)


_MEMBERS: tuple[tuple[str, Maker, bool], ...] = (
    ("id", _integer(1, pa.int64()), False),  # replaced by the id itself
    ("person_number", _digits("P", 9), False),
    ("policy_number", _digits("POL-", 12), False),
    ("status", _choice(STATUSES), True),
    ("plan_code", _digits("PL", 4), False),
    ("region", _choice(_REGIONS, 2), False),
    ("channel", _choice(CHANNELS), False),
    ("occupation", _choice(_WORDS, 10), False),
    ("reference", _digits("R-", 8), False),
    ("dependants", _integer(7, pa.int16()), False),
    ("visits", _integer(400, pa.int32()), True),
    ("points", _integer(100_000, pa.int32()), True),
    ("risk_score", _integer(1_000, pa.int32(), 15), False),
    ("premium", _money(2_000), True),
    ("paid", _money(90_000), False),
    ("balance", _money(5_000, 5), True),
    ("created_at", _moment(), False),
    ("enrolled_at", _moment(5), False),
    ("last_seen_at", _moment(10), True),
    ("closed_at", _moment(75), False),
    ("renewal_date", _date, False),
    ("is_active", _boolean, False),
    ("external_id", _uuid, False),
    ("note", _note, True),
    ("updated_at", _moment(), False),  # replaced by created_at and the revision
)
"""Name, how it is made, and whether it differs between revisions of a row."""

_MORE: tuple[tuple[str, Maker], ...] = (
    ("score", _integer(10_000, pa.int32(), 10)),
    ("code", _digits("C", 6)),
    ("amount", _money(10_000, 10)),
    ("seen_at", _moment(30)),
    ("flag", _boolean),
    ("kind", _choice(_REGIONS, 30)),
)
"""Kinds of further columns, in turn."""


def more_names(columns: int) -> list[tuple[str, str]]:
    """(name, kind) of the columns behind those of `members`."""
    kinds = [kind for kind, _ in _MORE]
    return [(f"{kinds[i % len(kinds)]}_{i + 1:03}", kinds[i % len(kinds)]) for i in range(columns - COLUMNS)]


def makers(columns: int) -> tuple[tuple[str, Maker, bool], ...]:
    if columns < COLUMNS:
        raise ValueError(f"a dump has at least the {COLUMNS} columns of members")
    makers = dict(_MORE)
    return (*_MEMBERS, *((name, makers[kind], False) for name, kind in more_names(columns)))
