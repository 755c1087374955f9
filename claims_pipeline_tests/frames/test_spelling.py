"""Numbers and days as senders write them, against oracles in plain Python."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from claims_pipeline.frames.cast import to_date, to_timestamp
from claims_pipeline.frames.spelling import iso, plain_numbers

from .samples import naive, relaxed

GERMAN = {"decimal": ",", "thousands": "."}


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("1.234,56", "1234.56"),
        ("1234,56", "1234.56"),
        ("-1.234.567", "-1234567"),
        (",5", ".5"),
        ("1.5", "?"),  # neither 1.5 nor 15
        ("12.34,5", "?"),
        ("1.234.56", "?"),
        ("1,234.5", "?"),
        ("1e3", "?"),
        (None, None),
    ],
)
def test_groups_are_of_three_digits(text: str | None, plain: str | None) -> None:
    assert plain_numbers(pa.array([text], pa.string()), **GERMAN).to_pylist() == [plain]


@relaxed
@given(st.lists(st.decimals(-(10**9), 10**9, places=2)), st.sampled_from([",.", ". ", ".'", ",\u00a0"]))
def test_marks_of_any_country_come_off(numbers: list[Decimal], marks: str) -> None:
    point, group = marks[0], marks[1]
    texts = [f"{n:,}".translate(str.maketrans(",.", group + point)) for n in numbers]
    plain = plain_numbers(pa.array(texts, pa.string()), decimal=point, thousands=group)
    assert [Decimal(text) for text in plain.to_pylist()] == numbers


FORMS = ["%d/%m/%Y", "%m-%d-%Y", "%Y%m%d", "%d %b %Y", "%B %d, %Y", "%%%d.%m.%Y"]


@relaxed
@given(st.lists(st.dates(dt.date(1000, 1, 1))), st.sampled_from(FORMS))
def test_a_form_reads_what_strftime_writes(days: list[dt.date], form: str) -> None:
    texts = pa.array([day.strftime(form) for day in days], pa.string())
    assert to_date(iso(texts, (form,), time=False))[0].to_pylist() == days


@relaxed
@given(
    st.lists(st.datetimes(naive("1000-01-01 00:00"))),
    st.sampled_from(["%d/%m/%Y %H:%M:%S.%f", "%Y-%m-%dT%I:%M:%S.%f%p"]),
)
def test_a_form_reads_times_to_the_microsecond(moments: list[dt.datetime], form: str) -> None:
    texts = pa.array([moment.strftime(form) for moment in moments], pa.string())
    found = to_timestamp(iso(texts, (form,), time=True), "UTC")[0].to_pylist()
    assert found == [moment.replace(tzinfo=dt.UTC) for moment in moments]


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("1/2/2025", dt.date(2025, 2, 1)),
        ("31/02/2025", None),  # not 3 March
        ("29/02/2023", None),
        ("2025-02-01", dt.date(2025, 2, 1)),  # ISO always
        ("13/13/2025", None),
        ("01/02/2025x", None),
        ("1 FEB 25", dt.date(2025, 2, 1)),
        ("1 feb 69", dt.date(1969, 2, 1)),
        ("1 fev 25", None),
    ],
)
def test_forms_are_tried_in_order_and_the_calendar_decides(text: str, day: dt.date | None) -> None:
    values, bad = to_date(iso(pa.array([text, None]), ("%d/%m/%Y", "%m/%d/%Y", "%d %b %y"), time=False))
    assert values.to_pylist() == [day, None]
    assert (bad is not None) == (day is None)


def test_noon_and_midnight_are_told_apart() -> None:
    texts = pa.array(["1/1/2025 12:00 AM", "1/1/2025 12:00 PM", "1/1/2025 1:05 pm"])
    assert iso(texts, ("%d/%m/%Y %I:%M %p",), time=True).to_pylist() == [
        "2025-01-01 00:00:00",
        "2025-01-01 12:00:00",
        "2025-01-01 13:05:00",
    ]


@pytest.mark.parametrize("form", ["%d/%m", "%j %Y", "%Y-%m-%d %Z", "%"])
def test_a_form_that_cannot_be_read_is_refused(form: str) -> None:
    with pytest.raises(ValueError, match="form"):
        iso(pa.array(["x"]), (form,), time=False)
