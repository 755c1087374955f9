"""The drill: one feed is made again in a scratch database and compared, to see that it can be.

Belongs here: which feed, and what the drill leaves behind (nothing). Does not belong here: its schedule.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.feeds import all_feeds, feed_named
from claims_pipeline.landing import layout
from claims_pipeline.rebuild.comparing import Comparison, compare_with, snapshot
from claims_pipeline.rebuild.rebuilding import Each, Rebuilt, rebuild, remove_frames, with_kin
from claims_pipeline.services import Services
from claims_pipeline.warehouse import rebuilt
from claims_pipeline.warehouse.rebuilt import Candidate
from claims_pipeline.warehouse.scratch import scratch_database, sole_drill
from claims_pipeline.warehouse.upkeep import SCRATCH


@dataclass(frozen=True)
class Drill:
    """A rebuild of a sample in a scratch database, compared with the live tables."""

    rebuilt: Rebuilt
    comparison: Comparison


def choose(
    candidates: Sequence[Candidate], families: Mapping[str, Sequence[str]], *, most_bytes: int
) -> tuple[str, ...] | None:
    """The feeds of the next drill: the one not drilled for the longest time, with its kin. Pure.

    Args:
        candidates: feeds with dumps in effect.
        families: the kin of each, itself included.
        most_bytes: of raw dumps, of a whole family; larger ones are left out, and those that retention has pruned.

    Returns:
        Names, the chosen feed's first; None where none can be drilled.
    """
    by_name = {candidate.feed: candidate for candidate in candidates}
    never = dt.datetime.min.replace(tzinfo=dt.UTC)
    for candidate in sorted(candidates, key=lambda c: (c.drilled_at or never, c.feed)):
        kin = [by_name[name] for name in families[candidate.feed] if name in by_name]
        if not any(one.pruned for one in kin) and sum(one.raw_bytes for one in kin) <= most_bytes:
            return (candidate.feed, *(name for name in families[candidate.feed] if name != candidate.feed))
    return None


def drill(services: Services, *, run_id: str, each: Each | None = None) -> Drill | None:
    """Rebuild the feed that was not drilled for the longest time, and its kin, beside the live tables, and compare.

    Returns:
        What came of it; None where no dump is in effect yet.

    Raises:
        ClaimsPipelineError: it could not be done, which is no better than a difference.
        Transient: S3 or the database failed; call again.
    """
    started = time.monotonic()
    with services.database() as connection:
        found = rebuilt.candidates(connection)
    known = {feed.name for feed in all_feeds()}
    found = [candidate for candidate in found if candidate.feed in known]
    families = {c.feed: [feed.name for feed in with_kin([feed_named(c.feed)])] for c in found}
    names = choose(found, families, most_bytes=services.settings.rebuild_drill_bytes)
    if not found:
        return None
    if names is None:
        raise ClaimsPipelineError(
            f"none of {len(found)} feeds can be drilled: each, with its kin, has more bytes of raw dumps than "
            "CLAIMS_REBUILD_DRILL_BYTES, or retention has deleted some"
        )
    feeds = [feed_named(name) for name in names]
    here = services.owner_database_url
    with sole_drill(here, "rebuild") as label, _no_frames_left(services, f"{layout.REBUILD}{SCRATCH}{label}_"):
        live = snapshot(services, feeds)
        with scratch_database(here, label) as url:
            made = rebuild(services, url, run_id=run_id, feeds=feeds, live=live, each=each)
            comparison = compare_with(services, url, feeds=feeds, live=live)
    with services.database() as connection:
        rebuilt.note_drill(
            connection,
            feeds=made.feeds,
            archive=services.settings.archive_bucket,
            dumps=made.dumps,
            rows=made.rows,
            differences=comparison.differences,
            seconds=round(time.monotonic() - started, 3),
            run_id=run_id,
        )
    return Drill(made, comparison)


@contextmanager
def _no_frames_left(services: Services, prefix: str) -> Iterator[None]:
    """Remove what an earlier drill that was killed has left, and what this one leaves."""
    remove_frames(services, prefix)
    try:
        yield
    finally:
        remove_frames(services, prefix)
