"""Superseding dumps, undo, redo, and dumps that must be merged again, on the whole way with real parts."""

from __future__ import annotations

import datetime as dt
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.feeds import Feed
from claims_pipeline.feeds.contract import Snapshot
from claims_pipeline.landing import layout
from claims_pipeline.landing import s3 as landing
from claims_pipeline.undo import redo, undo
from claims_pipeline.vocabulary import DumpStatus, DumpVerdict
from claims_pipeline.warehouse import ledger
from claims_pipeline.warehouse.ledger import Dump
from claims_pipeline.warehouse.migrate import record_contract
from claims_pipeline_tests.fix_pipeline import FEEDS, FIRST, UPLOADS, Pipeline

FEED = FEEDS[UPLOADS]
HEADER = "submission_id,confirmation_code,attachment_id,file_name"


def uploads(*rows: tuple[int, str]) -> bytes:
    """A dump with an upload per row: its number, and its extension, which is all that tells versions apart."""
    lines = [f"{number},00000000-0000-4000-8000-{number:012},L015,scan.{ext}" for number, ext in rows]
    return "\n".join([HEADER, *lines, ""]).encode()


def key_of(day: int) -> str:
    date = FIRST + dt.timedelta(days=day)
    return f"526/{UPLOADS}/dt={date}/{UPLOADS}_{date:%Y%m%d}T050000Z.csv"


def load(pipeline: Pipeline, day: int, *rows: tuple[int, str]) -> Dump:
    pipeline.deliver({key_of(day): uploads(*rows)})
    done = [dump for dump in pipeline.catch_up() if dump.key == key_of(day)]
    return done[-1]


def correct(pipeline: Pipeline, day: int, *rows: tuple[int, str]) -> Dump:
    pipeline.deliver_again(key_of(day), uploads(*rows))
    return [dump for dump in pipeline.catch_up() if dump.key == key_of(day)][-1]


def contents(pipeline: Pipeline) -> list[tuple[int, str]]:
    found = pipeline.rows(f"select submission_id, file_extension from va_form526.{UPLOADS} order by 1, 2")
    return [(number, ext) for number, ext in found]


def again(pipeline: Pipeline, dump: Dump) -> Dump:
    with pipeline.services.database() as connection:
        return ledger.get(connection, dump.dump_id)


def test_a_superseding_dump_replaces_what_its_predecessor_no_longer_brings(pipeline: Pipeline) -> None:
    first = load(pipeline, 0, (1, "pdf"), (2, "pdf"))
    load(pipeline, 1, (3, "pdf"))
    second = correct(pipeline, 0, (1, "jpg"))
    assert (second.status, second.verdict, second.same_as) == (
        DumpStatus.LOADED,
        DumpVerdict.SUPERSEDING,
        first.dump_id,
    )
    assert contents(pipeline) == [(1, "jpg"), (3, "pdf")]
    old = again(pipeline, first)
    assert (old.status, old.in_effect, old.superseded_by) == (DumpStatus.SUPERSEDED, False, second.dump_id)


def test_undo_takes_a_dump_out_and_redo_puts_it_back(pipeline: Pipeline) -> None:
    load(pipeline, 0, (1, "pdf"), (2, "pdf"))
    second = load(pipeline, 1, (3, "pdf"))
    before = pipeline.table(FEED)
    done = undo(pipeline.flow, second, FEED, by="ada", reason="withdrawn")
    assert (done.removed, done.restored) == (1, 0)
    assert contents(pipeline) == [(1, "pdf"), (2, "pdf")]
    assert (again(pipeline, second).status, again(pipeline, second).reason) == (DumpStatus.UNDONE, "ada: withdrawn")
    assert redo(pipeline.flow, again(pipeline, second), FEED, by="ada", reason="right").status is DumpStatus.LOADED
    assert pipeline.table(FEED) == before


def test_what_was_undone_is_not_taken_up_again_by_itself(pipeline: Pipeline) -> None:
    dump = load(pipeline, 0, (1, "pdf"))
    undo(pipeline.flow, dump, FEED, by="ada", reason="withdrawn")
    assert pipeline.catch_up() == []
    assert pipeline.flow.dumps(FEED, [dump.delivery_day], everything=True) == []
    assert contents(pipeline) == []


def test_undoing_a_superseding_dump_brings_its_predecessor_back(pipeline: Pipeline) -> None:
    first = load(pipeline, 0, (1, "pdf"), (2, "pdf"))
    second = correct(pipeline, 0, (1, "jpg"))
    done = undo(pipeline.flow, second, FEED, by="ada", reason="worse than the first")
    assert contents(pipeline) == [(1, "pdf"), (2, "pdf")]
    assert (done.removed, done.restored) == (1, 2)
    assert (again(pipeline, first).status, again(pipeline, first).in_effect) == (DumpStatus.LOADED, True)


def test_an_undo_is_in_the_audit_and_beside_the_raw_dump(pipeline: Pipeline) -> None:
    dump = load(pipeline, 0, (1, "pdf"))
    undo(pipeline.flow, dump, FEED, by="ada", reason="withdrawn")
    audit = pipeline.rows("select kind, rows_removed, reason from ops.load order by load_id")
    assert audit == [("load", 0, ""), ("undo", 1, "ada: withdrawn")]
    assert dump.archive_key is not None
    bucket = pipeline.services.settings.archive_bucket
    with landing.open_object(pipeline.s3, bucket=bucket, key=layout.decision_key(dump.archive_key, 1)) as note:
        assert json.load(note)["what"] == "undo"


def test_an_undo_without_a_reason_changes_nothing(pipeline: Pipeline) -> None:
    dump = load(pipeline, 0, (1, "pdf"))
    with pytest.raises(ClaimsPipelineError, match="--reason"):
        undo(pipeline.flow, dump, FEED, by="ada", reason=" ")
    assert contents(pipeline) == [(1, "pdf")]
    assert again(pipeline, dump).in_effect


def test_only_what_is_in_effect_can_be_undone_and_only_what_was_undone_redone(pipeline: Pipeline) -> None:
    dump = load(pipeline, 0, (1, "pdf"))
    with pytest.raises(ClaimsPipelineError, match="only what was undone can be redone"):
        redo(pipeline.flow, dump, FEED, by="ada", reason="x")
    undo(pipeline.flow, dump, FEED, by="ada", reason="x")
    with pytest.raises(ClaimsPipelineError, match="not in effect"):
        undo(pipeline.flow, dump, FEED, by="ada", reason="x")


# ------------------------------------------------------------------------------------------ what was true on a day


def documented(number: int, moment: str) -> str:
    """A query of docs/history.md, for another moment or row."""
    page = (Path(__file__).parent.parent / "docs" / "history.md").read_text()
    queries = re.findall(r"(?:^    .*\n)+", page, re.MULTILINE)
    wanted = [query for query in queries if "__versions" in query][number]
    return re.sub(r"'2026-03-01'|4711", moment, wanted).strip().rstrip(";")


def test_the_documented_queries_tell_what_the_sender_said_and_what_the_table_showed(pipeline: Pipeline) -> None:
    load(pipeline, 0, (1, "pdf"))
    late = load(pipeline, 2, (1, "jpg"))
    ((shown,),) = pipeline.rows("select clock_timestamp()::text")
    undo(pipeline.flow, late, FEED, by="ada", reason="x")
    load(pipeline, 1, (1, "png"))
    on_the_last_day = f"'{FIRST + dt.timedelta(days=3)}'"
    columns = "select file_extension from"
    by_delivery = documented(0, on_the_last_day).replace("select * from", columns)
    by_the_clock = documented(1, f"'{shown}'").replace("select * from", columns)
    assert (pipeline.rows(by_delivery), pipeline.rows(by_the_clock)) == ([("png",)], [("jpg",)])
    assert [row[4] for row in pipeline.rows(documented(2, "1"))] == ["updated", "rewound", "updated", None]


# ------------------------------------------------------------------------------------------ merging later dumps again


def delete_below(pipeline: Pipeline, prefix: str) -> None:
    bucket = pipeline.services.settings.archive_bucket
    for page in landing.list_objects(pipeline.s3, bucket, prefix):
        for item in page:
            pipeline.s3.delete_object(Bucket=bucket, Key=item.key)


def test_frames_that_retention_took_are_made_from_the_raw_archive_again(pipeline: Pipeline) -> None:
    first = load(pipeline, 0, (1, "pdf"))
    load(pipeline, 1, (1, "jpg"), (2, "jpg"))
    delete_below(pipeline, "validated/")
    undo(pipeline.flow, first, FEED, by="ada", reason="x")
    assert (1, "jpg") in contents(pipeline)


def test_without_the_raw_dump_either_nothing_is_changed_and_the_dump_is_named(pipeline: Pipeline) -> None:
    first = load(pipeline, 0, (1, "pdf"))
    later = load(pipeline, 1, (1, "jpg"))
    delete_below(pipeline, "validated/")
    delete_below(pipeline, "raw/")
    before = contents(pipeline)
    with pytest.raises(ClaimsPipelineError, match=rf"dump {later.dump_id} .*retention"):
        undo(pipeline.flow, first, FEED, by="ada", reason="x")
    assert contents(pipeline) == before
    assert again(pipeline, first).in_effect


# ------------------------------------------------------------------------------------------ snapshots


@pytest.fixture
def snapshots(pipeline: Pipeline) -> Feed:
    feed = replace(FEED, snapshot=Snapshot(least_deleted=1, most_deleted=0.2))
    with pipeline.services.database() as connection:
        record_contract(connection, feed)
    return feed


def take(pipeline: Pipeline, feed: Feed, day: int, *rows: tuple[int, str]) -> Dump:
    pipeline.deliver({key_of(day): uploads(*rows)})
    dump = next(d for d in pipeline.flow.discover(feed.sender).open if d.key == key_of(day))
    flow = pipeline.flow
    return flow.load(flow.validate(flow.archive(dump, feed), feed), feed)


def test_a_row_that_a_snapshot_lacks_is_deleted_and_in_history(pipeline: Pipeline, snapshots: Feed) -> None:
    take(pipeline, snapshots, 0, (1, "pdf"), (2, "pdf"))
    take(pipeline, snapshots, 1, (1, "pdf"))
    assert contents(pipeline) == [(1, "pdf")]
    ended = pipeline.rows(f'select submission_id, ended from history."va_form526__{UPLOADS}__versions"')
    assert sorted(ended, key=repr) == [(1, None), (2, "deleted")]


def test_a_snapshot_that_would_delete_too_much_waits_and_is_loaded_when_approved(
    pipeline: Pipeline, snapshots: Feed
) -> None:
    take(pipeline, snapshots, 0, (1, "pdf"), (2, "pdf"), (3, "pdf"))
    held = take(pipeline, snapshots, 1, (1, "pdf"))
    assert (held.status, held.verdict) == (DumpStatus.REFUSED, DumpVerdict.HELD)
    assert held.reason.startswith("the snapshot lacks 2 of the table's 3 rows, 1 allowed; waits for")
    assert len(contents(pipeline)) == 3
    pipeline.settle(ledger.approve, held)
    assert pipeline.flow.load(again(pipeline, held), snapshots).status is DumpStatus.LOADED
    assert contents(pipeline) == [(1, "pdf")]


def test_a_snapshot_far_shorter_than_its_past_waits_before_anything_is_compared(
    pipeline: Pipeline, snapshots: Feed
) -> None:
    for day in range(3):
        take(pipeline, snapshots, day, *((n, "pdf") for n in range(1, 5)))
    held = take(pipeline, snapshots, 3, (1, "pdf"))
    assert held.verdict is DumpVerdict.HELD
    assert "the snapshot has 1 rows; the last 3 had 4 in the median" in held.reason
