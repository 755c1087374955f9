"""Everything that has arrived, once, without Dagster: what a sensor and its runs do, in one process.

Belongs here: the order of work and its patience. Does not belong here: the steps (flow.py), printing and telling (cli).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import tenacity

from claims_pipeline.errors import Transient, safe_text, whereabouts
from claims_pipeline.feeds import Feed, Sender, family, feeds_of
from claims_pipeline.flow import Flow
from claims_pipeline.warehouse import ledger
from claims_pipeline.warehouse.ledger import Dump


def catch_up(flow: Flow, sender: Sender, *, each: Callable[[Dump], None] | None = None) -> list[Dump]:
    """Find and load everything of a sender that is open, one dump after another, oldest first.

    What a sensor and its runs do, in one process: for a CronJob or a terminal. Transient trouble is retried as by
    Dagster's retry policy; a dump that outlasts it stays open, and the next call tries again.

    Args:
        flow: the steps.
        sender: whose inbox.
        each: told of each dump before it is worked on.

    Returns:
        The dumps as they ended, those without a contract included.

    Raises:
        Transient, ClaimsPipelineError: the inbox or the database could not be reached at all.
    """
    feeds: dict[str | None, Feed] = {feed.dataset: feed for feed in feeds_of(sender.name)}
    flow.prepare([])
    found = _patiently(flow.discover_twice, sender)
    _patiently(flow.keep_unknown, found.unkept)
    done = list(found.strange)
    with flow.services.database() as connection:
        for dump in found.strange:  # no step takes them in hand, and the run's report is to name them
            ledger.touch(connection, dump.dump_id, flow.run_id)
    ready: list[Feed] = []
    for dump in found.open:
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
