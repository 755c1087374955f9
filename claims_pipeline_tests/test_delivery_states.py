"""How a delivery stands, and what is news of it: pure."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claims_pipeline import deliveries
from claims_pipeline.feeds.contract import Calendar
from claims_pipeline.vocabulary import Delivery, DeliveryNews, DeliveryState
from claims_pipeline_tests.fix_deliveries import CALENDAR, DAY, DUE, HOUR, MINUTE, TUESDAY, ZONE


def judged(*arrivals: dt.timedelta, at: dt.timedelta = 2 * HOUR, calendar: Calendar = CALENDAR) -> Delivery:
    """How Tuesday's delivery stands; arrivals and the moment of looking are told from when it is due."""
    moments = [DUE + arrival for arrival in arrivals]
    return deliveries.judge(calendar, ZONE, feed="clinic/visits", day=TUESDAY, arrivals=moments, now=DUE + at)


@pytest.mark.parametrize(
    ("at", "state"),
    [
        (-MINUTE, DeliveryState.DUE),
        (0 * MINUTE, DeliveryState.LATE),
        (HOUR - MINUTE, DeliveryState.LATE),
        (HOUR, DeliveryState.MISSING),
    ],
)
def test_what_has_not_come_is_due_then_late_and_missing_when_its_grace_has_passed(
    at: dt.timedelta, state: DeliveryState
) -> None:
    assert judged(at=at).state is state


@pytest.mark.parametrize(
    ("arrival", "state"),
    [
        (-5 * HOUR - MINUTE, DeliveryState.EARLY),
        (-5 * HOUR, DeliveryState.ARRIVED),
        (0 * MINUTE, DeliveryState.ARRIVED),
        (MINUTE, DeliveryState.LATE),
        (90 * MINUTE, DeliveryState.LATE),
    ],
)
def test_what_has_come_is_early_in_time_or_late(arrival: dt.timedelta, state: DeliveryState) -> None:
    assert judged(arrival).state is state


def test_one_dump_more_than_is_due_is_double() -> None:
    assert judged(-HOUR, -MINUTE).state is DeliveryState.DOUBLE


def test_a_delivery_of_several_dumps_is_there_with_the_last_of_them() -> None:
    two = replace(CALENDAR, dumps=2)
    assert judged(-HOUR, calendar=two).state is DeliveryState.MISSING
    assert judged(-HOUR, 30 * MINUTE, calendar=two).late_by == 30 * MINUTE


def test_a_sender_whose_clock_is_ahead_is_not_late() -> None:
    assert judged(3 * HOUR, at=-MINUTE).state is DeliveryState.ARRIVED


MOMENTS = st.timedeltas(-2 * DAY, 2 * DAY)


@given(arrivals=st.lists(MOMENTS, max_size=4), at=MOMENTS, dumps=st.integers(1, 3))
def test_every_delivery_has_a_state_that_fits_its_figures(
    arrivals: list[dt.timedelta], at: dt.timedelta, dumps: int
) -> None:
    found = judged(*arrivals, at=at, calendar=replace(CALENDAR, dumps=dumps))
    complete = len(arrivals) >= dumps
    assert (found.completed_at is not None) == complete
    assert (found.state is DeliveryState.DOUBLE) == (len(arrivals) > dumps)
    assert complete or found.state in (DeliveryState.DUE, DeliveryState.LATE, DeliveryState.MISSING)
    assert not complete or found.state not in (DeliveryState.DUE, DeliveryState.MISSING)
    assert found.state is not DeliveryState.ARRIVED or not found.late_by


@given(arrivals=st.lists(MOMENTS, max_size=3), at=st.lists(MOMENTS, min_size=1, max_size=8).map(sorted))
def test_however_often_one_looks_nothing_is_told_twice_and_no_recovery_before_the_loss(
    arrivals: list[dt.timedelta], at: list[dt.timedelta]
) -> None:
    told: list[DeliveryNews] = []
    for moment in at:
        seen = [arrival for arrival in arrivals if arrival <= moment]
        news = deliveries.news_of(judged(*seen, at=moment), told)
        told += [news] if news else []
    assert len(told) == len(set(told))
    assert DeliveryNews.RECOVERED not in told or told.index(DeliveryNews.MISSING) < told.index(DeliveryNews.RECOVERED)
    assert not {DeliveryNews.RECOVERED, DeliveryNews.LATE} <= set(told)
