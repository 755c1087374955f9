"""A replay takes in what keeps the contract now, and nothing else changes."""

from __future__ import annotations

import datetime as dt

import pytest

from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline.replay import Replayed, replay
from claims_pipeline.vocabulary import DumpStatus, DumpVerdict
from claims_pipeline.warehouse import ledger
from claims_pipeline.warehouse.ledger import Dump
from claims_pipeline.warehouse.quarantine import Selection
from claims_pipeline_tests.fix_dagster import DAY, UPLOADS, as_csv, upload_lines, upload_name
from claims_pipeline_tests.fix_pipeline import Pipeline
from claims_pipeline_tests.fix_quarantine import (
    LASTING_RULE,
    MIXED,
    STRICT_RULE,
    load_strictly,
    no_code,
    other_kind,
)

ALL = Selection()
NEXT_DAY = DAY + dt.timedelta(days=1)


def loaded(pipeline: Pipeline, body: bytes = MIXED, *, day: dt.date = DAY, approve: bool = False) -> Dump:
    """A dump loaded under the strict contract."""
    pipeline.deliver({SENDER.prefix + upload_name(day): body})
    return load_strictly(pipeline.flow, approve=approve)


def replayed(pipeline: Pipeline, which: Selection = ALL, *, dry_run: bool = False) -> list[Replayed]:
    return replay(pipeline.flow, which, dry_run=dry_run)


def now(pipeline: Pipeline, dump: Dump) -> Dump:
    with pipeline.services.database() as connection:
        return ledger.get(connection, dump.dump_id)


def still_open(pipeline: Pipeline) -> list[int]:
    found = pipeline.rows(
        "select row_number from ops.quarantine where resolved_at is null order by dump_id, row_number"
    )
    return [row[0] for row in found]


def submissions(pipeline: Pipeline) -> list[int]:
    found = pipeline.rows(f"select submission_id from va_form526.{UPLOADS} order by 1")
    return [row[0] for row in found]


def state(pipeline: Pipeline) -> list[object]:
    """All that a replay could change."""
    tables = (f"va_form526.{UPLOADS}", "ops.load", "ops.quarantine", "ops.dump", "ops.contract")
    return [pipeline.rows(f"select t::text from {table} t order by 1") for table in tables]


def test_rows_that_pass_now_are_in_the_table(pipeline: Pipeline) -> None:
    loaded(pipeline)
    assert 7 not in submissions(pipeline)
    replayed(pipeline)
    assert 7 in submissions(pipeline)


def test_rows_that_still_break_a_rule_stay_in_quarantine(pipeline: Pipeline) -> None:
    loaded(pipeline)
    assert still_open(pipeline) == [4, 5]
    replayed(pipeline)
    assert still_open(pipeline) == [5]


def test_it_tells_what_passed_by_rule(pipeline: Pipeline) -> None:
    loaded(pipeline)
    (done,) = replayed(pipeline)
    assert (done.open, done.passed, done.trouble) == ({STRICT_RULE: 1, LASTING_RULE: 1}, {STRICT_RULE: 1}, "")


def test_a_second_replay_changes_no_row(pipeline: Pipeline) -> None:
    loaded(pipeline)
    replayed(pipeline)
    before = pipeline.rows(f"select t::text from va_form526.{UPLOADS} t order by 1")
    (done,) = replayed(pipeline)
    after = pipeline.rows(f"select t::text from va_form526.{UPLOADS} t order by 1")
    assert (done.passed, after) == ({}, before)


def test_a_replayed_row_does_not_overwrite_a_newer_version(pipeline: Pipeline) -> None:
    loaded(pipeline, as_csv([*upload_lines(3), other_kind(7, file_name="old.pdf")]))
    newer = loaded(
        pipeline, as_csv([*upload_lines(3), other_kind(7, file_name="new.png").replace("L107", "L015")]), day=NEXT_DAY
    )
    replayed(pipeline)
    found = pipeline.rows(f"select file_extension, _dump_id from va_form526.{UPLOADS} where submission_id = 7")
    assert [(str(extension).strip("."), dump) for extension, dump in found] == [("png", newer.dump_id)]


def test_the_audit_calls_it_a_reload_under_the_contract_of_now(pipeline: Pipeline) -> None:
    dump = loaded(pipeline)
    replayed(pipeline)
    found = pipeline.rows(f"select kind, contract <> '{dump.contract}' from ops.load order by load_id")
    assert found == [("load", False), ("reload", True)]


# ---------------------------------------------------------------------------------------------- dry run


def test_a_dry_run_writes_nothing(pipeline: Pipeline) -> None:
    loaded(pipeline)
    before = state(pipeline)
    replayed(pipeline, dry_run=True)
    assert state(pipeline) == before


def test_a_dry_run_foretells_what_a_replay_does(pipeline: Pipeline) -> None:
    loaded(pipeline)
    assert replayed(pipeline, dry_run=True) == replayed(pipeline)


# ---------------------------------------------------------------------------------------------- which


@pytest.mark.parametrize(
    ("which", "dumps"),
    [
        (Selection(feed=f"{SENDER.name}/{UPLOADS}"), 2),
        (Selection(feed="va_form526/form526_submissions"), 0),
        (Selection(rule=STRICT_RULE), 2),
        (Selection(rule=LASTING_RULE), 1),
        (Selection(day=NEXT_DAY), 1),
        (Selection(dump_id=1), 1),
    ],
    ids=["feed", "another feed", "rule", "rule of one", "day", "dump"],
)
def test_dumps_are_chosen_by(pipeline: Pipeline, which: Selection, dumps: int) -> None:
    loaded(pipeline)
    loaded(pipeline, as_csv([*upload_lines(3), other_kind(9)]), day=NEXT_DAY)
    assert len(replayed(pipeline, which, dry_run=True)) == dumps


def test_a_dump_that_is_not_in_effect_is_left_alone(pipeline: Pipeline) -> None:
    dump = loaded(pipeline)
    with pipeline.services.database() as connection:
        connection.execute("update ops.dump set in_effect = false where dump_id = %s", [dump.dump_id])
    assert replayed(pipeline) == []


# ---------------------------------------------------------------------------------------------- budget


OVER_BUDGET = as_csv([*upload_lines(3), other_kind(7), *map(no_code, range(100, 300))])


def test_a_dump_that_was_approved_stays_approved(pipeline: Pipeline) -> None:
    dump = loaded(pipeline, OVER_BUDGET, approve=True)
    (done,) = replayed(pipeline)
    assert (done.trouble, now(pipeline, dump).status, now(pipeline, dump).approved_by) == ("", DumpStatus.LOADED, "ada")


def over_budget_unapproved(pipeline: Pipeline) -> Dump:
    dump = loaded(pipeline, OVER_BUDGET, approve=True)
    with pipeline.services.database() as connection:
        connection.execute("update ops.dump set approved_by = null where dump_id = %s", [dump.dump_id])
    return dump


def test_a_dump_over_budget_is_held_and_its_rows_stay_in_the_table(pipeline: Pipeline) -> None:
    dump = over_budget_unapproved(pipeline)
    before = submissions(pipeline)
    (done,) = replayed(pipeline)
    assert (now(pipeline, dump).verdict, done.passed, submissions(pipeline)) == (DumpVerdict.HELD, {}, before)


def test_a_dry_run_tells_that_a_dump_would_be_held(pipeline: Pipeline) -> None:
    over_budget_unapproved(pipeline)
    (done,) = replayed(pipeline, dry_run=True)
    assert done.trouble.startswith("would be held")


# ---------------------------------------------------------------------------------------------- trouble


def without_raw(pipeline: Pipeline) -> Dump:
    """Two loaded dumps; the raw bytes of the first are gone."""
    dump = loaded(pipeline)
    loaded(pipeline, as_csv([*upload_lines(3), other_kind(9)]), day=NEXT_DAY)
    assert dump.archive_key is not None
    pipeline.s3.delete_object(Bucket=pipeline.services.settings.archive_bucket, Key=dump.archive_key)
    return dump


def test_a_dump_whose_raw_bytes_are_gone_stops_no_other(pipeline: Pipeline) -> None:
    without_raw(pipeline)
    lost, fine = replayed(pipeline)
    assert (bool(lost.trouble), fine.trouble, fine.passed) == (True, "", {STRICT_RULE: 1})


def test_a_dump_whose_raw_bytes_are_gone_stays_loaded(pipeline: Pipeline) -> None:
    dump = without_raw(pipeline)
    replayed(pipeline)
    assert now(pipeline, dump).status is DumpStatus.LOADED
