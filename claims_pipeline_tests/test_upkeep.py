"""What a prune deletes and what it never does: real database, real S3, ages counted from a moment to come."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.feeds.contract import Feed, Retention
from claims_pipeline.landing import layout, s3_deletion
from claims_pipeline.landing import s3 as landing
from claims_pipeline.local import LocalServices
from claims_pipeline.upkeep import Kind, Pruned, chores_of, prune
from claims_pipeline.vocabulary import DumpStatus
from claims_pipeline.warehouse import ledger
from claims_pipeline.warehouse import upkeep as sql
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


# ---------------------------------------------------------------------------------------------- retention of frames


def test_frames_past_their_retention_go(archive: Archive) -> None:
    archive.known(settled_days=100)
    archive.prune(Kind.VALIDATED_FRAMES)
    assert archive.keys("validated/") == set()


def test_the_ledger_remembers_when_frames_went(archive: Archive) -> None:
    dump = archive.known(settled_days=100)
    archive.prune(Kind.VALIDATED_FRAMES)
    assert archive.look(dump).pruned.startswith("its validated frames were pruned on ")


def test_frames_within_their_retention_stay(archive: Archive) -> None:
    archive.known(settled_days=80)
    archive.prune(Kind.VALIDATED_FRAMES)
    assert len(archive.keys("validated/")) == 2


def test_a_dry_run_deletes_nothing_and_counts_what_would_go(archive: Archive) -> None:
    dump = archive.known(settled_days=100)
    done = archive.prune(Kind.VALIDATED_FRAMES, apply=False)
    found = (done.items, done.bytes, len(archive.keys("validated/")), archive.look(dump).pruned)
    assert found == (2, 10, 2, "")


def test_what_went_is_not_counted_again(archive: Archive) -> None:
    archive.known(settled_days=100)
    archive.prune(Kind.VALIDATED_FRAMES)
    assert archive.prune(Kind.VALIDATED_FRAMES).items == 0


def test_frames_of_each_contract_version_go(archive: Archive) -> None:
    dump = archive.known(settled_days=100)
    archive.put(frames_of(dump).replace("abcdefabcdef", "000000000000") + "/rows.parquet")
    archive.prune(Kind.VALIDATED_FRAMES)
    assert archive.keys("validated/") == set()


def test_frames_that_are_made_again_are_no_longer_said_to_be_pruned(archive: Archive) -> None:
    dump = archive.known(settled_days=100)
    archive.prune(Kind.VALIDATED_FRAMES)
    with archive.pipeline.services.database() as connection:
        ledger.validated(
            connection, dump, validated_key=frames_of(dump), contract=FEED.fingerprint, validation={"read": 1}
        )
    assert archive.look(dump).pruned == ""


@pytest.mark.parametrize("status", ["arrived", "archived", "validated", "failed"])
def test_nothing_of_a_dump_with_work_left_goes(archive: Archive, status: str) -> None:
    archive.known(status=status, settled_days=100)
    before = archive.keys()
    for kind in (Kind.VALIDATED_FRAMES, Kind.RAW_BYTES):
        archive.prune(kind, retention=Retention(raw=10, validated=10))
    assert archive.keys() == before


def test_nothing_of_a_held_dump_goes(archive: Archive) -> None:
    dump = archive.known(status="refused", settled_days=100)
    with archive.pipeline.services.database() as connection:
        connection.execute("update ops.dump set verdict = 'held' where dump_id = %s", [dump.dump_id])
    before = archive.keys()
    for kind in (Kind.VALIDATED_FRAMES, Kind.RAW_BYTES):
        archive.prune(kind, retention=Retention(raw=10, validated=10))
    assert archive.keys() == before


# ---------------------------------------------------------------------------------------------- retention of raw bytes


def test_raw_bytes_are_kept_for_ever_unless_the_contract_says_otherwise(archive: Archive) -> None:
    archive.known(settled_days=10_000)
    assert archive.prune(Kind.RAW_BYTES).items == 0


def test_raw_bytes_past_their_retention_go_and_their_notes_stay(archive: Archive) -> None:
    dump = archive.known(settled_days=400)
    archive.prune(Kind.RAW_BYTES, retention=Retention(raw=365))
    raw = raw_of(dump)
    assert archive.keys("raw/") == {layout.manifest_key(raw), layout.pruned_key(raw)}


def test_raw_bytes_within_their_retention_stay(archive: Archive) -> None:
    dump = archive.known(settled_days=360)
    archive.prune(Kind.RAW_BYTES, retention=Retention(raw=365))
    assert raw_of(dump) in archive.keys("raw/")


def test_the_ledger_remembers_when_raw_bytes_went(archive: Archive) -> None:
    dump = archive.known(settled_days=400)
    archive.prune(Kind.RAW_BYTES, retention=Retention(raw=365))
    assert archive.look(dump).pruned.endswith("by retention, and cannot be read again")


def test_a_dump_without_its_bytes_is_not_opened_again(archive: Archive) -> None:
    dump = archive.known(status="refused", settled_days=400)
    archive.prune(Kind.RAW_BYTES, retention=Retention(raw=365))
    with archive.pipeline.services.database() as connection:
        assert ledger.reopen(connection, dump.dump_id) == 0


def test_reading_a_dump_without_its_bytes_says_why_that_is_impossible(archive: Archive) -> None:
    dump = archive.known(settled_days=400)
    archive.prune(Kind.RAW_BYTES, retention=Retention(raw=365))
    with pytest.raises(ClaimsPipelineError, match=r"its bytes were pruned on .* by retention"):
        archive.pipeline.flow.archive(archive.look(dump), FEED)


def test_a_batch_that_s3_refuses_is_not_said_to_be_pruned(archive: Archive) -> None:
    dump = archive.known(settled_days=100)
    events = archive.pipeline.s3.meta.events
    events.register("before-call.s3.DeleteObjects", refuse)
    try:
        done = archive.prune(Kind.VALIDATED_FRAMES)
    finally:
        events.unregister("before-call.s3.DeleteObjects", refuse)
    assert (bool(done.error), archive.look(dump).pruned) == (True, "")


def refuse(**_: object) -> None:
    raise ClaimsPipelineError("the network is gone")


def test_more_dumps_than_fit_into_one_batch_go(archive: Archive) -> None:
    with archive.pipeline.services.database() as connection:
        connection.execute(
            "insert into ops.dump (sender, dataset, bucket, key, etag, size_bytes, last_modified, delivery_day, stamp,"
            " status, settled_at, archive_key) select 'va_form526', %s, 'inbox', n, '', 7, now(), %s, now(), 'loaded',"
            " now() - interval '1 year', 'raw/none/' || n from generate_series(1, 450) n",
            [UPLOADS, FIRST],
        )
    done = archive.prune(Kind.RAW_BYTES, apply=False, retention=Retention(raw=300))
    assert (done.items, done.bytes) == (450, 3150)


# ---------------------------------------------------------------------------------------------- leftovers in S3


def test_what_dumps_name_is_no_leftover(archive: Archive) -> None:
    dump = archive.known()
    archive.put(layout.decision_key(raw_of(dump), 1))
    before = archive.keys()
    for kind in (Kind.RAW_LEFTOVERS, Kind.FRAME_LEFTOVERS):
        archive.prune(kind)
    assert archive.keys() == before


def test_frames_that_no_dump_names_any_more_go(archive: Archive) -> None:
    dump = archive.known()
    archive.put(frames_of(dump).replace("abcdefabcdef", "000000000000") + "/rows.parquet")
    archive.prune(Kind.FRAME_LEFTOVERS)
    assert archive.keys("validated/") == {f"{frames_of(dump)}/{name}.parquet" for name in ("rows", "rejects")}


def test_frames_whose_rows_are_in_effect_stay_when_newer_ones_exist(archive: Archive) -> None:
    dump = archive.known()
    loaded = frames_of(dump).replace("abcdefabcdef", "000000000000")
    archive.put(f"{loaded}/rows.parquet")
    with archive.pipeline.services.database() as connection:
        connection.execute("update ops.dump set loaded_key = %s where dump_id = %s", [loaded, dump.dump_id])
    assert archive.prune(Kind.FRAME_LEFTOVERS).items == 0


def test_half_a_copy_of_a_dump_that_was_overwritten_meanwhile_goes(archive: Archive) -> None:
    dump = archive.known(status="skipped", archived=False)
    archive.put(raw_of(dump))
    archive.prune(Kind.RAW_LEFTOVERS)
    assert archive.keys("raw/") == set()


def test_the_copy_of_an_unknown_dump_goes_once_its_feed_has_one(archive: Archive) -> None:
    dump = archive.known()
    archive.put_manifest(archive.put(raw_of(dump, "unknown")), dump)
    archive.prune(Kind.RAW_LEFTOVERS)
    assert archive.keys("raw/") == {raw_of(dump), layout.manifest_key(raw_of(dump))}


def test_leftovers_younger_than_a_day_stay(archive: Archive) -> None:
    dump = archive.known(status="skipped", archived=False)
    archive.put(raw_of(dump))
    assert archive.prune(Kind.RAW_LEFTOVERS, now=NOW + dt.timedelta(hours=23)).items == 0


def test_a_copy_of_a_dump_with_work_left_stays(archive: Archive) -> None:
    dump = archive.known(status="arrived", archived=False)
    archive.put(raw_of(dump))
    assert archive.prune(Kind.RAW_LEFTOVERS).items == 0


def test_bytes_that_the_ledger_does_not_know_stay_and_are_told(archive: Archive) -> None:
    archive.put("raw/va_form526/form526_uploads/year=2024/month=05/day=06/dump=99999/a.csv")
    done = archive.prune(Kind.RAW_LEFTOVERS)
    assert (done.items, done.besides) == (0, "1 unknown to the ledger, kept")


def test_bytes_of_a_lost_ledger_stay_where_a_new_one_gave_their_number_again(archive: Archive) -> None:
    dump = archive.known()
    other = replace(dump, key="526/another.csv", etag="another")
    archive.put_manifest(archive.put(raw_of(other)), other)
    assert archive.prune(Kind.RAW_LEFTOVERS).items == 0


def test_objects_of_others_in_the_archive_stay(archive: Archive) -> None:
    archive.put("raw/readme.txt")
    done = archive.prune(Kind.RAW_LEFTOVERS)
    assert (done.items, done.besides) == (0, "1 not of this project, kept")


def test_more_leftovers_than_a_page_of_the_listing_holds_go(archive: Archive) -> None:
    dump = archive.known()
    folder = frames_of(dump).replace("abcdefabcdef", "000000000000")
    for number in range(1_001):
        archive.put(f"{folder}/{number}.parquet", b"")
    archive.prune(Kind.FRAME_LEFTOVERS)
    assert len(archive.keys("validated/")) == 2


def test_uploads_that_never_ended_go(archive: Archive) -> None:
    begin_upload(archive)
    done = archive.prune(Kind.UPLOADS)
    left = [u for page in s3_deletion.incomplete_uploads(archive.pipeline.s3, archive.bucket) for u in page]
    assert (done.items, done.bytes, left) == (1, 100, [])


def test_a_bucket_that_has_seen_no_upload_in_parts_has_none_to_end(archive: Archive, bucket: str) -> None:
    assert list(s3_deletion.incomplete_uploads(archive.pipeline.s3, bucket)) == []


def test_uploads_of_today_stay(archive: Archive) -> None:
    begin_upload(archive)
    assert archive.prune(Kind.UPLOADS, now=NOW).items == 0


def begin_upload(archive: Archive) -> None:
    s3, key = archive.pipeline.s3, "raw/big"
    upload_id = s3.create_multipart_upload(Bucket=archive.bucket, Key=key)["UploadId"]
    s3.upload_part(Bucket=archive.bucket, Key=key, UploadId=upload_id, PartNumber=1, Body=b"x" * 100)


# ---------------------------------------------------------------------------------------------- elsewhere


@pytest.fixture
def temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files of the test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_temporary_folders_of_dead_processes_go(archive: Archive, temp: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix="claims-"))
    (folder / "rows.parquet").write_bytes(b"123")
    done = archive.prune(Kind.TEMP_FOLDERS)
    assert (done.items, done.bytes, folder.exists()) == (1, 3, False)


def test_temporary_folders_that_were_written_to_today_stay(archive: Archive, temp: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix="claims-"))
    os.utime(folder, (0, 0))
    (folder / "rows.parquet").write_bytes(b"123")
    assert archive.prune(Kind.TEMP_FOLDERS, now=NOW).items == 0


def test_folders_with_other_contents_are_not_ours(archive: Archive, temp: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix="claims-"))
    (folder / "thesis.doc").write_bytes(b"123")
    assert archive.prune(Kind.TEMP_FOLDERS).items == 0


def test_links_to_folders_are_not_followed(archive: Archive, temp: Path) -> None:
    (temp / "claims-abcdefgh").symlink_to(temp)
    assert archive.prune(Kind.TEMP_FOLDERS).items == 0


@pytest.fixture
def scratch(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A scratch database that a drill has left behind; those of other tests on the server are no concern of ours."""
    prefix = f"claims_scratch_{secrets.token_hex(8)}_"
    monkeypatch.setattr(sql, "SCRATCH", prefix)
    name = f"{prefix}drill"
    with archive.pipeline.services.owner_database() as connection:
        connection.execute(f"create database {name}".encode())
    yield name
    with archive.pipeline.services.owner_database() as connection:
        connection.execute(f"drop database if exists {name} with (force)".encode())


def test_a_scratch_database_stays_when_it_is_first_found(archive: Archive, scratch: str) -> None:
    archive.prune(Kind.SCRATCH_DATABASES)
    assert exists(archive, scratch)


def test_a_scratch_database_goes_a_day_after_it_was_found_by_a_dry_run(archive: Archive, scratch: str) -> None:
    archive.prune(Kind.SCRATCH_DATABASES, apply=False, now=NOW)
    archive.prune(Kind.SCRATCH_DATABASES)
    assert not exists(archive, scratch)


def test_a_scratch_database_that_somebody_is_connected_to_stays(archive: Archive, scratch: str) -> None:
    archive.prune(Kind.SCRATCH_DATABASES, apply=False, now=NOW)
    with psycopg.connect(archive.pipeline.services.owner_database_url, dbname=scratch):
        archive.prune(Kind.SCRATCH_DATABASES)
    assert exists(archive, scratch)


def exists(archive: Archive, database: str) -> bool:
    return bool(archive.pipeline.rows(f"select from pg_database where datname = '{database}'"))


def test_old_messages_go_and_newer_ones_stay(archive: Archive) -> None:
    with archive.pipeline.services.database() as connection:
        connection.execute(
            "insert into ops.message (run_id, channel, ts, sent_at) values"
            " ('old', '', '', now() - interval '100 days'), ('new', '', '', now())"
        )
    archive.prune(Kind.MESSAGES)
    assert archive.pipeline.rows("select run_id from ops.message") == [("new",)]


# ---------------------------------------------------------------------------------------------- the audit


def test_dry_run_and_prune_are_both_in_the_audit(archive: Archive) -> None:
    archive.known(settled_days=100)
    archive.prune(Kind.VALIDATED_FRAMES, apply=False)
    archive.prune(Kind.VALIDATED_FRAMES)
    query = "select kind, dry_run, items, bytes, run_id, requested_by, error from ops.upkeep order by upkeep_id"
    row = ("validated_frames", True, 2, 10, "test", "ada", "")
    assert archive.pipeline.rows(query) == [row, (row[0], False, *row[2:])]


def test_the_audit_of_upkeep_is_append_only(archive: Archive) -> None:
    archive.prune(Kind.MESSAGES)
    owner = archive.pipeline.services.owner_database()
    with owner as connection, pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        connection.execute("delete from ops.upkeep")


def test_a_chore_that_fails_is_audited_and_does_not_stop_the_others(archive: Archive) -> None:
    services = archive.pipeline.services
    chores = [c for c in chores_of(services, now=TOMORROW) if c.kind in (Kind.UPLOADS, Kind.MESSAGES)]

    def fail(apply: bool, tally: object) -> None:
        raise ClaimsPipelineError("S3 refused")

    done = prune(services, [replace(chores[0], work=fail), chores[1]], apply=True, run_id="test", requested_by="ada")
    found = [
        error.partition(" at ")[0] for (error,) in archive.pipeline.rows("select error from ops.upkeep order by 1")
    ]
    assert ([bool(one.error) for one in done], found) == ([True, False], ["", "S3 refused"])


def test_a_dump_that_a_run_has_locked_is_left_for_the_next_prune(archive: Archive) -> None:
    dump = archive.known(settled_days=100)
    with archive.pipeline.services.database() as connection, connection.transaction():
        connection.execute("select from ops.dump where dump_id = %s for update", [dump.dump_id])
        done = archive.prune(Kind.VALIDATED_FRAMES)
    assert (done.items, archive.look(dump).status) == (0, DumpStatus.LOADED)


# ------------------------------------------------------------------------------------------ quarantine


def quarantined(archive: Archive, *, settled_days: int) -> Dump:
    """A dump in the ledger with one row in quarantine, both as old as that."""
    dump = archive.known(settled_days=settled_days)
    with archive.pipeline.services.owner_database() as connection:
        connection.execute(
            "insert into ops.quarantine (dump_id, feed, row_number, columns, rules, contract, load_id, key_version,"
            " sealed, quarantined_at) select %s, %s, 1, '{a}', '{a.b}', fingerprint, 1, 'v1', 'x', %s"
            " from ops.contract limit 1",
            [dump.dump_id, FEED.name, NOW - dt.timedelta(days=settled_days)],
        )
    return dump


def kept_for(archive: Archive, days: int | None) -> Pruned:
    feed = replace(FEED, retention=Retention(quarantine=days))
    services = archive.pipeline.services
    chores = [c for c in chores_of(services, now=TOMORROW, feeds=[feed]) if c.kind is Kind.QUARANTINE]
    (done,) = prune(services, chores, apply=True, run_id="test", requested_by="ada")
    assert done.error == ""
    return done


def test_what_a_quarantined_row_says_goes_with_its_retention_and_that_it_was_there_stays(pipeline: Pipeline) -> None:
    archive = Archive(pipeline)
    old, new = quarantined(archive, settled_days=40), archive.known(2, settled_days=5)
    done = kept_for(archive, 30)
    assert (done.items, pipeline.rows("select length(sealed), rules from ops.quarantine")) == (2, [(0, ["a.b"])])
    kept = {key.rpartition("/")[2] for key in archive.keys(frames_of(old))}
    assert kept == {"rows.parquet"}
    assert len(archive.keys(frames_of(new))) == 2


def test_without_a_retention_quarantined_rows_are_kept(pipeline: Pipeline) -> None:
    archive = Archive(pipeline)
    quarantined(archive, settled_days=4_000)
    assert kept_for(archive, None).items == 0
    assert pipeline.rows("select length(sealed) from ops.quarantine") == [(1,)]
