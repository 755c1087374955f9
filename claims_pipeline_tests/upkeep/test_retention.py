"""What a contract lets go, and when: real database, real S3, ages counted from a moment to come."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.feeds.contract import Retention
from claims_pipeline.landing import layout
from claims_pipeline.upkeep import Kind, Pruned, chores_of, prune
from claims_pipeline.warehouse import ledger
from claims_pipeline.warehouse.ledger import Dump
from claims_pipeline_tests.fix_pipeline import FIRST, UPLOADS, Pipeline
from claims_pipeline_tests.fix_upkeep import FEED, NOW, TOMORROW, Archive, frames_of, raw_of

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
