"""What S3 does not let go after an erasure is told and tried again, and stops nothing else."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from claims_pipeline.erasure import finish
from claims_pipeline.landing import layout
from claims_pipeline.services import Services
from claims_pipeline.upkeep import Kind, chores_of, prune
from claims_pipeline_tests.fix_events import Cloud
from claims_pipeline_tests.fix_pipeline import Pipeline

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LOCKED, FREE = (
    layout.validated_key(sender="va", dataset="a", day=dt.date(2026, 1, 1), dump_id=number, contract="0" * 12)
    for number in (1, 2)
)


@pytest.fixture
def locking(cloud: Cloud) -> S3Client:
    """S3 that knows object locks; the embedded one does not."""
    client: S3Client = cloud.client("s3")
    return client


@pytest.fixture
def erased(pipeline: Pipeline, locking: S3Client) -> Services:
    """A database in which an erasure has noted two folders, in an archive of which one is locked."""
    bucket = pipeline.services.settings.archive_bucket
    locking.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    until = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    locking.put_object(
        Bucket=bucket, Key=f"{LOCKED}/rows.parquet", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=until
    )
    locking.put_object(Bucket=bucket, Key=f"{FREE}/rows.parquet")
    with pipeline.services.owner_database() as connection:
        connection.execute(
            "insert into ops.erasure (kind, sender, persons, rows, objects, not_searched, unread, note, requested_by,"
            " reason, run_id) values ('erase', 'va_form526', '{}', '{}', '[]', 0, 0, '', 'ada', 'a test', 'r')"
        )
    note(pipeline.services, LOCKED, FREE)
    return Services(pipeline.services.settings, lambda: locking)


def note(services: Services, *keys: str) -> None:
    with services.owner_database() as connection, connection.cursor() as cursor:
        cursor.executemany("insert into ops.erasing select %s, erasure_id from ops.erasure", [(key,) for key in keys])


def test_nothing_but_a_folder_of_frames_is_deleted_whatever_a_run_has_noted(erased: Services) -> None:
    bucket, keys = erased.settings.archive_bucket, {"raw", "raw/va/a", "audit", "validated", FREE.rpartition("/")[0]}
    for key in keys:
        erased.s3.put_object(Bucket=bucket, Key=f"{key}/kept")
    note(erased, *keys)
    assert finish(erased, apply=False).deleted == (LOCKED, FREE)
    assert finish(erased).deleted == (FREE,)
    assert all(erased.s3.head_object(Bucket=bucket, Key=f"{key}/kept") for key in keys)


def test_a_locked_folder_is_told_and_does_not_keep_the_others(erased: Services) -> None:
    done = finish(erased)
    assert (done.deleted, done.undeleted) == ((FREE,), (LOCKED,))
    assert "refused" in done.why
    assert finish(erased).undeleted == (LOCKED,)  # and so each time, until the lock ends


def test_a_prune_says_that_a_folder_is_still_there(erased: Services) -> None:
    chores = [chore for chore in chores_of(erased) if chore.kind is Kind.ERASED]
    (done,) = prune(erased, chores, apply=True, run_id="r", requested_by="a test")
    assert done.items == 1
    assert "1 folders of frames from before erasures are still there" in done.error
