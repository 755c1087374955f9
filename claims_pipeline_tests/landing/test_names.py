"""What a key says: feed, delivery day, stamp; and that no name stops a listing."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claims_pipeline.feeds import Feed, feeds_of
from claims_pipeline.feeds.contract import Sender
from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline.landing.names import Named, dated_prefixes, is_ignored, parse_stamp, understand
from claims_pipeline_tests.fix_warehouse import Visits

VA_FEEDS = feeds_of(SENDER.name)
SUBMISSIONS = VA_FEEDS[0]
ARRIVAL = dt.datetime(2026, 5, 2, 23, 30, tzinfo=dt.UTC)
AUCKLAND = ZoneInfo("Pacific/Auckland")  # no clock ahead of UTC by more: overlap 2026-04-05 02:00-03:00, gap 2026-09-27

CLINIC = Sender("clinic", "A clinic", "Pacific/Auckland", "clinic/", dt.date(2024, 1, 1))
STAMPED = Feed(CLINIC, "stamped", Visits, (r"^stamped_(?P<stamp>[0-9TZ:+-]+)\.csv$",))
DATED = Feed(CLINIC, "dated", Visits, (r"^dated_(?P<day>\d{4}-\d{2}-\d{2})\.csv$",))
NAMELESS = Feed(CLINIC, "nameless", Visits, (r"^nameless\.csv$",))
CLINIC_FEEDS = (STAMPED, DATED, NAMELESS)


def va(name: str) -> Named:
    return understand(SENDER, VA_FEEDS, SENDER.prefix + name, ARRIVAL)


def clinic(name: str) -> Named:
    return understand(CLINIC, CLINIC_FEEDS, f"clinic/{name}", ARRIVAL)


def utc(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=dt.UTC)  # type: ignore[misc,arg-type]  # six numbers


# ------------------------------------------------------------------------------------------ the VA's names


@pytest.mark.parametrize("feed", VA_FEEDS, ids=lambda feed: feed.dataset)
@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
@pytest.mark.parametrize(
    ("name", "day", "stamp"),
    [
        ("dt=2026-05-01/{0}_20260501T050000Z", dt.date(2026, 5, 1), utc(2026, 5, 1, 5)),
        ("dt=2026-05-01/{0}_20260502T000001Z", dt.date(2026, 5, 1), utc(2026, 5, 2, 0, 0, 1)),
        ("dt=2026-05-01/0_1000", dt.date(2026, 5, 1), utc(2026, 5, 1)),
        ("1001_2000", ARRIVAL.date(), ARRIVAL),
        ("submissions_export-1777611600", dt.date(2026, 5, 1), utc(2026, 5, 1, 5)),
    ],
)
def test_every_form_of_the_vas_names(feed: Feed, ending: str, name: str, day: dt.date, stamp: dt.datetime) -> None:
    assert va(f"{feed.dataset}/{name.format(feed.dataset)}{ending}") == Named(feed, day, stamp)


@pytest.mark.parametrize(
    "name",
    [
        "form526_appeals/dt=2026-05-01/form526_appeals_20260501T050000Z.csv",
        "form526_submissions/dt=2026-05-01/form526_contentions_20260501T050000Z.csv",
        "form526_submissions/form526_submissions_20260501T050000Z.csv",
        "form526_submissions/dt=2026-05-01/form526_submissions_20260501T050000.csv",
        "form526_submissions/dt=2026-05-01/form526_submissions_20260501T050000Z.csv.bz2",
        "form526_submissions.csv",
        "",
    ],
)
def test_other_names_are_of_no_feed_and_of_the_day_they_came(name: str) -> None:
    assert va(name) == Named(None, ARRIVAL.date(), ARRIVAL)


@pytest.mark.parametrize(
    "name",
    [
        "dt=2026-02-31/form526_submissions_20260301T050000Z.csv",
        "dt=2026-05-01/form526_submissions_20260431T050000Z.csv",
        "dt=2026-05-01/form526_submissions_20260501T250000Z.csv",
        "dt=2026-02-31/0_1000.csv",
    ],
)
def test_a_day_or_hour_that_does_not_exist_is_of_no_feed(name: str) -> None:
    assert va(f"form526_submissions/{name}").feed is None


@given(stamp=st.datetimes(dt.datetime(2019, 1, 1), dt.datetime(2100, 1, 1)), day=st.dates(dt.date(2019, 1, 1)))  # noqa: DTZ001 - what hypothesis takes
def test_any_day_and_stamp_come_back_from_their_name(stamp: dt.datetime, day: dt.date) -> None:
    stamp = stamp.replace(microsecond=0, tzinfo=dt.UTC)
    named = va(f"form526_submissions/dt={day}/form526_submissions_{stamp:%Y%m%dT%H%M%SZ}.csv")
    assert named == Named(SUBMISSIONS, day, stamp)


@given(text=st.text(st.sampled_from("0123456789TZ-:+/_.csvdt=x٣"), max_size=60), place=st.integers(0, 3))
def test_no_name_stops_a_listing(text: str, place: int) -> None:
    around = ("{}", "stamped_{}.csv", "dated_{}.csv", "form526_submissions/dt={}/0_1.csv")[place]
    assert clinic(around.format(text)).delivery_day
    assert va(around.format(text)).delivery_day


# ------------------------------------------------------------------------------------------ the sender's time zone


def test_the_delivery_day_is_the_senders() -> None:
    assert clinic("nameless.csv") == Named(NAMELESS, dt.date(2026, 5, 3), ARRIVAL)


def test_a_day_begins_at_the_senders_midnight() -> None:
    assert clinic("dated_2026-05-01.csv").stamp == utc(2026, 4, 30, 12)


def test_a_stamp_without_a_zone_is_the_senders() -> None:
    assert clinic("stamped_20260501T0900.csv") == Named(STAMPED, dt.date(2026, 5, 1), utc(2026, 4, 30, 21))


def test_a_stamp_with_a_z_is_utc() -> None:
    assert clinic("stamped_20260501T210000Z.csv") == Named(STAMPED, dt.date(2026, 5, 2), utc(2026, 5, 1, 21))


@pytest.mark.parametrize("year", ["0001", "9999"])
def test_a_stamp_at_the_end_of_time_is_of_no_feed(year: str) -> None:
    names = (f"dated_{year}-01-01.csv", f"stamped_{year}1231T235959Z.csv", f"stamped_{year}0101.csv")
    assert None in {clinic(name).feed for name in names}


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("20260501", utc(2026, 4, 30, 12)),
        ("2026-05-01", utc(2026, 4, 30, 12)),
        ("202605010930", utc(2026, 4, 30, 21, 30)),
        ("2026-05-01T09:30:15", utc(2026, 4, 30, 21, 30, 15)),
        ("20260501T093015Z", utc(2026, 5, 1, 9, 30, 15)),
        ("20260405T023000", utc(2026, 4, 4, 13, 30)),  # summer time ends: 02:30 comes twice, the first counts
        ("20260927T023000", utc(2026, 9, 26, 14, 30)),  # summer time begins: 02:30 does not come, read as before it
    ],
)
def test_stamps_as_they_are_written(text: str, moment: dt.datetime) -> None:
    assert parse_stamp(text, AUCKLAND) == moment


@pytest.mark.parametrize(
    "text", ["", "2026", "202605011", "2026050109301", "20260501093015123", "20261301", "00000101"]
)
def test_what_is_no_stamp_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_stamp(text, AUCKLAND)


# ------------------------------------------------------------------------------------------ ignored names


@pytest.mark.parametrize(
    "key", ["526/in_progress/a.csv", "526/a.csv.tmp", "526/._a.csv", "526/day/_SUCCESS", "526/day/", "526/a.csv.sha256"]
)
def test_what_is_no_dump_by_rule_is_ignored(key: str) -> None:
    assert is_ignored(SENDER, key)


@pytest.mark.parametrize("key", ["526/a.csv", "526/in_progress_2/a.csv", "526/_SUCCESS_STORIES.csv", "526/a.tmp.csv"])
def test_names_that_only_look_so_are_not_ignored(key: str) -> None:
    assert not is_ignored(SENDER, key)


# ---------------------------------------------------------------------------------------------- names in order of days


def test_names_that_begin_with_the_day_are_known_by_what_stands_before_it() -> None:
    assert dated_prefixes(CLINIC, CLINIC_FEEDS) == ("clinic/dated_",)


def test_every_feed_of_the_va_has_names_that_begin_with_the_day() -> None:
    assert dated_prefixes(SENDER, VA_FEEDS) == tuple(f"526/{feed.dataset}/dt=" for feed in VA_FEEDS)
