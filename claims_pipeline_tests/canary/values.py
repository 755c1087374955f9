"""Canaries: values that nothing but a planted record can hold, one for each feed, column and row.

Belongs here: what a canary looks like, by the contract's type and rules, and the register of those that were planted.
Does not belong here: the files that carry them (`dumps`), and finding them again (`needles`).

A value is written with the stem of its class: one of a column that is kept, or one of a column that is not (tokenised,
reduced, dropped). The class comes from the contract. So a place that may hold kept columns is searched for the stems of
the others, and every other place for both. Behind the stem stands a number that says which canary it is.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow

from claims_pipeline.feeds.contract import Column, Feed, Keep

_DIGITS36 = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Stem:
    """What all canaries of a class have in common, by the form that a type allows.

    Attributes:
        name: of the class.
        text: begin of a text; letters only, so that no escape changes it.
        digits: begin of a number.
        guid: begin of a UUID, and, without dashes, of a hexadecimal number.
        day: a date.
        clock: the end of a time stamp, from the minute on: the same in every time zone.
        hour: of the time stamps.
    """

    name: str
    text: str
    digits: str
    guid: str
    day: str
    clock: str
    hour: str


KEPT = Stem(
    "kept", "Kzqxcanary", "739184650", "0a739184-65cc-4c0d-8bad", "1917-03-09", "37:42.739184", "2021-03-09 13:"
)
HIDDEN = Stem(
    "hidden", "Hzqxcanary", "648027391", "0b648027-39cc-4c0d-8bad", "1913-11-23", "51:16.648027", "2021-04-17 11:"
)
STEMS = (KEPT, HIDDEN)


@dataclass(frozen=True)
class Canary:
    """One planted value: its number, and where it stands."""

    number: int
    feed: str
    column: str
    row: str


@dataclass
class Planted:
    """The register of all canaries of a round."""

    canaries: dict[int, Canary] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __len__(self) -> int:
        return len(self.canaries)

    def cells(self) -> set[tuple[str, str]]:
        """(feed, column) of every column that holds at least one canary."""
        return {(canary.feed, canary.column) for canary in self.canaries.values()}

    def _next(self, feed: Feed, column: str, row: str) -> int:
        number = next(self._numbers)
        self.canaries[number] = Canary(number, feed.name, column, row)
        return number

    def text(self, feed: Feed, column: str, row: str, stem: Stem) -> str:
        """A canary that is text, of whatever type the column is: what breaks the cast of every type but text."""
        return stem.text + base36(self._next(feed, column, row))

    def fitting(self, feed: Feed, column: Column, row: str) -> str | None:
        """A canary that the column's type and rules let pass; None where none can be made (a boolean, a vocabulary)."""
        stem = stem_of(column)
        number = self._next(feed, column.name, row)
        for value in _candidates(column, stem, number):
            if _passes(column, value):
                return value
        del self.canaries[number]
        return None


def stem_of(column: Column) -> Stem:
    """The class of a column, as its contract says."""
    return KEPT if isinstance(column.facts.treatment, Keep) else HIDDEN


def base36(number: int) -> str:
    """The number in five characters that fit into every text column."""
    digits = ""
    for _ in range(5):
        number, digit = divmod(number, 36)
        digits = _DIGITS36[digit] + digits
    return digits


def _candidates(column: Column, stem: Stem, number: int) -> list[str]:
    """Values of the column's type, the most telling first."""
    kinds, arrow = pyarrow.types, column.arrow
    if kinds.is_string(arrow):
        return [
            stem.text + base36(number),
            f"{stem.guid}-{number:012x}",
            f"{stem.guid}{number:04x}".replace("-", ""),
            f"{stem.digits}0V{number % 1_000_000:06}",
            f"{stem.digits}{number:07}",
            f"{stem.digits[:5]}-{stem.digits[5:]}",
            stem.day,
        ]
    if kinds.is_integer(arrow):
        return [f"{stem.digits}{number:07}", stem.digits]
    if kinds.is_decimal(arrow):
        return [f"{number % 9 + 1}{stem.digits}.{number // 9 % 100:02}"]  # the sum of ten is not ten times one
    if kinds.is_date(arrow):
        return [stem.day]
    if kinds.is_timestamp(arrow):
        return [f"{stem.hour}{stem.clock}"]
    if kinds.is_list(arrow):
        return [f'["{stem.text}{base36(number)}"]']
    return []


def plain(column: Column) -> str | None:
    """A value without a canary that the column takes: the first of its vocabulary, its lower bound, NULL."""
    if column.facts.only:
        return column.facts.only[0]
    allowed = _said(column, "isin", "allowed_values")
    if allowed is not None:
        return str(next(iter(allowed)))
    if pyarrow.types.is_boolean(column.arrow):
        return "false"
    if pyarrow.types.is_integer(column.arrow):
        return str(_said(column, "in_range", "min_value") or 0)
    return None


def _passes(column: Column, value: str) -> bool:
    """Whether the rules of a column, of those kinds that contracts use, let a value pass, or only warn."""
    if column.facts.only:
        return False
    binding = [check for check in column.checks if not check.raise_warning]
    for check in binding:
        said = check.statistics or {}
        if check.name == "isin":
            return False
        if check.name == "str_matches" and not re.match(_pattern(said["pattern"]), value):
            return False
        if check.name == "str_length" and len(value) > (said.get("max_value") or len(value)):
            return False
        if check.name == "in_range" and not said["min_value"] <= int(value) <= said["max_value"]:
            return False
    return not pyarrow.types.is_integer(column.arrow) or int(value) < 1 << (column.arrow.bit_width - 1)


def _pattern(pattern: Any) -> str:
    return pattern.pattern if isinstance(pattern, re.Pattern) else str(pattern)


def _said(column: Column, check: str, what: str) -> Any:
    return next((c.statistics[what] for c in column.checks if c.name == check and c.statistics), None)
