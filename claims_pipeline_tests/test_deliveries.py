"""What is due, what came, and what is told of it, each once: real database, real messages."""

from __future__ import annotations

import datetime as dt
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, NoReturn, Self, cast

import psycopg
import pytest

from claims_pipeline import deliveries
from claims_pipeline.alerts import Alerts
from claims_pipeline.feeds.contract import Calendar
from claims_pipeline.vocabulary import DeliveryNews
from claims_pipeline_tests.fix_deliveries import CALENDAR, DAY, DUE, HOUR, MINUTE, TUESDAY, Watch
from claims_pipeline_tests.fix_listeners import INVALID_AUTH, StatsdListener


def test_what_is_missing_is_told_once(watch: Watch) -> None:
    assert watch.look() == [":hourglass: A clinic, 2026-05-05: 2 feeds missing"]
    assert watch.look(3 * HOUR) == watch.look(DAY - 4 * HOUR) == []


def test_nothing_is_told_within_the_grace(watch: Watch) -> None:
    assert watch.look(HOUR - MINUTE) == []
    assert watch.states() == ["late", "late"]


def test_what_was_missing_and_comes_is_told_once_with_how_late_it_is(watch: Watch) -> None:
    watch.look()
    watch.arrive(late=3 * HOUR + 10 * MINUTE)
    assert watch.look(4 * HOUR, begin=False) == [
        ":white_check_mark: A clinic, 2026-05-05: 1 feed arrived after having been missing"
    ]
    said = str(watch.slack.calls[-1].payload["blocks"])
    assert "arrived 3 h 10 min late (came 2026-05-05 12:10 NZST, due by 2026-05-05 09:00 NZST)" in said
    assert watch.look(5 * HOUR, begin=False) == []
    assert watch.states() == ["late", "missing"]


def test_a_dump_that_comes_within_the_grace_is_told_as_late(watch: Watch) -> None:
    watch.look(MINUTE)
    watch.arrive(late=20 * MINUTE)
    watch.arrive(feed=1)
    assert watch.look(HOUR) == [":alarm_clock: A clinic, 2026-05-05: 1 feed arrived late"]
    assert watch.look(2 * HOUR) == []


def test_early_and_surplus_dumps_are_told_once(watch: Watch) -> None:
    watch.arrive(late=-8 * HOUR)
    watch.arrive(feed=1)
    watch.arrive(feed=1)
    assert watch.look() == [
        ":hourglass_flowing_sand: A clinic, 2026-05-05: 1 feed arrived early",
        ":heavy_plus_sign: A clinic, 2026-05-05: 1 feed delivered more dumps than are due",
    ]
    assert watch.look() == []


def test_dumps_in_time_are_not_told(watch: Watch) -> None:
    watch.arrive()
    watch.arrive(feed=1)
    assert (watch.look(), watch.states()) == ([], ["arrived", "arrived"])


def test_a_name_that_is_delivered_again_is_one_dump(watch: Watch) -> None:
    watch.arrive(key="visits.csv")
    watch.arrive(key="visits.csv", late=-MINUTE)
    watch.arrive(feed=1)
    assert watch.look() == []


def test_a_holiday_is_not_missed(watch: Watch) -> None:
    anzac_in_lieu = dt.date(2026, 4, 27)
    assert watch.look(anzac_in_lieu - TUESDAY) == []
    assert watch.states(since=anzac_in_lieu) == []


def test_a_dump_that_comes_on_a_holiday_is_welcome(watch: Watch) -> None:
    holiday = dt.date(2026, 4, 27)
    watch.arrive(day=holiday, late=10 * HOUR)
    assert watch.look(holiday - TUESDAY + 11 * HOUR) == []


def test_days_before_the_watch_began_are_not_told(watch: Watch) -> None:
    watch.arrive(day=TUESDAY - DAY, late=5 * HOUR)
    watch.look()
    assert watch.states(since=TUESDAY - 14 * DAY) == ["missing", "missing"]


def test_days_on_which_nobody_looked_are_made_up_for(watch: Watch) -> None:
    watch.look()
    assert watch.look(3 * DAY + 2 * HOUR) == [
        ":hourglass: A clinic, 2026-05-06 to 2026-05-08 (3 delivery days): 2 feeds missing"
    ]


def test_a_look_that_does_not_begin_the_watch_tells_of_none(watch: Watch) -> None:
    assert (watch.look(begin=False), watch.states()) == ([], [])


def test_once_begun_every_look_goes_on_with_the_watch(watch: Watch) -> None:
    """The schedule's tick fails where the database is down when dumps are due, and is not made up for."""
    watch.look()
    assert watch.look(DAY + 2 * HOUR, begin=False) == [":hourglass: A clinic, 2026-05-06: 2 feeds missing"]


def test_a_watch_that_stood_still_for_longer_begins_anew(watch: Watch) -> None:
    watch.look()
    later = TUESDAY + 35 * DAY
    assert watch.look(35 * DAY + 2 * HOUR, begin=False) == []
    assert watch.look(35 * DAY + 2 * HOUR) == [f":hourglass: A clinic, {later}: 2 feeds missing"]


def test_a_feed_that_is_added_to_a_watched_sender_is_watched_from_then_on(watch: Watch) -> None:
    both = watch.feeds
    watch.feeds = both[:1]
    watch.look()
    watch.feeds = both
    assert watch.look(DAY + 2 * HOUR) == [":hourglass: A clinic, 2026-05-06: 2 feeds missing"]


def test_a_feed_that_is_removed_is_not_missed_any_more(watch: Watch) -> None:
    watch.look()
    watch.feeds = watch.feeds[:1]
    assert watch.look(DAY + 2 * HOUR) == [":hourglass: A clinic, 2026-05-06: 1 feed missing"]


def test_nothing_is_due_before_the_senders_first_day(watch: Watch) -> None:
    watch.feeds = tuple(replace(f, sender=replace(f.sender, start=TUESDAY + DAY)) for f in watch.feeds)
    assert (watch.look(), watch.states()) == ([], [])


# ---------------------------------------------------------------------------------------------- what changes meanwhile


def test_a_day_that_becomes_a_holiday_before_it_is_told_is_not_missed(watch: Watch) -> None:
    watch.look(-HOUR)
    free = replace(CALENDAR, weekdays=(1, 3, 4, 5))
    watch.feeds = tuple(replace(feed, calendar=free) for feed in watch.feeds)
    assert watch.look() == []


def test_a_day_that_becomes_a_holiday_after_it_was_told_is_still_told_as_recovered(watch: Watch) -> None:
    watch.look()
    free = replace(CALENDAR, weekdays=(1, 3, 4, 5))
    watch.feeds = tuple(replace(feed, calendar=free) for feed in watch.feeds)
    watch.arrive(late=DAY)
    assert watch.look(DAY) == [":white_check_mark: A clinic, 2026-05-05: 1 feed arrived after having been missing"]


def test_a_dump_that_comes_five_days_late_is_told_once_as_recovered(watch: Watch) -> None:
    watch.feeds = watch.feeds[:1]
    watch.look()
    watch.arrive(late=5 * DAY)
    for day in (1, 2, 3, 6):
        watch.arrive(day=TUESDAY + day * DAY)
    assert watch.look(6 * DAY) == [":white_check_mark: A clinic, 2026-05-05: 1 feed arrived after having been missing"]
    assert "arrived 5 d 0 h late" in str(watch.slack.calls[-1].payload["blocks"])


def test_a_dump_that_was_refused_has_arrived(watch: Watch) -> None:
    watch.arrive()
    watch.arrive(feed=1)
    watch.lab.connection.execute("update ops.dump set status = 'refused' where sender = %s", [watch.sender])
    assert watch.look() == []


def test_a_dump_that_was_undone_has_arrived(watch: Watch) -> None:
    watch.arrive(key="first.csv")
    watch.arrive(feed=1)
    watch.undo("first.csv")
    assert (watch.look(), watch.states()) == ([], ["arrived", "arrived"])


def test_a_dump_in_the_place_of_one_that_was_undone_is_not_one_too_many(watch: Watch) -> None:
    watch.arrive(key="first.csv")
    watch.arrive(feed=1)
    watch.undo("first.csv")
    watch.arrive(late=-MINUTE)
    assert (watch.look(), watch.states()) == ([], ["arrived", "arrived"])


# ---------------------------------------------------------------------------------------------- clocks


@pytest.mark.parametrize(
    ("timezone", "day", "missing_from"),
    [
        ("Pacific/Auckland", dt.date(2026, 9, 27), dt.datetime(2026, 9, 26, 21, tzinfo=dt.UTC)),  # summer time begins
        ("Pacific/Auckland", dt.date(2027, 4, 4), dt.datetime(2027, 4, 3, 22, tzinfo=dt.UTC)),  # and ends
        ("Pacific/Auckland", dt.date(2027, 1, 1), dt.datetime(2026, 12, 31, 21, tzinfo=dt.UTC)),
        ("America/New_York", dt.date(2026, 3, 8), dt.datetime(2026, 3, 8, 14, tzinfo=dt.UTC)),  # summer time begins
        ("America/New_York", dt.date(2026, 11, 1), dt.datetime(2026, 11, 1, 15, tzinfo=dt.UTC)),  # and ends
    ],
)
def test_the_day_is_the_senders_and_is_missed_by_its_clock(
    watch: Watch, timezone: str, day: dt.date, missing_from: dt.datetime
) -> None:
    by_ten = Calendar(due=dt.time(10))
    watch.feeds = tuple(
        replace(feed, sender=replace(feed.sender, timezone=timezone), calendar=by_ten) for feed in watch.feeds
    )
    assert watch.look(missing_from - MINUTE - DUE) == []
    assert watch.look(missing_from - DUE, begin=False) == [f":hourglass: A clinic, {day}: 2 feeds missing"]


@pytest.mark.parametrize("recovers", [False, True])
def test_what_could_not_be_told_is_told_a_quarter_of_an_hour_later(watch: Watch, recovers: bool) -> None:
    watch.arrive(feed=1)
    if recovers:
        watch.look()
        watch.arrive(late=3 * HOUR)
    watch.slack.will_answer(INVALID_AUTH)
    watch.look(4 * HOUR)
    assert watch.look(4 * HOUR) == []
    watch.lab.connection.execute(
        "update ops.expectation set told_at = told_at - interval '15 minutes',"
        " recovered_at = recovered_at - interval '15 minutes' where feed = %s",
        [watch.feeds[0].name],
    )
    told = ":white_check_mark: A clinic, 2026-05-05: 1 feed arrived after having been missing"
    assert watch.look(4 * HOUR) == [told if recovers else ":hourglass: A clinic, 2026-05-05: 1 feed missing"]
    assert watch.look(4 * HOUR) == []


def test_what_cannot_be_told_is_counted_once_and_so_is_what_follows(watch: Watch, statsd: StatsdListener) -> None:
    later = "update ops.expectation set told_at = told_at - interval '15 minutes'"
    watch.arrive(feed=1)
    watch.slack.will_answer(*[INVALID_AUTH] * 3)
    watch.look(2 * HOUR)
    watch.lab.connection.execute(later)
    watch.look(3 * HOUR)
    watch.arrive(late=4 * HOUR)
    watch.look(4 * HOUR)  # the channel is not asked again yet
    watch.lab.connection.execute(later)
    watch.look(5 * HOUR)
    assert len(watch.slack.calls) == 3
    counted = [(line.name, line.tags.get("news")) for line in statsd.metrics()]
    assert counted == [
        ("claims.dumps.missing", None),
        ("claims.deliveries", "late"),
        ("claims.delivery.lateness", None),
    ]


def test_what_follows_a_recovery_is_told_at_once(watch: Watch) -> None:
    watch.feeds = watch.feeds[:1]
    watch.look()
    watch.arrive(late=3 * HOUR)
    watch.look(4 * HOUR)
    watch.arrive(late=3 * HOUR)
    assert watch.look(4 * HOUR) == [":heavy_plus_sign: A clinic, 2026-05-05: 1 feed delivered more dumps than are due"]
    assert watch.look(4 * HOUR) == []


@dataclass(frozen=True)
class Killed(Alerts):
    """People who are told by a process that is killed when the channel has taken the message, or just before."""

    before: bool = False

    def delivered(self, **facts: Any) -> NoReturn:
        if not self.before:
            super().delivered(**facts)
        raise KeyboardInterrupt


@pytest.mark.parametrize("before", [False, True])
def test_what_a_killed_process_was_about_to_tell_is_told(watch: Watch, before: bool) -> None:
    missing = ":hourglass: A clinic, 2026-05-05: 2 feeds missing"
    killed = Killed(watch.alerts.slack, None, before=before)
    with psycopg.connect(watch.lab.url, autocommit=True) as connection, pytest.raises(KeyboardInterrupt):
        deliveries.watch(connection, killed, watch.feeds, now=DUE + 2 * HOUR, begin=True)
    assert len(watch.slack.calls) == (0 if before else 1)
    assert (watch.look(), watch.look()) == ([missing], [])


@pytest.mark.parametrize("arrives", [False, True])
def test_of_many_that_look_at_once_one_tells(watch: Watch, arrives: bool) -> None:
    """Two sensors, the schedule and `catch-up`, three times over: each has a connection of its own."""
    watch.look(MINUTE)
    if arrives:
        watch.look()
        watch.arrive(late=3 * HOUR)
        watch.arrive(feed=1, late=3 * HOUR)
    watch.slack.calls.clear()
    at_once = threading.Barrier(12)

    def look(number: int) -> None:
        with psycopg.connect(watch.lab.url, autocommit=True) as connection:
            at_once.wait()
            deliveries.watch(connection, watch.alerts, watch.feeds, now=DUE + 4 * HOUR, begin=number % 2 == 0)

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(look, range(12)))
    assert len(watch.slack.calls) == 1


def test_a_look_that_finds_no_news_is_one_query(watch: Watch) -> None:
    watch.look()
    asked: list[str] = []
    with Listening.connect(watch.lab.url, autocommit=True, cursor_factory=Asking) as connection:
        connection.asked = asked
        deliveries.watch(connection, watch.alerts, watch.feeds, now=DUE + 3 * HOUR, begin=True)
    assert len(asked) == 1


class Listening(psycopg.Connection):
    """A connection that remembers what it was asked."""

    asked: list[str]


class Asking(psycopg.Cursor):
    """Its cursor."""

    def execute(self, query: Any, *args: Any, **kwargs: Any) -> Self:
        cast("Listening", self.connection).asked.append(str(query))
        return super().execute(query, *args, **kwargs)


def test_a_feed_has_a_calendar_of_its_own(watch: Watch) -> None:
    visits, wards = watch.feeds
    mondays = replace(CALENDAR, weekdays=(1,))
    watch.feeds = (visits, replace(wards, calendar=mondays))
    assert watch.look() == [":hourglass: A clinic, 2026-05-05: 1 feed missing"]


def test_the_watch_sends_metrics(watch: Watch, statsd: StatsdListener) -> None:
    watch.arrive(feed=1)
    watch.look()
    watch.arrive(late=3 * HOUR)
    watch.look(4 * HOUR)
    found = {(line.name, line.tags.get("news"), line.value) for line in statsd.metrics()}
    assert found == {
        ("claims.dumps.missing", None, 1),
        ("claims.deliveries", "recovered", 1),
        ("claims.delivery.lateness", None, 10800),
    }


# ---------------------------------------------------------------------------------------------- what was due, and is


def test_the_history_has_watched_days_and_those_to_come(watch: Watch) -> None:
    watch.arrive(late=HOUR)
    watch.look()
    found = deliveries.history(watch.lab.connection, watch.feeds, now=DUE + 2 * HOUR, days=3, ahead=1)
    assert [(line.delivery.day.day, line.delivery.state.value, line.told) for line in found] == [
        (5, "late", (DeliveryNews.LATE,)),
        (5, "missing", (DeliveryNews.MISSING,)),
        (6, "due", ()),
        (6, "due", ()),
    ]


def test_the_history_of_a_sender_that_never_delivered_begins_with_the_watch(watch: Watch) -> None:
    watch.look()
    found = deliveries.history(watch.lab.connection, watch.feeds, now=DUE + DAY, days=9)
    assert [(line.delivery.day.day, line.delivery.state.value) for line in found] == [
        (5, "missing"),
        (5, "missing"),
        (6, "late"),
        (6, "late"),
    ]


def test_a_day_that_became_a_holiday_is_not_in_the_history(watch: Watch) -> None:
    watch.look(-HOUR)
    free = replace(CALENDAR, weekdays=(1, 3, 4, 5))
    watch.feeds = tuple(replace(feed, calendar=free) for feed in watch.feeds)
    assert deliveries.history(watch.lab.connection, watch.feeds, now=DUE + HOUR, days=1) == []


def test_of_days_that_were_not_watched_only_what_came_is_known(watch: Watch) -> None:
    watch.arrive(day=TUESDAY - 4 * DAY, late=9 * DAY)  # copied into the inbox much later
    found = deliveries.history(watch.lab.connection, watch.feeds, now=DUE + 2 * HOUR, days=5)
    assert [(line.delivery.day.day, line.delivery.state.value) for line in found] == [
        (1, "arrived"),
        (1, "missing"),
        (4, "missing"),
        (4, "missing"),
        (5, "missing"),
        (5, "missing"),
    ]
