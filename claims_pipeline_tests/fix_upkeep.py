"""An archive and a ledger to prune, with ages counted from a moment to come.

Belongs here: what has gone stale, and one chore at a time. Does not belong here: what is expected of it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from claims_pipeline.feeds.contract import Feed, Retention
from claims_pipeline.landing import layout, s3_deletion
from claims_pipeline.landing import s3 as landing
from claims_pipeline.local import LocalServices
from claims_pipeline.upkeep import Kind, Pruned, chores_of, prune
from claims_pipeline.warehouse import ledger
from claims_pipeline.warehouse.ledger import Arrival, Dump
from claims_pipeline_tests.fix_pipeline import FEEDS, FIRST, UPLOADS, Pipeline, pipeline_of

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

NOW = dt.datetime.now(dt.UTC)
TOMORROW = NOW + dt.timedelta(days=1, hours=1)
"""When what the tests write is a leftover by its age."""

FEED = FEEDS[UPLOADS]
BYTES = b"12345"


class Archive:
    """The archive and the ledger of a test, and prunes of them."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.bucket = pipeline.services.settings.archive_bucket

    def put(self, key: str, body: bytes = BYTES) -> str:
        self.pipeline.s3.put_object(Bucket=self.bucket, Key=key, Body=body)
        return key

    def keys(self, prefix: str = "") -> set[str]:
        return {item.key for page in landing.list_objects(self.pipeline.s3, self.bucket, prefix) for item in page}

    def known(self, number: int = 1, *, status: str = "loaded", settled_days: int = 0, archived: bool = True) -> Dump:
        """A dump in the ledger, settled so many days ago; its bytes, manifest and frames in the archive if it is so."""
        stamp = dt.datetime(2024, 5, 6, 5, number, tzinfo=dt.UTC)
        name = f"526/{UPLOADS}_{number}.csv"
        arrival = Arrival("va_form526", UPLOADS, self.pipeline.inbox, name, f"etag{number}", 5, stamp, FIRST, stamp)
        with self.pipeline.services.database() as connection:
            dump = ledger.register(connection, [arrival])[0]
            connection.execute(
                "update ops.dump set status = %s, verdict = 'new', settled_at = %s where dump_id = %s",
                [status, NOW - dt.timedelta(days=settled_days), dump.dump_id],
            )
            if archived:
                raw = self.put(raw_of(dump))
                self.put_manifest(raw, dump)
                frames = frames_of(dump)
                self.put(f"{frames}/rows.parquet")
                self.put(f"{frames}/rejects.parquet")
                connection.execute(
                    "update ops.dump set archive_key = %s, validated_key = %s, sha256 = %s where dump_id = %s",
                    [raw, frames, hashlib.sha256(BYTES).hexdigest(), dump.dump_id],
                )
            return ledger.get(connection, dump.dump_id)

    def put_manifest(self, key: str, dump: Dump) -> str:
        body = json.dumps({"bucket": dump.bucket, "key": dump.key, "etag": dump.etag}).encode()
        return self.put(layout.manifest_key(key), body)

    def look(self, dump: Dump) -> Dump:
        with self.pipeline.services.database() as connection:
            return ledger.get(connection, dump.dump_id)

    def prune(
        self, kind: Kind, *, apply: bool = True, now: dt.datetime = TOMORROW, retention: Retention | None = None
    ) -> Pruned:
        """One chore; the feed's retention replaced where one is given."""
        feeds: list[Feed] = [replace(FEED, retention=retention)] if retention else [FEED]
        chores = [c for c in chores_of(self.pipeline.services, now=now, feeds=feeds) if c.kind is kind]
        (done,) = prune(self.pipeline.services, chores, apply=apply, run_id="test", requested_by="ada")
        return done


@pytest.fixture(scope="module")
def shared(services: LocalServices, s3: S3Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """One pipeline for all tests here: making one takes longer than any of them."""
    with pipeline_of(services, s3, tmp_path_factory.mktemp("upkeep")) as pipeline:
        yield pipeline


@pytest.fixture
def archive(shared: Pipeline) -> Archive:
    """An empty archive and an empty ledger."""
    archive = Archive(shared)
    s3_deletion.delete_objects(shared.s3, bucket=archive.bucket, keys=sorted(archive.keys()))
    with shared.services.owner_database() as connection, connection.transaction():
        connection.execute("set local session_replication_role = replica")  # the audit refuses to forget
        connection.execute("truncate ops.dump, ops.upkeep, ops.message cascade")
    return archive


def raw_of(dump: Dump, dataset: str = UPLOADS) -> str:
    return layout.raw_key(
        sender=dump.sender, dataset=dataset, day=dump.delivery_day, dump_id=dump.dump_id, inbox_key=dump.key
    )


def frames_of(dump: Dump) -> str:
    return raw_of(dump).replace("raw/", "validated/", 1).rpartition("/")[0] + "/abcdefabcdef"
