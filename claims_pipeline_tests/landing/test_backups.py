"""Which backups are kept, and what counts as one: the rule of retention, and the form in the bucket."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.landing.backups import (
    Manifest,
    Stored,
    TableContent,
    delete,
    dump_key,
    manifest_key,
    read_manifest,
    retained,
    stored,
    write_manifest,
)

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

STAMP = dt.datetime(2026, 11, 22, 2, tzinfo=dt.UTC)
MANIFEST = Manifest(
    STAMP, 7, "0" * 64, 1.5, 70, "18.4", "pg_dump 18.4", ("0001.sql",), (TableContent("a", "b", 1, "c"),)
)

_moments = st.integers(0, 3 * 365 * 24).map(lambda hours: STAMP - dt.timedelta(hours=hours))
histories = st.lists(_moments, max_size=60, unique=True)
counts = st.integers(0, 8)


def every(days: int, count: int) -> list[dt.datetime]:
    """Backups every so many days, the newest first."""
    return [STAMP - dt.timedelta(days=days * n) for n in range(count)]


# ---------------------------------------------------------------------------------------------- retention


@given(histories, counts, counts, counts)
def test_the_newest_is_always_kept(stamps: list[dt.datetime], days: int, weeks: int, months: int) -> None:
    kept = retained(stamps, days=days, weeks=weeks, months=months)
    assert kept >= set(sorted(stamps)[-1:])


@given(histories, counts, counts, counts)
def test_nothing_is_kept_that_is_not_there(stamps: list[dt.datetime], days: int, weeks: int, months: int) -> None:
    assert retained(stamps, days=days, weeks=weeks, months=months) <= set(stamps)


@given(histories, counts, counts, counts)
def test_no_more_are_kept_than_asked_for(stamps: list[dt.datetime], days: int, weeks: int, months: int) -> None:
    assert len(retained(stamps, days=days, weeks=weeks, months=months)) <= max(days + weeks + months, 1)


@given(histories, counts, counts, counts)
def test_every_period_asked_for_keeps_its_newest(stamps: list[dt.datetime], days: int, weeks: int, months: int) -> None:
    kept = retained(stamps, days=days, weeks=weeks, months=months)
    recent = sorted({(stamp.year, stamp.month) for stamp in stamps})[-months:] if months else []
    assert all(max(s for s in stamps if (s.year, s.month) == month) in kept for month in recent)


@given(histories, counts, counts, counts)
def test_pruning_after_each_backup_ends_as_pruning_once(
    stamps: list[dt.datetime], days: int, weeks: int, months: int
) -> None:
    left: set[dt.datetime] = set()
    for stamp in sorted(stamps):
        left = retained(left | {stamp}, days=days, weeks=weeks, months=months)
    assert left == retained(stamps, days=days, weeks=weeks, months=months)


def test_a_year_of_daily_backups_leaves_days_weeks_and_months() -> None:
    kept = sorted(retained(every(1, 400), days=7, weeks=5, months=12), reverse=True)
    assert [stamp.date().isoformat() for stamp in kept] == [
        *(f"2026-11-{day}" for day in (22, 21, 20, 19, 18, 17, 16)),  # 22 is also the newest of its week and month
        *("2026-11-15", "2026-11-08", "2026-11-01", "2026-10-31", "2026-10-25"),  # Sundays; the newest of October
        *("2026-09-30", "2026-08-31", "2026-07-31", "2026-06-30", "2026-05-31", "2026-04-30"),
        *("2026-03-31", "2026-02-28", "2026-01-31", "2025-12-31"),
    ]


def test_nothing_is_deleted_because_no_backup_was_made_for_long() -> None:
    yearly = every(365, 4)
    assert retained(yearly, days=7, weeks=5, months=12) == set(yearly)


# ---------------------------------------------------------------------------------------------- in the bucket


def test_a_manifest_is_read_as_it_was_written(s3: S3Client, bucket: str) -> None:
    write_manifest(s3, bucket, MANIFEST)
    assert read_manifest(s3, bucket, STAMP) == MANIFEST


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"form": 1}', b'{"form": 2}', b"\xff"])
def test_a_damaged_manifest_is_told(s3: S3Client, bucket: str, body: bytes) -> None:
    s3.put_object(Bucket=bucket, Key=manifest_key(STAMP), Body=body)
    with pytest.raises(ClaimsPipelineError, match="manifest"):
        read_manifest(s3, bucket, STAMP)


def test_a_dump_without_manifest_is_not_whole(s3: S3Client, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key=dump_key(STAMP), Body=b"dump")
    assert stored(s3, bucket) == [Stored(STAMP, False, (dump_key(STAMP),), 4)]


def test_what_is_none_of_ours_is_left_alone(s3: S3Client, bucket: str) -> None:
    for key in ("backups/README", "backups/20261122/other", "backups/20261122T020000Z/folder/file", "raw/a"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    assert stored(s3, bucket) == []


def test_backups_are_listed_newest_first(s3: S3Client, bucket: str) -> None:
    for stamp in every(1, 3):
        s3.put_object(Bucket=bucket, Key=dump_key(stamp), Body=b"x")
    assert [item.stamp for item in stored(s3, bucket)] == every(1, 3)


def test_a_deletion_begins_with_the_manifest(s3: S3Client, bucket: str) -> None:
    """One that breaks off leaves a leftover, and never a backup that only looks whole."""
    s3.put_object(Bucket=bucket, Key=dump_key(STAMP), Body=b"x")
    write_manifest(s3, bucket, MANIFEST)
    order: list[str] = []
    s3.meta.events.register(
        "before-send.s3.DeleteObject", lambda request, **_: order.append(request.url), unique_id="t"
    )
    try:
        delete(s3, bucket, stored(s3, bucket)[0])
    finally:
        s3.meta.events.unregister("before-send.s3.DeleteObject", unique_id="t")
    assert [url.rpartition("/")[2] for url in order] == ["manifest.json", "warehouse.dump"]
