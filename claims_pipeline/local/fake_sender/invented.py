"""Values from a contract alone: of a column's type, within its bounds, patterns and vocabularies.

Belongs here: the set of values of a column, and which of them a row has. Does not belong here: values that break a rule
(`defects`), how they are written (`spelling`), and what a sender's world adds (`worlds`).

What checks say is tried, not interpreted: bounds and patterns only propose values, and the contract's own checks choose
among them. So any check works that some proposed value keeps.

Times are naive local times of the sender here, as most senders write them: each form of a dump is made from them.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping

import numpy as np
import pyarrow
import pyarrow.compute as pc

from claims_pipeline.feeds.contract import Column, Drop, Feed
from claims_pipeline.local.fake_sender import fields
from claims_pipeline.local.fake_sender.checks import broken_by, contract_type, local_time
from claims_pipeline.local.fake_sender.dice import Dice, Ints, Mask
from claims_pipeline.local.fake_sender.domains import Domain, listed
from claims_pipeline.local.fake_sender.lives import Lives, Rows
from claims_pipeline.local.fake_sender.proposals import FOLLOWED, bounds, proposed, sentinel_of

_TRIED = 2048  # proposed values that are shown to the contract's checks
_NULL, _SELDOM, _NEVER_NULL = 0.08, 0.999, 0.0  # share of NULLs; one nullable column in 16 is hardly ever filled
_SENTINEL, _TRUE, _MARKED = 0.02, 0.3, 0.03
_SPEEDS = 4  # a column changes with each, or with each second .. fourth change of its row
_DRAWN = 1 << 16


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
            low = bounds(column, 1, 1)[0]
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
        null = self._null_share(column)
        if null:
            values = pc.if_else(pyarrow.array(share < null), pyarrow.scalar(None, values.type), values)
        if column.facts.sentinels and column.nullable:
            sentinel = sentinel_of(column)
            if sentinel is not None:
                values = pc.if_else(pyarrow.array(share > 1 - _SENTINEL), sentinel, values)
        return values

    def _null_share(self, column: Column) -> float:
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
        offered = proposed(column, self._first, distinct=distinct)
        chosen = self._kept(column, offered)
        if chosen is None or (distinct and chosen is not offered and chosen.size < self._lives.count):
            raise ValueError(
                f"{self.feed.name}: no values can be invented for {column.name} that keep "
                f"{', '.join(str(check.name) for check in column.checks)}; "
                "bounds, isin or a simple str_matches beside them would help"
            )
        return chosen

    def _kept(self, column: Column, offered: Domain) -> Domain | None:
        """The proposed values if they all keep the checks, else those that do."""
        if not column.checks and not column.facts.only:
            return offered
        index = np.arange(min(offered.size, _TRIED))  # the first are those that keys use; the others lie all over
        if offered.size > _TRIED:
            index = np.union1d(index, np.linspace(0, offered.size - 1, _TRIED).astype(np.int64))
        values = offered.at(index)
        good = np.ones(len(values), dtype=np.bool_)
        typed = contract_type(values, self.feed.sender.timezone)
        for check in column.checks:
            good &= ~broken_by(check, typed)
        if column.facts.only:
            good &= np.isin(np.array(values.to_pylist(), dtype=object), column.facts.only)
        # What follows the checks is right throughout if it is in thousands of places; of others one cannot know.
        told = column.facts.key or all(check.name in FOLLOWED for check in column.checks)
        if good.all() and (told or len(values) == offered.size):
            return offered
        return listed(values.filter(pyarrow.array(good))) if good.any() else None


def _column(feed: Feed, name: str) -> Column:
    return next(column for column in feed.columns if column.name == name)
