"""What a reader can tell of counts that were not published, by linear and integer programming (HiGHS).

Belongs here: an attacker who has every published row, knows the rules by which groups are merged, knows of every
combination that cannot occur, and has time. Does not belong here: what is published.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence

import highspy

from claims_pipeline.warehouse.bi.disclosure import Cell, Part


class Attacker:
    """Knows sums of unknown counts.

    Args:
        unknowns: combinations of groups, each with a count from 0 that nobody published.
        published: of sets of combinations, their sum.
    """

    def __init__(self, unknowns: Iterable[Hashable], published: Iterable[tuple[Collection[Hashable], int]]) -> None:
        self._model = highspy.Highs()  # type: ignore[no-untyped-call]  # of the library
        self._model.setOptionValue("output_flag", False)
        self._counts = {one: self._model.addVariable(lb=0) for one in unknowns}
        for members, number in published:
            self._model.addConstr(self._total(members) == number)

    def range_of(self, members: Collection[Hashable]) -> tuple[int, int]:
        """Least and most that these combinations can add up to, after all that is published."""
        total = self._total(members)
        self._model.minimize(total)
        least = self._model.getInfo().objective_function_value
        self._model.maximize(total)
        most = self._model.getInfo().objective_function_value
        return math.ceil(least - 1e-6), math.floor(most + 1e-6)

    def _total(self, members: Collection[Hashable]) -> highspy.highs.highs_linear_expression:
        return self._model.qsum(self._counts[one] for one in members)


def combinations(cells: Sequence[Cell]) -> list[tuple[object, tuple[str, ...]]]:
    """Every (day, labels) of cells that could occur: all days with all groups that occur."""
    days = sorted({cell.day for cell in cells}, key=str)
    depth = len(cells[0].labels)
    kinds = [sorted({cell.labels[number] for cell in cells}) for number in range(depth)]
    return [(day, labels) for day in days for labels in itertools.product(*kinds)]


def members(cells: Sequence[Cell], parts: Sequence[Part]) -> Mapping[int, set[tuple[object, tuple[str, ...]]]]:
    """By place of a part: the combinations that it may be of, as an attacker infers from its name.

    A combination that is not told by itself, and that occurs, is where the rules put it. One that does not occur may as
    well be in the most precise merged part that has its name: the attacker does not know that it is 0.
    """
    found: dict[int, set[tuple[object, tuple[str, ...]]]] = {
        place: {(cell.day, cell.labels) for cell in part.cells} for place, part in enumerate(parts)
    }
    told = set().union(*found.values()) if found else set()
    merged = [(place, part) for place, part in enumerate(parts) if len(part.cells) > 1]
    for day, labels in combinations(cells):
        if (day, labels) in told:
            continue
        fits = [
            (sum(name == label for name, label in zip(part.labels, labels, strict=True)), place)
            for place, part in merged
            if _names(part, day, labels)
        ]
        if fits:
            found[max(fits)[1]].add((day, labels))
    return found


def _names(part: Part, day: object, labels: tuple[str, ...]) -> bool:
    if part.grain == "day" and part.period != day:
        return False
    return all(name in (label, "(small groups)") for name, label in zip(part.labels, labels, strict=True))
