"""Everything that has arrived, once, without Dagster: what a sensor and its runs do, in one process.

Belongs here: the order of work and its patience. Does not belong here: the steps (flow.py), printing and telling (cli).

An inbox with much that is new is worked off in portions: a portion is listed, settles and is loaded before anything
behind it is listed, so that memory does not grow with the inbox. Within a portion the oldest dump is first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import tenacity

from claims_pipeline.errors import Transient, safe_text, whereabouts
from claims_pipeline.extent import MOST_BACKLOG, Extent, Round
from claims_pipeline.feeds import Feed, Sender, family, feeds_of
from claims_pipeline.flow import Flow
from claims_pipeline.warehouse import ledger
from claims_pipeline.warehouse.ledger import Dump

Each = Callable[[Dump], None]

NEW_IN_A_PORTION = 10_000
"""New dumps after which a portion ends, at the end of a page of the listing: some 130 MiB, a quarter hour of loads."""


@dataclass(frozen=True)
class Portion:
    """A part of a sender's inbox that was worked off.

    Attributes:
        run_id: that the ledger has noted for its dumps.
        dumps: as they ended, those without a contract included.
    """

    run_id: str
    dumps: list[Dump]


def catch_up(flow: Flow, sender: Sender, *, each: Each | None = None) -> list[Dump]:
    """Find and load everything of a sender that is open; see `portions`.

    Returns:
        The dumps of all portions as they ended.
    """
    return [dump for portion in portions(flow, sender, each=each) for dump in portion.dumps]


def portions(
    flow: Flow,
    sender: Sender,
    *,
    each: Each | None = None,
    most_new: int = NEW_IN_A_PORTION,
    most_open: int = MOST_BACKLOG,
) -> Iterator[Portion]:
    """Find and load everything of a sender that is open, one dump after another, oldest first within a portion.

    What a sensor and its runs do, in one process: for a CronJob or a terminal. Transient trouble is retried as by
    Dagster's retry policy; a dump that outlasts it stays open, and the next call tries again.

    Args:
        flow: the steps; its run id is the first portion's, and begins those of the others.
        sender: whose inbox.
        each: told of each dump before it is worked on.
        most_new: new dumps after which a portion ends, at the end of a page of the listing.
        most_open: dumps that could not be finished, after which no further portion is begun: the next call goes on.

    Yields:
        One portion at least.

    Raises:
        Transient, ClaimsPipelineError: the inbox or the database could not be reached at all.
    """
    flow.prepare([])
    first, number, at = flow.run_id, 1, Round()
    unfinished: set[int] = set()
    while True:
        extent = Extent.portion(flow.services.s3, flow.inbox, sender, at=at, most_new=most_new)
        done = _work_off(flow, sender, extent, tried=unfinished, each=each)
        unfinished |= {dump.dump_id for dump in done if dump.is_open}
        yield Portion(flow.run_id, done)
        at, number = extent.at, number + 1
        if at.after is None or len(unfinished) >= most_open:
            return
        flow = replace(flow, run_id=f"{first}-{number}")


def _work_off(flow: Flow, sender: Sender, extent: Extent, *, tried: set[int], each: Each | None) -> list[Dump]:
    """List a part of an inbox, and load what is open, but for those that were tried already."""
    feeds: dict[str | None, Feed] = {feed.dataset: feed for feed in feeds_of(sender.name)}
    found = _patiently(flow.discover_twice, sender, extent)
    _patiently(flow.keep_unknown, found.unkept)
    done = list(found.strange)
    with flow.services.database() as connection:
        for dump in found.strange:  # no step takes them in hand, and the run's report is to name them
            ledger.touch(connection, dump.dump_id, flow.run_id)
    ready: list[Feed] = []
    for dump in found.open:
        if dump.dump_id in tried:
            continue
        if each:
            each(dump)
        feed = feeds[dump.dataset]
        try:
            if feed not in ready:
                flow.prepare(family(feed))
                ready.append(feed)
            for step in (flow.archive, flow.validate, flow.load):
                if dump.is_open:
                    dump = _patiently(step, dump, feed)
        except Exception as error:
            reason = f"{safe_text(error)} at {whereabouts(error)}; still open, the next run goes on with it"
            dump = replace(dump, reason=reason)
        done.append(dump)
    return done


_patiently = tenacity.Retrying(
    retry=tenacity.retry_if_exception_type(Transient),
    wait=tenacity.wait_exponential_jitter(multiplier=2, max=30),
    stop=tenacity.stop_after_attempt(5),
    reraise=True,
)
