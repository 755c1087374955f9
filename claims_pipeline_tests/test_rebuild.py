"""A rebuild makes of the raw archive alone what the live database holds, whatever became of the dumps on the way."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from pydantic import SecretStr

from claims_pipeline import decisions
from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline.rebuild import Comparison, Rebuilt, archived_dumps, choose, compare_with, rebuild, snapshot
from claims_pipeline.services import Services
from claims_pipeline.undo import redo, undo
from claims_pipeline.vocabulary import DumpStatus, DumpVerdict
from claims_pipeline.warehouse import ledger
from claims_pipeline.warehouse.connection import connect
from claims_pipeline.warehouse.ledger import Dump
from claims_pipeline.warehouse.rebuilt import Candidate
from claims_pipeline_tests.fix_pipeline import FEEDS, JOBS, SUBMISSIONS, UPLOADS, Pipeline, only, written
from claims_pipeline_tests.test_flow import corrected

WHY = {"by": "ada", "reason": "a test"}


@pytest.fixture
def empty(database_url: str) -> str:
    """URL of an empty database beside the live one."""
    return database_url


def made(pipeline: Pipeline, url: str, *datasets: str) -> tuple[Rebuilt, Comparison]:
    """A rebuild of one dataset, if no other is named, and its comparison with the live tables."""
    wanted = [FEEDS[dataset] for dataset in datasets or (JOBS,)]
    live = snapshot(pipeline.services, wanted)
    done = rebuild(pipeline.services, url, run_id="test", feeds=wanted, live=live)
    return done, compare_with(pipeline.services, url, feeds=wanted, live=live)


def dumps_in(url: str) -> list[Dump]:
    with connect(url) as connection:
        return sorted(ledger.select(connection, "true"), key=lambda dump: dump.dump_id)


def loaded(pipeline: Pipeline) -> tuple[str, bytes, Dump]:
    """One dump, delivered and loaded."""
    key, body = only(written(JOBS)[1])
    pipeline.deliver({key: body})
    (dump,) = pipeline.catch_up()
    assert dump.status is DumpStatus.LOADED
    return key, body, dump


def keys_of(pipeline: Pipeline) -> set[str]:
    bucket = pipeline.services.settings.archive_bucket
    pages = pipeline.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return {item["Key"] for page in pages for item in page.get("Contents", [])}


# ------------------------------------------------------------------------------------------ equal


def test_three_days_of_all_feeds_are_made_again_as_they_are(pipeline: Pipeline, empty: str) -> None:
    pipeline.deliver(written(days=3, rows=30, dirt=0.05)[1])
    pipeline.catch_up()
    live = snapshot(pipeline.services)
    assert rebuild(pipeline.services, empty, run_id="test", live=live).rows > 0
    assert compare_with(pipeline.services, empty, live=live).summary == ""


def test_dumps_keep_their_numbers_and_what_became_of_them(pipeline: Pipeline, empty: str) -> None:
    pipeline.deliver(written(JOBS, UPLOADS, days=2, rows=10)[1])
    live = sorted(pipeline.catch_up(), key=lambda dump: dump.dump_id)
    made(pipeline, empty, JOBS, UPLOADS)

    def facts(dumps: list[Dump]) -> list[tuple[object, ...]]:
        return [(d.dump_id, d.key, d.status, d.verdict, d.same_as, d.in_effect, d.arrived_at) for d in dumps]

    assert facts(dumps_in(empty)) == facts([dump for dump in live if dump.archive_key])


def test_days_that_came_in_reverse_order_are_made_again_as_they_are(pipeline: Pipeline, empty: str) -> None:
    for key, body in sorted(written(SUBMISSIONS, days=3, rows=20)[1].items(), reverse=True):
        pipeline.deliver({key: body})
        pipeline.catch_up()
    assert made(pipeline, empty, SUBMISSIONS)[1].summary == ""


def test_a_superseded_and_a_repeated_dump_are_so_again(pipeline: Pipeline, empty: str) -> None:
    key, body, _ = loaded(pipeline)
    pipeline.deliver_again(key, corrected(body))
    pipeline.deliver({key.replace("T05", "T07"): corrected(body)})
    pipeline.catch_up()
    _, comparison = made(pipeline, empty)
    assert [dump.verdict for dump in dumps_in(empty)] == [
        DumpVerdict.NEW,
        DumpVerdict.SUPERSEDING,
        DumpVerdict.DUPLICATE,
    ]
    assert comparison.summary == ""


def test_an_approved_dump_is_loaded_again(pipeline: Pipeline, empty: str) -> None:
    pipeline.deliver(written(UPLOADS, rows=150, dirt=0.9)[1])
    (held,) = pipeline.catch_up()
    decisions.decide(pipeline.services, held, "approve", **WHY)
    pipeline.catch_up()
    done, comparison = made(pipeline, empty, UPLOADS)
    assert (done.statuses, done.rows > 0, comparison.summary) == ({"loaded": 1}, True, "")


def test_a_rejected_dump_stays_out(pipeline: Pipeline, empty: str) -> None:
    pipeline.deliver(written(UPLOADS, rows=150, dirt=0.9)[1])
    (held,) = pipeline.catch_up()
    decisions.decide(pipeline.services, held, "reject", **WHY)
    made(pipeline, empty, UPLOADS)
    (dump,) = dumps_in(empty)
    assert (dump.status, "rejected by ada" in dump.reason) == (DumpStatus.REFUSED, True)


def test_an_undone_superseding_dump_gives_way_to_its_predecessor_again(pipeline: Pipeline, empty: str) -> None:
    key, body, first = loaded(pipeline)
    pipeline.deliver_again(key, corrected(body))
    (second,) = pipeline.catch_up()
    undo(pipeline.flow, second, FEEDS[JOBS], **WHY)
    _, comparison = made(pipeline, empty)
    assert [dump.dump_id for dump in dumps_in(empty) if dump.in_effect] == [first.dump_id]
    assert comparison.summary == ""


def test_a_redone_dump_is_in_effect_again(pipeline: Pipeline, empty: str) -> None:
    _, _, dump = loaded(pipeline)
    undo(pipeline.flow, dump, FEEDS[JOBS], **WHY)
    with pipeline.services.database() as connection:
        undone = ledger.get(connection, dump.dump_id)
    redo(pipeline.flow, undone, FEEDS[JOBS], **WHY)
    done, comparison = made(pipeline, empty)
    assert (done.statuses, comparison.summary) == ({"loaded": 1}, "")


def test_a_dump_that_came_again_after_it_was_undone_is_loaded_again(pipeline: Pipeline, empty: str) -> None:
    key, body, dump = loaded(pipeline)
    undo(pipeline.flow, dump, FEEDS[JOBS], **WHY)
    pipeline.deliver_again(key, body)
    pipeline.catch_up()
    _, comparison = made(pipeline, empty)
    assert [dump.status for dump in dumps_in(empty)] == [DumpStatus.UNDONE, DumpStatus.LOADED]
    assert comparison.summary == ""


def test_decisions_are_in_the_new_database_as_they_were_made(pipeline: Pipeline, empty: str) -> None:
    _, _, dump = loaded(pipeline)
    undo(pipeline.flow, dump, FEEDS[JOBS], **WHY)
    made(pipeline, empty)
    query = "select dump_id, what, decided_by, reason, decided_at from ops.decision"
    with connect(empty) as connection:
        assert connection.execute(query).fetchall() == pipeline.rows(query)


def test_a_dump_that_no_contract_knows_is_entered_as_unknown(pipeline: Pipeline, empty: str) -> None:
    pipeline.deliver({f"{SENDER.prefix}news_20240506.csv": b"a,b\n1,2\n"})
    pipeline.catch_up()
    rebuild(pipeline.services, empty, run_id="test")
    assert [(dump.status, dump.verdict) for dump in dumps_in(empty)] == [(DumpStatus.SKIPPED, DumpVerdict.UNKNOWN)]


def test_of_a_dump_that_was_unknown_at_first_what_it_was_recognised_as_counts(pipeline: Pipeline) -> None:
    _, _, dump = loaded(pipeline)
    bucket, key = pipeline.services.settings.archive_bucket, f"{dump.archive_key}.manifest.json"
    manifest = json.loads(pipeline.s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    manifest["feed"] = f"{SENDER.name}/unknown"
    copy = key.replace(f"/{JOBS}/", "/unknown/", 1)
    pipeline.s3.put_object(Bucket=bucket, Key=copy, Body=json.dumps(manifest).encode())
    assert [found.entry.dataset for found in archived_dumps(pipeline.services)] == [JOBS]


def test_of_one_feed_only_its_dumps_are_taken(pipeline: Pipeline, empty: str) -> None:
    pipeline.deliver(written(JOBS, UPLOADS)[1])
    pipeline.catch_up()
    done, comparison = made(pipeline, empty, UPLOADS)
    assert (done.feeds, done.dumps, comparison.summary) == ((FEEDS[UPLOADS].name,), 1, "")


# ------------------------------------------------------------------------------------------ not loaded, on purpose


def test_for_a_comparison_a_dump_that_is_still_open_is_not_loaded(pipeline: Pipeline, empty: str) -> None:
    dump = pipeline.arrive(written(JOBS)[1])
    pipeline.flow.archive(dump, FEEDS[JOBS])
    done, comparison = made(pipeline, empty)
    assert (done.statuses, comparison.summary) == ({"archived": 1}, "")


def test_for_a_comparison_a_dump_that_was_given_up_does_not_stand_for_its_repetition(
    pipeline: Pipeline, empty: str
) -> None:
    key, body = only(written(JOBS)[1])
    dump = pipeline.flow.archive(pipeline.arrive({key: body}), FEEDS[JOBS])
    with pipeline.services.database() as connection:
        ledger.settle(connection, dump.dump_id, DumpStatus.FAILED, reason="a test")
    pipeline.deliver_again(key, body)
    pipeline.catch_up()
    done, comparison = made(pipeline, empty)
    assert (done.statuses, comparison.summary) == ({"failed": 1, "loaded": 1}, "")


# ------------------------------------------------------------------------------------------ different


def test_a_live_row_that_was_changed_by_hand_is_found_and_counted(pipeline: Pipeline, empty: str) -> None:
    loaded(pipeline)
    with pipeline.services.database() as connection:
        connection.execute(
            "update va_form526.form526_job_statuses set error_class = 'by hand' where ctid in"
            " (select ctid from va_form526.form526_job_statuses limit 2)"
        )
    _, comparison = made(pipeline, empty)
    found = [(d.table, d.missing, d.extra) for d in comparison.differences]
    assert found == [("va_form526.form526_job_statuses", 2, 2)]


def test_a_history_that_lost_a_row_is_found(pipeline: Pipeline, empty: str) -> None:
    key, body, _ = loaded(pipeline)
    pipeline.deliver({key.replace("0506", "0507"): corrected(body)})
    pipeline.catch_up()
    with pipeline.services.database() as connection:
        history = "history.va_form526__form526_job_statuses"
        connection.execute(f"delete from {history} where ctid = (select min(ctid) from {history})".encode())
    _, comparison = made(pipeline, empty)
    found = [(d.table, d.missing, d.extra) for d in comparison.differences]
    assert found == [("history.va_form526__form526_job_statuses", 0, 1)]


def test_a_dump_that_the_live_tables_refused_once_is_named(pipeline: Pipeline, empty: str) -> None:
    _, _, dump = loaded(pipeline)
    with pipeline.services.database() as connection:
        connection.execute("delete from va_form526.form526_job_statuses")
        connection.execute("update ops.dump set status = 'refused', in_effect = false")
    _, comparison = made(pipeline, empty)
    assert comparison.only_rebuilt == (dump.dump_id,)


def test_a_dump_whose_bytes_are_gone_is_counted(pipeline: Pipeline, empty: str) -> None:
    _, _, dump = loaded(pipeline)
    pipeline.s3.delete_object(Bucket=pipeline.services.settings.archive_bucket, Key=dump.archive_key or "")
    done, comparison = made(pipeline, empty)
    assert (done.gone, comparison.equal) == (1, False)


def test_a_dump_whose_bytes_were_changed_is_not_loaded(pipeline: Pipeline, empty: str) -> None:
    _, body, dump = loaded(pipeline)
    bucket = pipeline.services.settings.archive_bucket
    pipeline.s3.put_object(Bucket=bucket, Key=dump.archive_key or "", Body=corrected(body))
    done, _ = made(pipeline, empty)
    assert (done.gone, done.rows) == (1, 0)


# ------------------------------------------------------------------------------------------ where to, and again


def test_a_database_that_is_not_empty_is_refused_and_stays_as_it_is(pipeline: Pipeline, empty: str) -> None:
    with connect(empty) as connection:
        connection.execute("create table mine (id int)")
        with pytest.raises(ClaimsPipelineError, match="not empty"):
            rebuild(pipeline.services, empty, run_id="test")
        assert connection.execute("select to_regnamespace('ops')").fetchone() == (None,)


def test_the_live_database_is_refused(pipeline: Pipeline) -> None:
    with pytest.raises(ClaimsPipelineError, match="not empty"):
        rebuild(pipeline.services, pipeline.services.database_url, run_id="test")


def test_a_rebuild_of_one_feed_is_not_gone_on_with_for_another(pipeline: Pipeline, empty: str) -> None:
    rebuild(pipeline.services, empty, run_id="test", feeds=[FEEDS[JOBS]])
    with pytest.raises(ClaimsPipelineError, match="other feeds"):
        rebuild(pipeline.services, empty, run_id="test", feeds=[FEEDS[UPLOADS]])


class PowerCutError(Exception):
    """The machine goes."""


def test_a_rebuild_that_was_broken_off_goes_on(pipeline: Pipeline, empty: str) -> None:
    pipeline.deliver(written(JOBS, days=3, rows=10)[1])
    dumps = pipeline.catch_up()
    undo(pipeline.flow, dumps[0], FEEDS[JOBS], **WHY)

    def cut(done: int, of: int, name: str) -> None:
        if done == 2:
            raise PowerCutError

    with pytest.raises(PowerCutError):
        rebuild(pipeline.services, empty, run_id="test", feeds=[FEEDS[JOBS]], each=cut)
    done, comparison = made(pipeline, empty)
    assert (done.statuses, comparison.summary) == ({"loaded": 2, "undone": 1}, "")


def test_a_rebuild_that_was_ended_is_left_as_it_is(pipeline: Pipeline, empty: str) -> None:
    loaded(pipeline)
    made(pipeline, empty)
    query = "select count(*), max(load_id) from ops.load"
    with connect(empty) as connection:
        before = connection.execute(query).fetchone()
        made(pipeline, empty)
        assert connection.execute(query).fetchone() == before


def test_the_archive_is_as_it_was(pipeline: Pipeline, empty: str) -> None:
    _, _, dump = loaded(pipeline)
    undo(pipeline.flow, dump, FEEDS[JOBS], **WHY)
    before = keys_of(pipeline)
    made(pipeline, empty)
    assert keys_of(pipeline) == before


def test_the_rebuilt_database_takes_the_next_dumps_even_late_ones(pipeline: Pipeline, empty: str) -> None:
    days = sorted(written(JOBS, days=3, rows=20)[1].items())
    pipeline.deliver(dict(days[1:]))
    pipeline.catch_up()
    made(pipeline, empty)
    pipeline.deliver(dict(days[:1]))
    (live,) = pipeline.catch_up()
    settings = pipeline.services.settings.model_copy(update={"database_url": SecretStr(empty)})
    (rebuilt,) = Pipeline(Services(settings, lambda: pipeline.s3), pipeline.s3).catch_up()
    assert (rebuilt.dump_id, rebuilt.status) == (live.dump_id, DumpStatus.LOADED)
    assert compare_with(pipeline.services, empty, feeds=[FEEDS[JOBS]]).summary == ""


def test_a_manifest_that_cannot_be_read_is_named(pipeline: Pipeline) -> None:
    _, _, dump = loaded(pipeline)
    bucket = pipeline.services.settings.archive_bucket
    pipeline.s3.put_object(Bucket=bucket, Key=f"{dump.archive_key}.manifest.json", Body=b"{}")
    with pytest.raises(ClaimsPipelineError, match=r"manifest\.json cannot be understood"):
        archived_dumps(pipeline.services)


# ------------------------------------------------------------------------------------------ the sample

LONG_AGO, LATELY = (dt.datetime(2026, 5, day, tzinfo=dt.UTC) for day in (1, 8))
ALONE = {name: [name] for name in "abc"}


def candidate(feed: str, at: dt.datetime | None = None, *, raw_bytes: int = 1, pruned: bool = False) -> Candidate:
    return Candidate(feed, raw_bytes, pruned, at)


def test_a_feed_that_was_never_drilled_comes_first() -> None:
    assert choose([candidate("a", LONG_AGO), candidate("b")], ALONE, most_bytes=9) == ("b",)


def test_of_drilled_feeds_the_one_drilled_longest_ago_comes_first() -> None:
    assert choose([candidate("a", LATELY), candidate("b", LONG_AGO)], ALONE, most_bytes=9) == ("b",)


def test_a_feed_that_is_too_large_with_its_kin_is_left_out() -> None:
    families = ALONE | {"a": ["a", "b"], "b": ["a", "b"]}
    sizes = [candidate("a", raw_bytes=5), candidate("b", raw_bytes=5), candidate("c", LATELY)]
    assert choose(sizes, families, most_bytes=9) == ("c",)


def test_a_feed_that_retention_has_pruned_is_left_out() -> None:
    assert choose([candidate("a", pruned=True)], ALONE, most_bytes=9) is None
