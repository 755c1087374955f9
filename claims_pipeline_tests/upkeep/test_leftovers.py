"""What killed runs left behind goes, and nothing else: real database, real S3, real files."""

from __future__ import annotations

import datetime as dt
import os
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from claims_pipeline.landing import layout, s3_deletion
from claims_pipeline.upkeep import Kind
from claims_pipeline.warehouse import upkeep as sql
from claims_pipeline_tests.fix_upkeep import NOW, Archive, frames_of, raw_of

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
    for number in range(5):
        archive.put(f"{folder}/{number}.parquet", b"")
    events = archive.pipeline.s3.meta.events
    events.register("before-parameter-build.s3.ListObjectsV2", pages_of_two)
    try:
        archive.prune(Kind.FRAME_LEFTOVERS)
    finally:
        events.unregister("before-parameter-build.s3.ListObjectsV2", pages_of_two)
    assert len(archive.keys("validated/")) == 2


def pages_of_two(params: dict[str, object], **_: object) -> None:
    params["MaxKeys"] = 2


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
