"""What was due and what came of it (`ops.expectation`), and the arrivals that tell.

Belongs here: SQL. Does not belong here: when dumps are due (feeds/calendars.py), what is early, late or missing
(deliveries.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from claims_pipeline.feeds import Feed
from claims_pipeline.vocabulary import Delivery, DeliveryNews, DeliveryState

Day = tuple[str, dt.date]
"""Feed ("sender/dataset") and delivery day."""

RETRY_AFTER = dt.timedelta(minutes=15)
"""The sensor looks every 15 seconds: a channel with a wrong token is not asked each time."""

_LOCK = 526_000_011  # advisory lock: one process at a time tells of a sender's deliveries


@dataclass(frozen=True)
class Expectation:
    """A row of the table.

    Attributes:
        delivery: what was due, and what came of it when it was last looked at.
        told: what people were told of it, in this order.
        told_at: when the first of it was told, or, while nothing was, when that was last tried; UTC.
        recovered_at: when it was told that missing dumps had come, or, while that was not, when what followed the first
            was last tried; UTC.
        refused: whether the channel has not taken what there was to tell when it was last asked.
        waits: whether that was just now, and it is not to be asked again yet.
    """

    delivery: Delivery
    told: tuple[DeliveryNews, ...] = ()
    told_at: dt.datetime | None = None
    recovered_at: dt.datetime | None = None
    refused: bool = False
    waits: bool = False


@dataclass(frozen=True)
class Known:
    """What the database knows of a sender's deliveries.

    Attributes:
        expectations: what was due, where it was watched.
        arrivals: when dumps were uploaded (S3's LastModified, UTC), the first of each name, oldest first. When a dump
            was uploaded is the sender's doing; when it was seen is ours. Whatever became of a dump, it has arrived, but
            one that was undone counts only where the day has no other: then another was delivered in its place.
    """

    expectations: Mapping[Day, Expectation]
    arrivals: Mapping[Day, tuple[dt.datetime, ...]]


def select(connection: psycopg.Connection, feeds: Sequence[Feed], *, since: dt.date) -> Known:
    """What is known of deliveries since a delivery day, in one query: the sensor asks at each tick.

    Args:
        connection: of the warehouse.
        feeds: of one sender.
        since: first delivery day.
    """
    named = {"sender": feeds[0].sender.name, "datasets": [feed.dataset for feed in feeds], "since": since}
    named |= {"feeds": [feed.name for feed in feeds], "retry_after": RETRY_AFTER}
    known, arrivals = {}, {}
    for feed, day, moments, state, due_at, due, dumps, completed_at, told, *when in connection.execute(_SELECT, named):
        if moments:
            arrivals[feed, day] = tuple(moments)
        if state:
            delivery = Delivery(feed, day, DeliveryState(state), due_at, due, dumps, completed_at)
            known[feed, day] = Expectation(delivery, tuple(map(DeliveryNews, told)), *when)
    return Known(known, arrivals)


def first_day(connection: psycopg.Connection, feeds: Sequence[Feed]) -> dt.date | None:
    """The first delivery day that any of a sender's feeds has a dump of, or that was watched; None before either."""
    row = connection.execute(
        "select least((select min(delivery_day) from ops.dump where sender = %s and dataset is not null),"
        " (select min(delivery_day) from ops.expectation where feed = any(%s)))",
        [feeds[0].sender.name, [feed.name for feed in feeds]],
    ).fetchone()
    return row[0] if row else None


@contextmanager
def lock(connection: psycopg.Connection, sender: str) -> Iterator[None]:
    """Let one process at a time tell of a sender's deliveries; others wait. One that is killed lets go.

    Not in a transaction: what one message told is noted before the next is sent.
    """
    connection.execute("select pg_advisory_lock(%s, hashtext(%s))", [_LOCK, sender])
    try:
        yield
    finally:
        connection.execute("select pg_advisory_unlock(%s, hashtext(%s))", [_LOCK, sender])


def remember(connection: psycopg.Connection, deliveries: Iterable[Delivery]) -> None:
    """Note how deliveries stand; what people were told stays."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into ops.expectation (feed, delivery_day, state, due_at, dumps_due, dumps, completed_at)"
            " values (%s, %s, %s, %s, %s, %s, %s) on conflict (feed, delivery_day)"
            " do update set state = excluded.state, due_at = excluded.due_at, dumps_due = excluded.dumps_due,"
            " dumps = excluded.dumps, completed_at = excluded.completed_at",
            [(d.feed, d.day, d.state.value, d.due_at, d.dumps_due, d.dumps, d.completed_at) for d in deliveries],
        )


def note(connection: psycopg.Connection, deliveries: Sequence[Delivery], news: DeliveryNews, *, taken: bool) -> None:
    """Note that a message was sent; one that the channel did not take is tried again `RETRY_AFTER` later."""
    connection.execute(
        _NOTE,
        {
            "told": [news.value] if taken else [],
            "feeds": [delivery.feed for delivery in deliveries],
            "days": [delivery.day for delivery in deliveries],
        },
    )


_SELECT = """
with names as (
    select sender || '/' || dataset as feed, delivery_day, key, min(last_modified) as uploaded_at,
        bool_and(status = 'undone') as undone
    from ops.dump where sender = %(sender)s and dataset = any(%(datasets)s) and delivery_day >= %(since)s
    group by 1, 2, 3),
arrived as (
    select feed, delivery_day, coalesce(
        array_agg(uploaded_at order by uploaded_at) filter (where not undone),
        array_agg(uploaded_at order by uploaded_at)) as moments
    from names group by 1, 2),
expected as (
    select *, case when told = '{}' then told_at when not 'recovered' = any(told) then recovered_at end as refused_at
    from ops.expectation where feed = any(%(feeds)s) and delivery_day >= %(since)s)
select feed, delivery_day, moments, state, due_at, dumps_due, dumps, completed_at, told, told_at, recovered_at,
    refused_at is not null, coalesce(refused_at > now() - %(retry_after)s, false)
from expected full join arrived using (feed, delivery_day)"""
_NOTE = """
update ops.expectation
set told_at = case when told = '{}' then now() else told_at end,
    recovered_at = case
        when told = '{}' or 'recovered' = any(told) then recovered_at
        when %(told)s::text[] = '{}' or 'recovered' = any(%(told)s) then now() end,
    told = told || %(told)s::text[]
where (feed, delivery_day) in (select * from unnest(%(feeds)s::text[], %(days)s::date[]))"""
