"""Values from a contract alone: of a column's type, within its bounds, patterns and vocabularies.

Belongs here: the set of values of a column, and which of them a row has. Does not belong here: values that break a rule
(`defects`), how they are written (`spelling`), and what a sender's world adds (`worlds`).

What checks say is tried, not interpreted: bounds and patterns only propose values, and the contract's own checks choose
among them. So any check works that some proposed value keeps.

Times are naive local times of the sender here, as most senders write them: each form of a dump is made from them.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import functools
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pyarrow
import pyarrow.compute as pc

from claims_pipeline.feeds.contract import Column, Drop, Feed
from claims_pipeline.local.fake_sender import fields
from claims_pipeline.local.fake_sender.dice import Dice, Ints, Mask
from claims_pipeline.local.fake_sender.domains import Domain, decimals, in_a_row, listed, whole, words
from claims_pipeline.local.fake_sender.lives import Lives, Rows
from claims_pipeline.local.fake_sender.patterns import texts_of
from claims_pipeline.local.fake_sender.texts import TEXTS

LOCAL = pyarrow.timestamp("us")
_UTC = pyarrow.timestamp("us", "UTC")
_TRIED = 2048  # proposed values that are shown to the contract's checks
_PAST = 3 * 365  # days before the plan's first in which dates and times lie that no bound places
_USUAL = 9_999  # numbers without an upper bound stay below
_NULL, _SELDOM, _NEVER_NULL = 0.08, 0.999, 0.0  # share of NULLs; one nullable column in 16 is hardly ever filled
_SENTINEL, _TRUE, _MARKED = 0.02, 0.3, 0.03
_SPEEDS = 4  # a column changes with each, or with each second .. fourth change of its row
_DRAWN = 1 << 16
_BITS = {pyarrow.int16(): 15, pyarrow.int32(): 31, pyarrow.int64(): 62}


class Inventor:
    """The values of one feed."""

    def __init__(
        self, feed: Feed, lives: Lives, *, dice: Dice, first: dt.date, parents: Mapping[str, tuple[Domain, Lives]]
    ) -> None:
        """Find a set of values for every column.

        Args:
            feed: the contract.
            lives: its rows.
            dice: draws.
            first: the plan's first delivery day: unbounded dates lie before it.
            parents: by column name, the keys that it refers to and the rows that have them.

        Raises:
            ValueError: for some column no value can be found that keeps the contract, or too few for a key. The
                message names the column and says what to declare.
        """
        self.feed = feed
        self._lives = lives
        self._dice = dice
        self._first = (first - dt.date(1970, 1, 1)).days
        self.domains: dict[str, Domain] = {}
        self._parents = {name: parent for name, parent in parents.items() if not _column(feed, name).facts.key}
        for column in feed.columns:
            if column.name not in self._parents and column.name != feed.version:
                self.domains[column.name] = self._domain(column)
        self._keys = [c.name for c in feed.columns if c.facts.key]
        room = math.prod(self.domains[name].size for name in self._keys if name in self.domains)
        if room < lives.count:
            raise ValueError(
                f"{feed.name}: the key's columns allow {room} different keys, and {lives.count} rows are asked for"
            )

    def columns(self, rows: Rows, older: Mask, given: Mapping[str, pyarrow.Array]) -> dict[str, pyarrow.Array]:
        """Every column of the contract; times naive and local.

        Args:
            rows: the rows.
            older: rows that are the older of two with one key: their version is lower.
            given: columns that a world makes itself.
        """
        keys = self._key_columns(rows)
        made: dict[str, pyarrow.Array] = {}
        for column in self.feed.columns:
            name = column.name
            if name == self.feed.version:
                made[name] = self._version(column, rows, older)
            elif name in given:
                made[name] = given[name]
            elif name in keys:
                made[name] = keys[name]
            elif name in self.feed.unique:
                made[name] = self.domains[name].at(rows.e % self.domains[name].size)
            elif name in self._parents:
                made[name] = self._reference(name, rows)
            else:
                made[name] = self._drawn(column, rows, 0)
        return made

    def redrawn(
        self,
        columns: dict[str, pyarrow.Array],
        rows: Rows,
        some: Ints,
        attempt: int,
        given: Mapping[str, pyarrow.Array],
    ) -> None:
        """Draw the columns of some rows (ascending indices) again, those that were drawn in the first place."""
        taken = rows.take(some)
        mask = np.zeros(len(rows), dtype=np.bool_)
        mask[some] = True
        for column in self.feed.columns:
            name = column.name
            fixed = name in self._keys or name in self.feed.unique or name in given
            if name in self.domains and not fixed and not isinstance(column.facts.treatment, Drop):
                again = self._drawn(column, taken, attempt)
                columns[name] = pc.replace_with_mask(columns[name], pyarrow.array(mask), again)

    # ------------------------------------------------------------------------------------------ one column

    def _key_columns(self, rows: Rows) -> dict[str, pyarrow.Array]:
        index, made = rows.e, {}
        for name in self._keys:
            if name in self.domains:
                index, place = np.divmod(index, self.domains[name].size)
                made[name] = self.domains[name].at(place)
        return made

    def _reference(self, name: str, rows: Rows) -> pyarrow.Array:
        """A key of the parent that was sent by the day on which the row was made."""
        keys, lives = self._parents[name]
        born = self._lives.born(rows.e)
        known = lives.volume.initial + (born + 1) * lives.volume.a_day
        return keys.at(self._dice.bits(f"{self.feed.dataset} {name}", rows.e).astype(np.int64) % known)

    def _version(self, column: Column, rows: Rows, older: Mask) -> pyarrow.Array:
        if pyarrow.types.is_integer(column.arrow):
            low = _bounds(column, 1, 1)[0]
            return pyarrow.array(rows.k + low + 1 - older).cast(column.arrow)
        # A day older: an hour could be lost in a clock change or in a form without seconds.
        moment = self._lives.changed(rows) - older * fields.DAY
        local = local_time(moment, self.feed.sender.timezone)
        if pyarrow.types.is_date32(column.arrow):
            return pc.cast(local, pyarrow.date32(), safe=False)
        if not pyarrow.types.is_timestamp(column.arrow):
            raise ValueError(f"{self.feed.name}: no way to invent the version column {column.name} of {column.arrow}")
        return local

    def _drawn(self, column: Column, rows: Rows, attempt: int) -> pyarrow.Array:
        """A value per row: the same until the row changes; of a column that is not hashed, another every day."""
        name, domain = column.name, self.domains[column.name]
        label = f"{self.feed.dataset} {name} {attempt}" if attempt else f"{self.feed.dataset} {name}"
        if not column.facts.hashed:
            number = rows.delivery
        else:
            speed = 1 + sum(name.encode()) % _SPEEDS
            number = (rows.e << 16) | (rows.k // speed)
        bits = self._dice.bits(label, number)
        share = ((bits & np.uint64(_DRAWN - 1)).astype(np.int64)) / _DRAWN
        high = (bits >> np.uint64(16)).astype(np.int64)
        if pyarrow.types.is_boolean(column.arrow) and domain.size == 2:
            values = pyarrow.array(high % _DRAWN < self._true_share(column) * _DRAWN)
        else:
            values = domain.at(high % domain.size)
        null = self.null_share(column)
        if null:
            values = pc.if_else(pyarrow.array(share < null), pyarrow.scalar(None, values.type), values)
        if column.facts.sentinels and column.nullable:
            sentinel = sentinel_of(column)
            if sentinel is not None:
                values = pc.if_else(pyarrow.array(share > 1 - _SENTINEL), sentinel, values)
        return values

    def null_share(self, column: Column) -> float:
        """Share of NULLs of a column that is not made by a world."""
        if not column.nullable or column.name in (self.feed.soft_delete, *self.feed.hidden_from_bi):
            return _NEVER_NULL
        seldom = self._dice.chance(f"hardly ever {self.feed.dataset}.{column.name}", fields.as_ints([0]), 1 / 16)
        return _SELDOM if seldom[0] else _NULL

    def _true_share(self, column: Column) -> float:
        """Rows are seldom deleted or hidden; deleted ones come back with the next draw."""
        return _MARKED if column.name in (self.feed.soft_delete, *self.feed.hidden_from_bi) else _TRUE

    def _domain(self, column: Column) -> Domain:
        distinct = column.facts.key or column.name in self.feed.unique
        proposed = _proposed(column, self._first, distinct=distinct)
        chosen = self._kept(column, proposed)
        if chosen is None or (distinct and chosen is not proposed and chosen.size < self._lives.count):
            raise ValueError(
                f"{self.feed.name}: no values can be invented for {column.name} that keep "
                f"{', '.join(str(check.name) for check in column.checks)}; "
                "bounds, isin or a simple str_matches beside them would help"
            )
        return chosen

    def _kept(self, column: Column, proposed: Domain) -> Domain | None:
        """The proposed values if they all keep the checks, else those that do."""
        if not column.checks and not column.facts.only:
            return proposed
        size = proposed.size
        index = np.arange(size) if size <= _TRIED else np.linspace(0, size - 1, _TRIED).astype(np.int64)
        values = proposed.at(index)
        good = np.ones(len(values), dtype=np.bool_)
        typed = contract_type(values, self.feed.sender.timezone)
        for check in column.checks:
            good &= ~broken_by(check, typed)
        if column.facts.only:
            good &= np.isin(np.array(values.to_pylist(), dtype=object), column.facts.only)
        if good.all():
            return proposed
        return listed(values.filter(pyarrow.array(good))) if good.any() else None


# ---------------------------------------------------------------------------------------------- the contract's checks


def broken_by(check: pa.Check, values: pyarrow.Array | pd.DataFrame) -> Mask:
    """Where a check of the contract says no; typed values, or a frame for a check of whole rows. NULL breaks none."""
    _register()
    data: pd.Series[Any] | pd.DataFrame
    data = values if isinstance(values, pd.DataFrame) else pd.Series(values, dtype=pd.ArrowDtype(values.type))
    said = check.get_backend(data)(check).apply(data)  # type: ignore[no-untyped-call]
    if not isinstance(said, pd.Series):
        return np.full(len(data), not bool(said))
    broken = np.zeros(len(data), dtype=np.bool_)
    broken[said.index[~said.fillna(value=True).to_numpy(dtype=np.bool_)]] = True
    if isinstance(data, pd.Series):
        broken &= data.notna().to_numpy()
    return broken


@functools.cache
def _register() -> None:
    """pandera knows its own checks only once a schema has met data."""
    pa.DataFrameSchema().validate(pd.DataFrame())


def contract_type(values: pyarrow.Array, timezone: str) -> pyarrow.Array:
    """The values as the contract types them: local times as UTC, the first of two in a clock change."""
    if not pyarrow.types.is_timestamp(values.type):
        return values
    return pc.cast(pc.assume_timezone(values, timezone, ambiguous="earliest", nonexistent="latest"), _UTC)


def local_time(moments: Ints, timezone: str) -> pyarrow.Array:
    """Naive local time of moments in microseconds since 1970 UTC."""
    return pc.cast(pc.local_timestamp(pyarrow.array(moments).cast(_UTC).cast(pyarrow.timestamp("us", timezone))), LOCAL)


@functools.cache
def sentinel_of(column: Column) -> pyarrow.Scalar | None:
    """The column's first sentinel as a value; None where it has none of its type."""
    kind = LOCAL if pyarrow.types.is_timestamp(column.arrow) else column.arrow
    for text in column.facts.sentinels[:1]:
        with contextlib.suppress(pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError):
            return pyarrow.scalar(text, pyarrow.string()).cast(kind)
    return None


# ---------------------------------------------------------------------------------------------- proposals


def _proposed(column: Column, first: int, *, distinct: bool) -> Domain:
    """Values that the column's type and the bounds among its checks allow."""
    arrow, kinds = column.arrow, pyarrow.types
    allowed = _statistic(column, "isin", "allowed_values")
    if allowed is not None:
        listed_values = [value for value in allowed if value is not None]
        kind = LOCAL if kinds.is_timestamp(arrow) else arrow
        return listed(pyarrow.array(listed_values, kind))
    if column.facts.only:
        return words(column.facts.only)
    if kinds.is_string(arrow):
        return _text(column, distinct=distinct)
    if kinds.is_boolean(arrow):
        return listed(pyarrow.array([False, True]))
    if kinds.is_list(arrow):
        return listed(pyarrow.array([[], ["a"], ["b", "c d"], ['quoted "x"', "a,b"]], arrow))
    if kinds.is_integer(arrow):
        low = _bounds(column, 1, None)[0] if distinct else _bounds(column, 0, None)[0]
        ceiling = (1 << _BITS[arrow]) - 1 if distinct else low + _USUAL
        return whole(low, min(_bounds(column, low, ceiling)[1], (1 << _BITS[arrow]) - 1), arrow)
    if kinds.is_decimal(arrow):
        low, high = _bounds(column, 0, None)[0], _bounds(column, 0, None)[1]
        return decimals(low, low + 100 * _USUAL if high is None else high, arrow)
    if kinds.is_date32(arrow):
        return whole(*_period(column, first), arrow)
    if kinds.is_timestamp(arrow):
        begin, end = _period(column, first)
        seconds = whole(begin * fields.DAY_SECONDS, end * fields.DAY_SECONDS, pyarrow.timestamp("s"))
        return Domain(seconds.size, lambda index: seconds.at(index).cast(LOCAL))
    raise ValueError(f"no way to invent values of type {arrow} for {column.name}")


def _text(column: Column, *, distinct: bool) -> Domain:
    for name in ("str_matches", "str_contains", "str_startswith", "str_endswith"):
        pattern = _statistic(column, name, "pattern") or _statistic(column, name, "string")
        if pattern is not None:
            return texts_of(getattr(pattern, "pattern", pattern), distinct=distinct)
    least, most = _statistic(column, "str_length", "min_value"), _statistic(column, "str_length", "max_value")
    exact = _statistic(column, "str_length", "exact_value")
    least, most = (exact, exact) if exact is not None else (least or 0, most)
    if distinct:
        return in_a_row([words("0123456789")] * max(least, min(most or 12, 12)))
    fitting = [text for text in TEXTS if least <= len(text) and (most is None or len(text) <= most)]
    return words(fitting) if fitting else in_a_row([words("abcdefgh")] * least)


def _period(column: Column, first: int) -> tuple[int, int]:
    """First and last day since 1970, both well within the column's bounds."""
    low, high = _bounds(column, None, None)
    if low is not None and high is not None:
        return (low, high) if high - low < 3 else (low + 1, high - 1)
    if low is not None:
        return max(low + 1, first - _PAST), max(low + 2, first - 1)
    last = first - 1 if high is None else min(high - 1, first - 1)
    return last - _PAST, last


def _bounds(column: Column, low: Any, high: Any) -> tuple[Any, Any]:  # noqa: ANN401 - int or None, as given
    """The column's bounds as whole numbers: digits of the last place for decimals, days for dates and times."""
    lows = [_whole(column, v, up=True) for v in _limits(column, "greater_than_or_equal_to", "min_value")]
    lows += [_whole(column, v, up=True) + 1 for v in _limits(column, "greater_than", "min_value")]
    highs = [_whole(column, v, up=False) for v in _limits(column, "less_than_or_equal_to", "max_value")]
    highs += [_whole(column, v, up=False) - 1 for v in _limits(column, "less_than", "max_value")]
    for check in column.checks:
        if check.name == "in_range":
            statistics = check.statistics or {}
            lows.append(_whole(column, statistics["min_value"], up=True) + (not statistics.get("include_min", True)))
            highs.append(_whole(column, statistics["max_value"], up=False) - (not statistics.get("include_max", True)))
        elif check.name == "equal_to":
            value = _whole(column, (check.statistics or {})["value"], up=True)
            lows, highs = [*lows, value], [*highs, value]
    return max(lows, default=low), min(highs, default=high)


def _limits(column: Column, check: str, name: str) -> Iterable[Any]:
    return [(c.statistics or {})[name] for c in column.checks if c.name == check]


def _statistic(column: Column, check: str, name: str) -> Any:  # noqa: ANN401 - whatever the check was given
    return next(((c.statistics or {}).get(name) for c in column.checks if c.name == check), None)


def _whole(column: Column, value: Any, *, up: bool) -> int:  # noqa: ANN401 - whatever the check was given
    if pyarrow.types.is_date32(column.arrow) or pyarrow.types.is_timestamp(column.arrow):
        moment = pd.Timestamp(value)
        return (moment.date() - dt.date(1970, 1, 1)).days
    number = decimal.Decimal(str(value))
    if pyarrow.types.is_decimal(column.arrow):
        number = number.scaleb(column.arrow.scale)
    return math.ceil(number) if up else math.floor(number)


def _column(feed: Feed, name: str) -> Column:
    return next(column for column in feed.columns if column.name == name)
