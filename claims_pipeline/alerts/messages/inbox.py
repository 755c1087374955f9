"""What came into an inbox, or did not, before any run: deliveries against the calendar, dumps that wait, events.

Belongs here: words about arrivals. Does not belong here: what became of dumps that were read (`runs`).
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from zoneinfo import ZoneInfo

from claims_pipeline.alerts import blocks
from claims_pipeline.alerts.messages.message import MAX_LINES, Message, compose
from claims_pipeline.alerts.text import code, count, days_text, duration, prose
from claims_pipeline.vocabulary import Delivery, DeliveryNews


def waiting_message(*, day: dt.date, waiting: Sequence[tuple[str, str]]) -> Message:
    """Dumps have arrived and wait for what their sender lays beside them.

    Args:
        day: today, in the sender's time zone.
        waiting: (key, why) of each.
    """
    return compose(
        f":hourglass: {count(len(waiting), 'dump')} not read by {day.isoformat()}",
        blocks.bullets("Not read yet", [f"{code(key)}: {prose(why, 200)}" for key, why in waiting], most=MAX_LINES),
        step="Ask the sender to lay down what is lacking: the dumps are then read by themselves.",
        detail="",
    )


def delivery_message(
    *, news: DeliveryNews, deliveries: Sequence[Delivery], timezone: str, title: str | None = None
) -> Message:
    """Deliveries that are otherwise than their calendar says: missing, late, after they were missing, early, too many.

    Args:
        news: what is told of all of them.
        deliveries: of one sender.
        timezone: the sender's zone, in which times are told.
        title: the sender's name for people; None means its identifier.
    """
    emoji, words, step = _DELIVERED[news]
    name = title or deliveries[0].feed.partition("/")[0]
    lines = [_delivery(news, delivery, ZoneInfo(timezone)) for delivery in deliveries]
    days, feeds = sorted({delivery.day for delivery in deliveries}), {delivery.feed for delivery in deliveries}
    return compose(
        f"{emoji} {name}, {days_text(days)}: {count(len(feeds), 'feed')} {words}",
        blocks.bullets("Feeds", lines, most=MAX_LINES),
        step=step,
        detail=lines[0],
    )


_DELIVERED = {
    DeliveryNews.MISSING: (
        ":hourglass:",
        "missing",
        "Ask the sender whether it was delivered: a dump that comes late is loaded by itself, and told.",
    ),
    DeliveryNews.RECOVERED: (
        ":white_check_mark:",
        "arrived after having been missing",
        "Nothing to do: what comes late is loaded by itself.",
    ),
    DeliveryNews.LATE: (
        ":alarm_clock:",
        "arrived late",
        "Nothing to do: it is loaded by itself. If it comes late often, agree on another time with the sender, and "
        "change the feed's calendar.",
    ),
    DeliveryNews.EARLY: (
        ":hourglass_flowing_sand:",
        "arrived early",
        "Ask the sender whether it was made too early: what happened after it was made is not in it.",
    ),
    DeliveryNews.DOUBLE: (
        ":heavy_plus_sign:",
        "delivered more dumps than are due",
        "Ask the sender whether all are meant. All are loaded; of rows with one key the newest stays. "
        "`claims-pipeline undo` takes one out that is wrong.",
    ),
}
"""By news: emoji, words, what to do."""


def _delivery(news: DeliveryNews, delivery: Delivery, zone: ZoneInfo) -> str:
    of = f"{code(delivery.feed)} of {delivery.day.isoformat()}"
    if news is DeliveryNews.DOUBLE:
        return f"{of}: {count(delivery.dumps, 'dump')}, {delivery.dumps_due:,} due"
    due = f"due by {_local(delivery.due_at, zone)}"
    if delivery.completed_at is None:
        there = f", {delivery.dumps:,} of {delivery.dumps_due:,} dumps there" if delivery.dumps else ""
        return f"{of}: {due}{there}"
    when = f"came {_local(delivery.completed_at, zone)}, {due}"
    if news is DeliveryNews.EARLY:
        return f"{of}: {when}"
    return f"{of}: arrived {duration(delivery.late_by.total_seconds())} late ({when})"


def _local(moment: dt.datetime, zone: ZoneInfo) -> str:
    local = moment.astimezone(zone)
    return f"{local:%Y-%m-%d %H:%M} {local.tzname() or ''}".strip()


def events_message(reasons: Sequence[str]) -> Message:
    """Messages in the queue of S3's events that are none, or of an unknown form.

    Args:
        reasons: why, one for each message; they quote nothing of it.
    """
    lines = [f"{prose(why, 200)}: {times:,}" for why, times in Counter(reasons).items()]
    return compose(
        f":envelope: {count(len(reasons), 'message')} in the events queue not understood",
        [
            blocks.paragraph("They stay in the queue until its redrive policy moves them to the dead-letter queue."),
            *blocks.bullets("Why", lines, most=MAX_LINES),
        ],
        step="No dump is lost: what events do not tell is found by listing. Find out who sends there what is no event "
        "of S3, and stop it; `claims-pipeline events dead` counts what has come to the dead-letter queue.",
        detail=lines[0],
    )
