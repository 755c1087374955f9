"""When dumps are due: weekdays, holidays of two countries, clocks that jump, ends of years."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claims_pipeline.feeds.contract import Calendar, Holidays

US = Calendar(holidays=Holidays("US"))
AUCKLAND = Calendar(holidays=Holidays("NZ", "AUK"))
ZONES = ("UTC", "America/New_York", "Pacific/Auckland", "Europe/Vienna", "Asia/Kathmandu", "Pacific/Apia")
DAYS = st.dates(dt.date(2015, 1, 1), dt.date(2040, 12, 31))
WEEKDAYS = st.sets(st.integers(1, 7), min_size=1).map(lambda days: tuple(sorted(days)))
CALENDARS = st.builds(
    Calendar,
    weekdays=WEEKDAYS,
    due=st.times(),
    grace=st.timedeltas(dt.timedelta(0), dt.timedelta(days=3)),
    holidays=st.sampled_from([None, Holidays("US"), Holidays("NZ", "AUK"), Holidays("NZ", "WGN")]),
    dumps=st.integers(1, 24),
)


def day(text: str) -> dt.date:
    """A date."""
    return dt.date.fromisoformat(text)


# ---------------------------------------------------------------------------------------------- holidays


@pytest.mark.parametrize(
    ("of", "on", "name"),
    [
        (US, "2026-11-26", "Thanksgiving Day"),
        (US, "2026-11-11", "Veterans Day"),
        (US, "2026-07-03", "Independence Day (observed)"),
        (US, "2026-11-27", None),  # the day after is a holiday of states, not of the federation
        (AUCKLAND, "2026-02-06", "Waitangi Day"),
        (AUCKLAND, "2026-01-26", "Auckland Anniversary Day"),
        (AUCKLAND, "2026-07-10", "Matariki"),
        (AUCKLAND, "2026-11-26", None),
    ],
)
def test_a_holiday_is_known_by_its_name(of: Calendar, on: str, name: str | None) -> None:
    assert of.holiday(day(on)) == name


@pytest.mark.parametrize("on", ["2026-11-26", "2021-12-31", "2022-12-26", "2023-01-02"])
def test_nothing_is_due_on_a_holiday_also_where_it_is_observed_in_another_year(on: str) -> None:
    assert not US.expects(day(on))


def test_a_holiday_of_one_region_is_a_working_day_of_another() -> None:
    wellington = Calendar(holidays=Holidays("NZ", "WGN"))
    assert [c.expects(day("2026-01-26")) for c in (AUCKLAND, wellington)] == [False, True]
    assert [c.expects(day("2026-01-19")) for c in (AUCKLAND, wellington)] == [True, False]


def test_without_holidays_every_weekday_counts() -> None:
    assert Calendar().expects(day("2026-12-25"))


@pytest.mark.parametrize(("country", "subdivision"), [("XX", None), ("NZ", "XX")])
def test_unknown_holidays_are_refused_where_they_are_declared(country: str, subdivision: str | None) -> None:
    with pytest.raises(ValueError, match="unknown holidays"):
        Holidays(country, subdivision)


# ---------------------------------------------------------------------------------------------- times


def due(zone: str, on: str, at: str, *, grace: dt.timedelta = dt.timedelta(0)) -> str:
    """When a dump of that day is missing, in UTC."""
    return Calendar(due=dt.time.fromisoformat(at), grace=grace).deadline(day(on), ZoneInfo(zone)).isoformat()


@pytest.mark.parametrize(
    ("zone", "on", "at", "expected"),
    [
        ("Pacific/Auckland", "2026-09-26", "10:00", "2026-09-25T22:00:00+00:00"),
        ("Pacific/Auckland", "2026-09-27", "10:00", "2026-09-26T21:00:00+00:00"),  # daylight saving begins
        ("Pacific/Auckland", "2027-04-04", "10:00", "2027-04-03T22:00:00+00:00"),  # and ends
        ("America/New_York", "2026-03-08", "02:30", "2026-03-08T07:30:00+00:00"),  # clocks skip it: 03:30 EDT
        ("America/New_York", "2026-11-01", "01:30", "2026-11-01T05:30:00+00:00"),  # clocks show it twice: the first
        ("Pacific/Auckland", "2027-01-01", "10:00", "2026-12-31T21:00:00+00:00"),  # still last year in UTC
        ("America/New_York", "2026-12-31", "23:00", "2027-01-01T04:00:00+00:00"),
    ],
)
def test_a_dump_is_due_by_the_senders_clock(zone: str, on: str, at: str, expected: str) -> None:
    assert due(zone, on, at) == expected


def test_grace_is_time_that_passes_and_not_what_clocks_show() -> None:
    hours = dt.timedelta(hours=3)
    assert due("America/New_York", "2026-11-01", "00:30", grace=hours) == "2026-11-01T07:30:00+00:00"


@given(calendar=CALENDARS, zone=st.sampled_from(ZONES), on=DAYS)
def test_a_day_is_due_on_itself_or_next_to_it_and_the_next_day_is_due_later(
    calendar: Calendar, zone: str, on: dt.date
) -> None:
    at, clock = calendar.due_at(on, ZoneInfo(zone)), ZoneInfo(zone)
    assert at.utcoffset() == dt.timedelta(0)
    assert abs((at.date() - on).days) <= 1
    assert calendar.deadline(on, clock) - at == calendar.grace
    assert at < calendar.due_at(on + dt.timedelta(days=1), clock)


@given(calendar=CALENDARS, on=DAYS)
def test_what_is_expected_is_a_weekday_of_the_calendar_and_no_holiday(calendar: Calendar, on: dt.date) -> None:
    assert calendar.expects(on) == (on.isoweekday() in calendar.weekdays and calendar.holiday(on) is None)


# ---------------------------------------------------------------------------------------------- pauses, words, mistakes


@pytest.mark.parametrize(
    ("calendar", "days"),
    [
        (Calendar(), 1),
        (Calendar(weekdays=(1, 2, 3, 4, 5)), 3),
        (Calendar(weekdays=(1,)), 7),
        # Friday 24 December 2027 stands for the Saturday after it, and both are holidays.
        (Calendar(holidays=Holidays("US")), 3),
        # Thursday 24 December 2026, then Christmas, the weekend, Boxing Day in lieu: Tuesday is next.
        (Calendar(weekdays=(1, 2, 3, 4, 5), holidays=Holidays("NZ", "AUK")), 5),
    ],
)
def test_the_longest_pause_is_from_one_delivery_to_the_next(calendar: Calendar, days: int) -> None:
    assert calendar.longest_pause(dt.date(2026, 1, 1)) == dt.timedelta(days=days)


@pytest.mark.parametrize(
    ("calendar", "text"),
    [
        (Calendar(), "every day by 09:00"),
        (Calendar((1, 5), dt.time(6, 30)), "Mon, Fri by 06:30"),
        (Calendar(holidays=Holidays("NZ", "AUK")), "every day by 09:00, but on holidays of NZ-AUK"),
        (Calendar(earliest=dt.time(4), dumps=2), "2 dumps every day from 04:00 by 09:00"),
    ],
)
def test_a_calendar_reads_as_words(calendar: Calendar, text: str) -> None:
    assert str(calendar) == text


@pytest.mark.parametrize(
    "facts",
    [
        {"weekdays": ()},
        {"weekdays": (0,)},
        {"weekdays": (8,)},
        {"due": dt.time(9, tzinfo=dt.UTC)},
        {"earliest": dt.time(9), "due": dt.time(9)},
        {"grace": dt.timedelta(seconds=-1)},
        {"dumps": 0},
    ],
)
def test_a_calendar_that_contradicts_itself_is_refused(facts: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"day|zone|earliest|grace"):
        Calendar(**facts)  # type: ignore[arg-type]  # wrong on purpose
