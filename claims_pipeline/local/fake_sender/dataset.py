"""What every generated dataset has in common: which rows are spoilt, and what the table gains.

Belongs here: rows as numbers, the choice of planted defects, the expected end state. Does not belong here:
columns (`submissions`, `contentions`, `children`) or writing (`engine`).

All is a function of the row's number, so what an earlier dump did to a row is asked again instead of remembered: that
is how the expected end state is known without holding it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from claims_pipeline.feeds import Feed
from claims_pipeline.local.fake_sender.defects import DUPLICATE, NOT_LOADED, Defect, catalogue
from claims_pipeline.local.fake_sender.dialect import Typed
from claims_pipeline.local.fake_sender.dice import Ints, Mask
from claims_pipeline.local.fake_sender.life import MOST_DELIVERIES, Life

CLEAN = -1


@dataclass(frozen=True)
class Rows:
    """Rows of a dump: child j (0 .. 255) of submission n at its delivery k (0 .. 7)."""

    n: Ints
    j: Ints
    k: Ints

    def __len__(self) -> int:
        return len(self.n)

    def take(self, index: Ints | Mask) -> Rows:
        """Some of the rows."""
        return Rows(self.n[index], self.j[index], self.k[index])

    def at(self, k: Ints) -> Rows:
        """The same rows at another delivery."""
        return Rows(self.n, self.j, k)

    @property
    def entity(self) -> Ints:
        """A number per row, the same at every delivery."""
        return (self.n << 8) | self.j

    @property
    def number(self) -> Ints:
        """A number per row and delivery."""
        return (self.entity << 3) | self.k


class Dataset(ABC):
    """One dataset of the fake sender.

    Attributes:
        feed: its contract.
        special: defects that only this dataset knows how to plant; `columns` spoils their rows itself.
        unplanted: rule ids left out of the catalogue.
        above: columns that are planted above their range.
    """

    feed: Feed
    special: tuple[Defect, ...] = ()
    unplanted: frozenset[str] = frozenset()
    above: frozenset[str] = frozenset()

    def __init__(self, life: Life) -> None:
        self.life = life
        self.dice = life.dice

    # ------------------------------------------------------------------------------------------ told by each dataset

    @abstractmethod
    def rows(self, n: Ints, k: Ints) -> Rows:
        """The rows that go with these deliveries, in order."""

    @abstractmethod
    def columns(self, rows: Rows, rule: Ints, older: Mask) -> Mapping[str, Typed]:
        """Every column of the contract.

        Args:
            rows: the rows.
            rule: index of the planted defect, `CLEAN` for none.
            older: rows that are the older of two with one key: the version column must be lower, by a second.
        """

    def since(self, rows: Rows) -> Ints:
        """First delivery that held the row."""
        return np.zeros(len(rows), dtype=np.int64)

    def spared(self, rows: Rows) -> Mask:
        """Rows that must be loaded, since the expected end state of others rests on them."""
        return np.zeros(len(rows), dtype=np.bool_)

    def applicable(self, rows: Rows, rule: Ints) -> Mask:
        """Whether the special defect drawn for a row can be planted in it."""
        return np.ones(len(rows), dtype=np.bool_)

    # ------------------------------------------------------------------------------------------ planting

    @cached_property
    def defects(self) -> tuple[Defect, ...]:
        """Everything that can be planted; rules are indices into it."""
        return catalogue(self.feed, unplanted=self.unplanted, above=self.above) + self.special

    @cached_property
    def duplicate(self) -> int:
        """Index of the defect of a second row with the same key."""
        return self.defects.index(DUPLICATE)

    @cached_property
    def _not_loaded(self) -> Mask:
        """By rule, with the clean rows' -1 at the end."""
        return np.array([defect.verdict in NOT_LOADED for defect in self.defects] + [False])

    def rule(self, rule_id: str) -> int:
        """Index of a rule."""
        return next(i for i, defect in enumerate(self.defects) if defect.rule == rule_id)

    def drawn(self, rows: Rows) -> Ints:
        """The defect drawn for each row, whether or not it can be planted."""
        rule = np.full(len(rows), CLEAN, dtype=np.int64)
        number = rows.number
        hit = np.flatnonzero(self.dice.chance(f"dirt {self.feed.dataset}", number, self.life.plan.dirt))
        rule[hit] = self.dice.below(f"rule {self.feed.dataset}", number[hit], len(self.defects))
        return rule

    def planted(self, rows: Rows) -> Ints:
        """The defect planted in each row."""
        rule = self.drawn(rows)
        hit = np.flatnonzero(rule != CLEAN)
        some, drawn = rows.take(hit), rule[hit]
        spoilt = self.applicable(some, drawn) & ~(self._not_loaded[drawn] & self.spared(some))
        rule[hit[~spoilt]] = CLEAN
        return rule

    def loaded(self, rule: Ints) -> Mask:
        """Whether rows with these defects are loaded. Of a planted pair with one key, the newer is."""
        return ~self._not_loaded[rule]

    def gained(self, n: Ints, k: Ints, rows: Rows, rule: Ints) -> int:
        """By how many rows these deliveries make the table longer, loaded after all earlier ones.

        Args:
            n: submissions of the deliveries.
            k: their delivery numbers.
            rows: `self.rows(n, k)`.
            rule: `self.planted(rows)`.
        """
        new = self.loaded(rule)
        since = self.since(rows)
        for back in range(1, MOST_DELIVERIES):
            ask = np.flatnonzero(new & (rows.k - back >= since))
            if not len(ask):
                break
            before = rows.take(ask)
            new[ask] = ~self.loaded(self.planted(before.at(before.k - back)))
        return int(new.sum())


def expanded(size: Ints) -> tuple[Ints, Ints]:
    """For parents with so many children: the parent's index and the child's place from 1, per child."""
    owner = np.repeat(np.arange(len(size)), size)
    return owner, np.arange(len(owner)) - np.repeat(np.cumsum(size) - size, size) + 1
