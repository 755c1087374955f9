"""Every check passes and fails for the right reason, at its boundary."""

from __future__ import annotations

import dataclasses
import datetime as dt

import pytest

from claims_pipeline import checks
from claims_pipeline.feeds import Feed
from claims_pipeline.feeds.contract import Budget, Calendar, Holidays, Sender
from claims_pipeline.feeds.drift import Change
from claims_pipeline.vocabulary import CheckName, CheckOutcome, RowCounts
from claims_pipeline_tests.fix_warehouse import Visits

A, B = "a" * 64, "b" * 64
# Delivers on working days until nine in the morning of a zone twelve or thirteen hours ahead of UTC.
CLINIC = Sender(
    "clinic",
    "A clinic",
    "Pacific/Auckland",
    "clinic/",
    dt.date(2026, 4, 28),
    Calendar(weekdays=(1, 2, 3, 4, 5), due=dt.time(9)),
)
VISITS = Feed(CLINIC, "visits", Visits, (r"^v\.csv$",), budget=Budget(rows=10, share=0.05))
MONDAY = dt.date(2026, 5, 4)
DUE = dt.datetime(2026, 5, 3, 21, tzinfo=dt.UTC)  # Monday, nine in the morning, in Auckland
SECOND = dt.timedelta(seconds=1)


# ------------------------------------------------------------------------------------------ intact


@pytest.mark.parametrize(
    ("listed", "archived", "known", "passed"),
    [(5, 5, None, True), (5, 5, A, True), (5, 4, None, False), (4, 5, None, False), (5, 5, B, False), (5, 4, A, False)],
)
def test_a_dump_is_intact_with_its_size_and_its_first_hash(
    listed: int, archived: int, known: str | None, passed: bool
) -> None:
    assert checks.intact(listed=listed, archived=archived, sha256=A, known_sha256=known).passed is passed


def test_a_changed_archive_is_called_that() -> None:
    assert "raw archive was changed" in checks.intact(listed=5, archived=5, sha256=A, known_sha256=B).summary


# ------------------------------------------------------------------------------------------ contract


def test_a_refused_dump_names_the_rule() -> None:
    outcome = checks.contract_refused("contract.missing_column", "no column x")
    assert (outcome.passed, outcome.severity, outcome.figures["rule"]) == (False, "error", "contract.missing_column")


def test_columns_as_they_always_were_pass() -> None:
    outcome = checks.contract(columns=3, changes=[])
    assert (outcome.passed, outcome.summary) == (True, "3 columns as in the contract")


def test_drift_is_told_by_name_and_can_wait_for_the_day() -> None:
    changes = [Change("added", "added: c", "c: Text = ..."), Change("dropped", "dropped: b")]
    outcome = checks.contract(columns=2, changes=changes)
    assert (outcome.passed, outcome.summary, outcome.severity) == (False, "added: c; dropped: b", "warn")


# ------------------------------------------------------------------------------------------ rejects, rows, keys


@pytest.mark.parametrize(
    ("read", "rejected", "passed"),
    [(100, 10, True), (100, 11, False), (200, 10, True), (1_000, 50, True), (1_000, 51, False), (0, 0, True)],
)
def test_the_larger_limit_of_the_budget_counts(read: int, rejected: int, passed: bool) -> None:
    outcome = checks.rejects_within_budget(VISITS, read=read, rejects={"a.cast": rejected}, rejected=rejected)
    assert outcome.passed is passed


def test_rows_are_conserved_when_each_has_one_verdict() -> None:
    rows = RowCounts(
        read=28, inserted=1, updated=2, unchanged=3, stale=4, duplicate=5, filtered=6, quarantined=7, deleted=99
    )
    assert checks.row_conservation(rows).passed


@pytest.mark.parametrize("read", [27, 29])
def test_a_row_too_many_or_too_few_is_not_conserved(read: int) -> None:
    assert not checks.row_conservation(RowCounts(read=read, inserted=28)).passed


@pytest.mark.parametrize(
    ("duplicates", "conflicts", "passed"), [(0, {}, True), (1, {}, False), (0, {"unique.badge": 1}, False)]
)
def test_a_key_or_unique_value_that_comes_twice_is_told(
    duplicates: int, conflicts: dict[str, int], passed: bool
) -> None:
    assert checks.key_unique(duplicates=duplicates, conflicts=conflicts).passed is passed


# ------------------------------------------------------------------------------------------ volume


@pytest.mark.parametrize(
    ("read", "passed"), [(20, True), (19, False), (500, True), (501, False), (100, True), (0, False)]
)
def test_the_volume_is_in_range_around_the_median(read: int, passed: bool) -> None:
    assert checks.volume_in_range(read=read, past=[100, 1, 100_000], tolerance=5).passed is passed


@pytest.mark.parametrize(("past", "passed"), [([100, 100], True), ([100, 100, 100], False)])
def test_a_volume_is_judged_from_the_third_dump_on(past: list[int], passed: bool) -> None:
    assert checks.volume_in_range(read=1, past=past, tolerance=5).passed is passed


# ------------------------------------------------------------------------------------------ freshness


@pytest.mark.parametrize(
    ("now", "last"), [(DUE - SECOND, dt.date(2026, 5, 1)), (DUE, MONDAY), (DUE + dt.timedelta(hours=23), MONDAY)]
)
def test_a_day_is_due_at_the_senders_hour(now: dt.datetime, last: dt.date) -> None:
    assert checks.days_due(VISITS, now=now, lookback=14)[-1] == last


def test_only_days_of_the_calendar_since_the_start_are_due() -> None:
    due = checks.days_due(VISITS, now=DUE, lookback=14)
    assert [day.isoformat() for day in due] == ["2026-04-28", "2026-04-29", "2026-04-30", "2026-05-01", "2026-05-04"]


def test_a_holiday_is_not_due() -> None:
    kept = dataclasses.replace(VISITS, calendar=dataclasses.replace(CLINIC.calendar, holidays=Holidays("NZ")))
    now = dt.datetime(2026, 10, 26, 10, tzinfo=dt.UTC)  # late on Labour Day, in Auckland
    found = [checks.days_due(feed, now=now, lookback=1) for feed in (VISITS, kept)]
    assert found == [[dt.date(2026, 10, 26)], []]


def test_a_day_is_not_due_within_its_grace() -> None:
    patient = dataclasses.replace(VISITS, calendar=dataclasses.replace(CLINIC.calendar, grace=dt.timedelta(hours=2)))
    hours = dt.timedelta(hours=2)
    late = [checks.days_due(patient, now=now, lookback=3)[-1:] for now in (DUE + hours - SECOND, DUE + hours)]
    assert late == [[dt.date(2026, 5, 1)], [MONDAY]]


@pytest.mark.parametrize("now", [dt.datetime(2026, 4, 4, hour, 30, tzinfo=dt.UTC) for hour in (13, 14, 15)])
def test_a_day_that_was_due_stays_due_when_clocks_go_back(now: dt.datetime) -> None:
    """In Auckland, 2:30 to 2:59 on 5 April 2026 come twice: the first 2:45 is the time."""
    night = dataclasses.replace(VISITS, calendar=Calendar(due=dt.time(2, 45)))
    sender = dataclasses.replace(CLINIC, start=dt.date(2026, 4, 1))
    due = checks.days_due(dataclasses.replace(night, sender=sender), now=now, lookback=1)
    assert due == [dt.date(2026, 4, 5 if now.hour >= 14 else 4)]


@pytest.mark.parametrize(
    ("last_loaded", "behind"),
    [(MONDAY, 0), (MONDAY + dt.timedelta(1), 0), (dt.date(2026, 5, 1), 1), (dt.date(2026, 4, 30), 2), (None, 5)],
)
def test_a_table_is_fresh_when_the_newest_due_day_is_in_it(last_loaded: dt.date | None, behind: int) -> None:
    outcome = checks.fresh(VISITS, now=DUE, last_loaded_day=last_loaded)
    assert (outcome.passed, outcome.figures["days_behind"]) == (behind == 0, behind)


def test_nothing_is_late_before_the_senders_first_day() -> None:
    later = dataclasses.replace(VISITS, sender=dataclasses.replace(CLINIC, start=dt.date(2026, 5, 5)))
    assert checks.fresh(later, now=DUE, last_loaded_day=None).passed


# ------------------------------------------------------------------------------------------ combine

GOOD = CheckOutcome(CheckName.KEY_UNIQUE, True, "good", {"x": 1}, "warn")
WARNING = CheckOutcome(CheckName.KEY_UNIQUE, False, "warning", {"x": 2}, "warn")
ERROR = CheckOutcome(CheckName.KEY_UNIQUE, False, "error", {"x": 3}, "error")


def test_no_dump_is_no_failure() -> None:
    assert checks.combine(CheckName.KEY_UNIQUE, []).passed


def test_all_must_pass() -> None:
    outcome = checks.combine(CheckName.KEY_UNIQUE, iter([("a", GOOD), ("b", GOOD)]))
    assert (outcome.passed, outcome.figures["dumps"]) == (True, 2)


def test_the_worst_speaks_with_its_file() -> None:
    outcome = checks.combine(CheckName.KEY_UNIQUE, [("a", WARNING), ("b", GOOD), ("c", ERROR)])
    assert (outcome.passed, outcome.severity, outcome.summary) == (False, "error", "c: error")
    assert (outcome.figures["file"], outcome.figures["failed"], outcome.figures["x"]) == ("c", 2, 3)
