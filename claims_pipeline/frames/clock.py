"""Local time and UTC: one rule for every format.

Belongs here: time zones, clock changes, and the years that can be held. Does not belong here: how time stamps are
written (`cast`, `spelling`).

A naive time stamp is in the sender's zone. One that occurs twice (clocks go back) is the first of the two; one that
never occurred (clocks go forward) is the moment of the change.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from claims_pipeline.frames.masks import Casted, either, split

UTC_MICROSECONDS = pa.timestamp("us", "UTC")
_FIRST = -62_135_596_800_000_000  # microseconds; 0001-01-01T00:00:00Z
_LAST = 253_402_300_799_999_999  # 9999-12-31T23:59:59.999999Z: what Arrow, Postgres and Python hold
_PER_MICROSECOND = {"s": 1_000_000, "ms": 1_000, "us": 1}
_DAY = 86_400_000_000


def utc_of(naive: pa.Array, timezone: str) -> pa.Array:
    """The moments of naive time stamps (microseconds) of a zone; a few at either end may be outside the years held."""
    if timezone == "UTC":
        return pc.cast(naive, UTC_MICROSECONDS)  # the same numbers
    local = pc.assume_timezone(naive, timezone, ambiguous="earliest", nonexistent="latest")
    return pc.cast(local, UTC_MICROSECONDS)


def wall_clock(moments: pa.Array, timezone: str) -> pa.Array:
    """What the clocks of a zone showed at moments; naive."""
    return pc.local_timestamp(pc.cast(moments, pa.timestamp("us", timezone)))


def within_years(moments: pa.Array) -> Casted:
    """Time stamps in microseconds, those before year 1 or after year 9999 being bad."""
    since = pc.cast(moments, pa.int64())
    ends = pc.min_max(since).as_py()
    if ends["min"] is None or _FIRST <= ends["min"] <= ends["max"] <= _LAST:
        return moments, None
    return split(moments, pc.or_(pc.less(since, _FIRST), pc.greater(since, _LAST)))


def to_microseconds(values: pa.Array) -> Casted:
    """Time stamps of any unit in microseconds, their zone kept. What is finer is cut off."""
    zone = values.type.tz
    bad = None
    if factor := _PER_MICROSECOND.get(values.type.unit):  # nanoseconds reach from 1677 to 2262 only
        since = pc.cast(values, pa.int64())
        values, bad = split(values, pc.or_(pc.less(since, -(-_FIRST // factor)), pc.greater(since, _LAST // factor)))
    return pc.cast(values, pa.timestamp("us", "UTC" if zone else None), safe=False), bad


def to_days(values: pa.Array, timezone: str) -> Casted:
    """Dates of time stamps that stand for days: midnight, by the sender's clock or by UTC. Others are bad."""
    moments, bad = to_microseconds(values)
    naive = pc.cast(moments, pa.timestamp("us"))
    if moments.type.tz:
        local = wall_clock(moments, timezone)
        naive = pc.if_else(_is_midnight(local), local, naive)
    days, odd = split(naive, pc.invert(_is_midnight(naive)))
    return pc.cast(days, pa.date32()), either(bad, odd)


def _is_midnight(naive: pa.Array) -> pa.Array:
    since = pc.cast(naive, pa.int64())
    return pc.equal(pc.multiply(pc.divide(since, _DAY), _DAY), since)
