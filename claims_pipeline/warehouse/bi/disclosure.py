"""Protection of small groups: from exact counts to parts of which none tells of fewer persons than the smallest cell.

Belongs here: which cells are merged. Pure. Does not belong here: SQL, rounding's secret, what a report counts.

What is published of a population is one partition of it: every counted thing is in exactly one part, every part has
enough persons, and totals are the readers' own sums of parts. So whatever is added to or taken from each other is again
a union of whole parts: no smaller group can be had by subtraction, which is what complementary suppression is for (CMS:
1 to 10 hidden, and not derivable; resdac.org/node/1506). Small cells are merged with each other, from the last group
on; where that is not enough, with a part beside them, which is then hidden as well. Which one, a secret decides, small
ones likelier than large: were it always the smallest, a reader who knows the rule could tell what it was not (of two
hidden groups that are 20 together, beside one of 11, both would be 10).

Reports of one population are several partitions of the same things. They share the time alone (they may group by no
common column, `feeds.reports.check_reports`), and time is cut in the same way for all of them: into months, small ones
merged to a block with others. Within a block no count of one partition follows from those of another.

Not protected: two states of one report, read on two days, differ by what came between. docs/small-cells.md.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

SMALL = "(small groups)"
"""In place of a group's name: several, of which at least one has too few persons to be told."""

NOT_GIVEN = "(not given)"
"""In place of a group's name: NULL."""

Grain = Literal["day", "month", "year", "all"]
Labels = tuple[str, ...]
Persons = Mapping[int, tuple[Decimal, ...]]
"""Persons, each with the absolute amounts that are theirs, in the order of the sums."""


@dataclass(frozen=True)
class Cell:
    """The things of one month or day with the same groups, counted.

    Attributes:
        month: first day of the month.
        day: the day, in reports by day; else None.
        labels: names of the groups, the coarsest first.
        people: how many persons they are of.
        number: how many things.
        sums: amounts, added up.
        persons: who; None may stand for it where they are enough.
        weights: absolute amounts, added up.
        peaks: the largest absolute amount of one person, or a bound above it.
    """

    month: dt.date
    day: dt.date | None
    labels: Labels
    people: int
    number: int
    sums: tuple[Decimal, ...] = ()
    persons: Persons | None = None
    weights: tuple[Decimal, ...] = ()
    peaks: tuple[Decimal, ...] = ()


@dataclass(frozen=True)
class Part:
    """A published part.

    Attributes:
        grain: of its period.
        period: first day of it; None for all time.
        labels: names of the groups, `SMALL` for those merged.
        people: how many persons it tells of, at least.
        number: how many things, exact.
        sums: amounts, added up; None where one person makes more than half.
        cells: what was merged into it.
    """

    grain: Grain
    period: dt.date | None
    labels: Labels
    people: int
    number: int
    sums: tuple[Decimal | None, ...]
    cells: tuple[Cell, ...] = field(repr=False)


@dataclass(frozen=True)
class _Block:
    """A stretch of time within which the groups are protected: a month, small months of a year, or of all years."""

    grain: Grain
    period: dt.date | None


@dataclass(frozen=True)
class _Pile:
    """Cells merged so far, in one block, under one name: the day (None: any) and the groups that are still told."""

    day: dt.date | None
    labels: Labels
    cells: tuple[Cell, ...]
    people: int
    number: int
    persons: Persons | None


@dataclass(frozen=True)
class Rules:
    """How many persons a part needs, and what is hidden besides where small cells alone are not enough.

    That is drawn by a secret: the same each time for who has it, and unknown to everybody else.

    Attributes:
        smallest: persons that a part must have.
        seed: secret.
        population: what is counted; all its reports draw alike where they cut time.
        report: which one; each draws for itself otherwise.
    """

    smallest: int
    seed: bytes = field(repr=False)
    population: str
    report: str

    def allow(self, people: int) -> bool:
        """Whether so many may be told of."""
        return people >= self.smallest

    def drawn_months(self, beside: Sequence[list[dt.date]], numbers: Mapping[dt.date, int]) -> list[dt.date]:
        """One of several groups of months, the smaller the likelier."""
        return min(
            beside,
            key=lambda group: self._wait(sum(numbers[m] for m in group), self.population, *map(str, sorted(group))),
        )

    def drawn_pile(self, beside: Sequence[_Pile]) -> _Pile:
        """One of several piles, the smaller the likelier."""
        return min(beside, key=lambda pile: self._wait(pile.number, self.report, str(pile.day), *pile.labels))

    def _wait(self, number: int, *name: str) -> float:
        """A time drawn for a name: the chance that it is the shortest of several is as 1 / number."""
        digest = hashlib.sha256(self.seed + "\x1f".join(name).encode()).digest()
        return -math.log((int.from_bytes(digest[:8], "big") + 1) / 2**64) * number


def protect(cells: Iterable[Cell], rules: Rules) -> list[Part]:
    """Merge cells to parts of enough persons.

    Args:
        cells: all of a report; those with too few people name them.
        rules: see there.

    Returns:
        The parts, whose numbers add up to those of the cells; none where the whole has too few persons.
    """
    cells = list(cells)
    by_month: dict[dt.date, list[Cell]] = defaultdict(list)
    for cell in cells:
        by_month[cell.month].append(cell)
    blocks = _blocks({month: _pile(None, (), group) for month, group in by_month.items()}, rules)
    by_block: dict[_Block, list[Cell]] = defaultdict(list)
    for cell in cells:
        if block := blocks.get(cell.month):
            by_block[block].append(cell)
    depth = max((len(cell.labels) for cell in cells), default=0)
    return [
        _part(block, pile, depth)
        for block, group in sorted(by_block.items(), key=lambda item: (item[0].period or dt.date.min, item[0].grain))
        for pile in _merged(group, days=block.grain == "month", depth=depth, rules=rules)
    ]


def rounded(number: int, *, base: int, seed: bytes, name: str) -> int:
    """A count rounded at random to a multiple of the base, up or down such that the mean stays (Stats NZ: RR3).

    Args:
        number: the count.
        base: 1 leaves it as it is.
        seed: secret; with the name it decides, so that one count is always rounded to one answer.
        name: whose count it is.
    """
    rest = number % base
    if rest == 0:
        return number
    draw = int.from_bytes(hashlib.sha256(seed + name.encode()).digest()[:8], "big") % base
    return number - rest + (base if draw < rest else 0)


# ---------------------------------------------------------------------------------------------- time


def _blocks(months: Mapping[dt.date, _Pile], rules: Rules) -> dict[dt.date, _Block]:
    """The block of each month; the same for all reports of a population: persons, numbers and the secret decide."""
    blocks = {month: _Block("month", month) for month, pile in months.items() if rules.allow(pile.people)}
    years: dict[int, list[dt.date]] = defaultdict(list)
    for month in sorted(months.keys() - blocks.keys()):
        years[month.year].append(month)
    left: list[dt.date] = []
    for year, small in years.items():
        beside = [month for month in blocks if month.year == year and blocks[month].grain == "month"]
        chosen = _enough(small, [[month] for month in beside], months, rules)
        blocks.update(dict.fromkeys(chosen, _Block("year", dt.date(year, 1, 1))))
        left += [] if chosen else small
    if left:
        whole: dict[_Block, list[dt.date]] = defaultdict(list)
        for month, block in blocks.items():
            whole[block].append(month)
        blocks.update(dict.fromkeys(_enough(left, list(whole.values()), months, rules), _Block("all", None)))
    return blocks


def _enough(
    small: list[dt.date], beside: Sequence[list[dt.date]], months: Mapping[dt.date, _Pile], rules: Rules
) -> list[dt.date]:
    """Small months, with others beside them where they are not enough; none where there are no others."""
    if rules.allow(_people([months[month] for month in small])):
        return small
    numbers = {month: pile.number for month, pile in months.items()}
    return small + rules.drawn_months(beside, numbers) if beside else []


# ---------------------------------------------------------------------------------------------- groups


def _merged(cells: Sequence[Cell], *, days: bool, depth: int, rules: Rules) -> list[_Pile]:
    """A block's cells, merged level by level: the last group goes first, the day last."""
    same: dict[tuple[dt.date | None, Labels], list[Cell]] = defaultdict(list)
    for cell in cells:
        same[cell.day if days else None, cell.labels].append(cell)
    told: list[_Pile] = []
    small: list[_Pile] = []
    for (day, labels), group in same.items():
        pile = _pile(day, labels, group)
        (told if rules.allow(pile.people) else small).append(pile)
    dated = any(pile.day for pile in (*told, *small))
    for level in range(depth - 1, -2 if dated else -1, -1):
        if not small:
            break
        told, small = _level(told, small, level, rules)
    return told


def _level(told: list[_Pile], small: list[_Pile], level: int, rules: Rules) -> tuple[list[_Pile], list[_Pile]]:
    """Merge what is too small under the first `level` groups; -1 drops the day as well.

    Returns:
        What is large enough, and what is still too small.
    """

    def name(pile: _Pile) -> tuple[dt.date | None, Labels]:
        return (None, ()) if level < 0 else (pile.day, pile.labels[:level])

    piles: dict[tuple[dt.date | None, Labels], list[_Pile]] = defaultdict(list)
    for pile in small:
        piles[name(pile)].append(pile)
    beside: dict[tuple[dt.date | None, Labels], list[_Pile]] = defaultdict(list)
    for pile in told:
        beside[name(pile)].append(pile)
    absorbed: set[int] = set()
    new: list[_Pile] = []
    still: list[_Pile] = []
    for key, group in piles.items():
        if not rules.allow(_people(group)) and beside[key]:
            neighbour = rules.drawn_pile(beside[key])
            absorbed.add(id(neighbour))
            group.append(neighbour)
        pile = _pile(*key, [cell for part in group for cell in part.cells])
        (new if rules.allow(pile.people) else still).append(pile)
    return [*(pile for pile in told if id(pile) not in absorbed), *new], still


def _pile(day: dt.date | None, labels: Labels, cells: Sequence[Cell]) -> _Pile:
    people, persons = _united([(cell.people, cell.persons) for cell in cells])
    return _Pile(day, labels, tuple(cells), people, sum(cell.number for cell in cells), persons)


def _people(piles: Iterable[_Pile]) -> int:
    return _united([(pile.people, pile.persons) for pile in piles])[0]


def _united(groups: Sequence[tuple[int, Persons | None]]) -> tuple[int, Persons | None]:
    """Persons of several groups together, each once; where not all are named, the most of one group, a bound below."""
    named = [persons for _, persons in groups if persons is not None]
    if len(named) < len(groups):
        return max(people for people, _ in groups), None
    together: dict[int, tuple[Decimal, ...]] = {}
    for persons in named:
        for person, amounts in persons.items():
            before = together.get(person)
            added = tuple(a + b for a, b in zip(before, amounts, strict=True)) if before else amounts
            together[person] = added
    return len(together), together


def _part(block: _Block, pile: _Pile, depth: int) -> Part:
    first = pile.cells[0]
    kinds = range(len(first.sums))
    sums = [sum((cell.sums[kind] for cell in pile.cells), Decimal(0)) for kind in kinds]
    weights = [sum((cell.weights[kind] for cell in pile.cells), Decimal(0)) for kind in kinds]
    if pile.persons is not None:
        peaks = [max((amounts[kind] for amounts in pile.persons.values()), default=Decimal(0)) for kind in kinds]
    else:
        peaks = [_peak(pile.cells, kind) for kind in kinds]
    told = tuple(None if 2 * peaks[kind] > weights[kind] else sums[kind] for kind in kinds)
    labels = pile.labels + (SMALL,) * (depth - len(pile.labels))
    here = _Block("day", pile.day) if pile.day else block
    return Part(here.grain, here.period, labels, pile.people, pile.number, told, pile.cells)


def _peak(cells: Sequence[Cell], kind: int) -> Decimal:
    """A bound above what one person may have in all these cells."""
    named: dict[int, Decimal] = defaultdict(Decimal)
    bound = Decimal(0)
    for cell in cells:
        if cell.persons is None:
            bound += cell.peaks[kind]
        else:
            for person, amounts in cell.persons.items():
                named[person] += amounts[kind]
    return bound + max(named.values(), default=Decimal(0))
