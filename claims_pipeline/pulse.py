"""How things stand, for monitors: dumps that wait for a person, feeds and reports that are behind.

Belongs here: gathering the figures of a `Pulse`. Does not belong here: sending them (alerts), when they are sent
(orchestration.heartbeat), and what is too much (monitors).
"""

from __future__ import annotations

import datetime as dt

from claims_pipeline import bi, checks
from claims_pipeline.feeds import all_feeds, all_senders
from claims_pipeline.services import Services
from claims_pipeline.vocabulary import Pulse
from claims_pipeline.warehouse import reports


def take(services: Services, *, now: dt.datetime) -> Pulse:
    """The figures of now, of every feed and every sender with reports, zeros too: a monitor recovers by them.

    Args:
        services: the database, as the loader.
        now: aware; decides which delivery days were due.

    Raises:
        Transient: the database failed.
    """
    feeds = all_feeds()
    with services.database() as connection:
        held = dict(reports.held_by_feed(connection))
        behind = {}
        for feed in feeds:
            last = reports.last_loaded_day(connection, feed.sender.name, feed.dataset)
            behind[feed.name] = int(checks.fresh(feed, now=now, last_loaded_day=last).figures["days_behind"])
    with_reports = [sender for sender in all_senders() if bi.reports_of(sender)]
    return Pulse(
        held={feed.name: held.get(feed.name, 0) for feed in feeds},
        days_behind=behind,
        reports_behind={sender.name: bi.due(services, sender) is not None for sender in with_reports},
    )
