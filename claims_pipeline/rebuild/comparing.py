"""Whether rebuilt tables and histories are the live ones.

Belongs here: what is compared. Does not belong here: how (`warehouse.compare`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from claims_pipeline.feeds import Feed, all_feeds
from claims_pipeline.rebuild.rebuilding import with_kin
from claims_pipeline.services import Services
from claims_pipeline.warehouse import compare
from claims_pipeline.warehouse.compare import Content, Difference
from claims_pipeline.warehouse.connection import connect


@dataclass(frozen=True)
class Comparison:
    """The live tables beside the rebuilt ones.

    Attributes:
        tables: how many were compared, histories included.
        differences: those that differ.
        only_live: dumps whose rows are in the live tables only.
        only_rebuilt: dumps whose rows are in the rebuilt tables only.
    """

    tables: int
    differences: tuple[Difference, ...]
    only_live: tuple[int, ...]
    only_rebuilt: tuple[int, ...]

    @property
    def equal(self) -> bool:
        """Whether every table and history is the same."""
        return not self.differences

    @property
    def summary(self) -> str:
        """What differs, in a line; empty where nothing does."""
        if self.equal:
            return ""
        parts = [
            f"{d.table}: {d.missing:,} live rows were not made again, {d.extra:,} rows are in the rebuild only"
            for d in self.differences
        ]
        for numbers, where in ((self.only_live, "live"), (self.only_rebuilt, "rebuilt")):
            if numbers:
                more = f" and {len(numbers) - 10} more" if len(numbers) > 10 else ""
                parts.append(f"in the {where} tables only: dumps {', '.join(map(str, numbers[:10]))}{more}")
        return f"{len(self.differences)} of {self.tables} tables differ: {'; '.join(parts)}"


def snapshot(services: Services, feeds: Sequence[Feed] | None = None) -> Content:
    """What the live database holds now of feeds and their kin: take it before a rebuild that is to be compared."""
    with services.database() as connection:
        return compare.content(connection, list(all_feeds()) if feeds is None else with_kin(feeds))


def compare_with(
    services: Services, url: str, *, feeds: Sequence[Feed] | None = None, live: Content | None = None
) -> Comparison:
    """Compare the live tables and histories with those of a rebuilt database.

    Args:
        services: of the live database.
        url: of the rebuilt one.
        feeds: which, with their kin; None for all.
        live: what the live database held when the rebuild began; None: what it holds now.
    """
    wanted = list(all_feeds()) if feeds is None else with_kin(feeds)
    with services.database() as here, connect(url) as there:
        known = live or compare.content(here, wanted)
        other = compare.content(there, wanted)
        return Comparison(
            tables=len(known.tables),
            differences=tuple(compare.differences(here, there, wanted, of_one=known, of_other=other)),
            only_live=tuple(sorted(known.in_effect - other.in_effect)),
            only_rebuilt=tuple(sorted(other.in_effect - known.in_effect)),
        )
