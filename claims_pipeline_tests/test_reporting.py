"""What a run did, in one report: whose dumps, how it ended, what wants a person."""

from __future__ import annotations

import datetime as dt

import pytest

from claims_pipeline.reporting import run_report, run_url
from claims_pipeline.vocabulary import (
    NO_ROWS_AS_USUAL,
    CheckName,
    CheckOutcome,
    DumpStatus,
    DumpVerdict,
    RowCounts,
    RunReport,
)
from claims_pipeline.warehouse import ledger
from claims_pipeline.warehouse.ledger import Dump
from claims_pipeline_tests.fix_warehouse import FIRST_STAMP, LAB, SAMPLES, VISITS, Lab, sample

RUN = "run-1"
URL = "http://dagster.test:3000/"


def report(lab: Lab, *, error: str = "", days: tuple[dt.date, ...] = ()) -> RunReport:
    return run_report(lab.connection, run_id=RUN, sender=LAB.name, dagster_url=URL, error=error, days=days)


def in_hand(
    lab: Lab, status: DumpStatus, verdict: DumpVerdict = DumpVerdict.NEW, *, hour: int = 0, reason: str = ""
) -> Dump:
    """A dump that the run settled."""
    dump = lab.dump(VISITS, hour=hour)
    ledger.touch(lab.connection, dump.dump_id, RUN)
    ledger.settle(lab.connection, dump.dump_id, status, verdict=verdict, reason=reason)
    return dump


def test_a_run_of_the_cli_has_no_address() -> None:
    assert run_url(URL, "cli-1") is None


def test_a_run_of_dagster_has_an_address() -> None:
    assert run_url(URL, RUN) == "http://dagster.test:3000/runs/run-1"


@pytest.mark.parametrize(
    ("status", "verdict", "outcome"),
    [
        (DumpStatus.LOADED, DumpVerdict.NEW, "success"),
        (DumpStatus.LOADED, DumpVerdict.SUPERSEDING, "success"),
        (DumpStatus.SKIPPED, DumpVerdict.RESENT, "success"),
        (DumpStatus.SKIPPED, DumpVerdict.DUPLICATE, "success"),
        (DumpStatus.SKIPPED, DumpVerdict.EMPTY, "attention"),
        (DumpStatus.SKIPPED, DumpVerdict.UNKNOWN, "attention"),
        (DumpStatus.REFUSED, DumpVerdict.NEW, "attention"),
        (DumpStatus.REFUSED, DumpVerdict.HELD, "attention"),
        (DumpStatus.REFUSED, DumpVerdict.UNREADABLE, "attention"),
        (DumpStatus.FAILED, DumpVerdict.NEW, "attention"),
    ],
)
def test_how_a_run_ended_follows_from_its_dumps(
    lab: Lab, status: DumpStatus, verdict: DumpVerdict, outcome: str
) -> None:
    in_hand(lab, status, verdict)
    assert report(lab).outcome == outcome


def test_an_empty_dump_of_a_feed_that_often_has_none_needs_nobody(lab: Lab) -> None:
    in_hand(lab, DumpStatus.SKIPPED, DumpVerdict.EMPTY, reason=NO_ROWS_AS_USUAL)
    assert report(lab).outcome == "success"


def test_a_failed_check_wants_attention_and_is_named_with_its_feed(lab: Lab) -> None:
    dump = in_hand(lab, DumpStatus.LOADED)
    failed = CheckOutcome(CheckName.VOLUME_IN_RANGE, False, "too few", {"rows": 1}, "warn")
    for outcome in (failed, CheckOutcome(CheckName.INTACT, True, "good")):
        ledger.record_check(lab.connection, dump.dump_id, outcome)
    told = report(lab)
    assert (told.outcome, told.failed_checks) == ("attention", (("lab/visits", failed),))


def test_an_error_is_a_failure_whatever_was_loaded(lab: Lab) -> None:
    in_hand(lab, DumpStatus.LOADED)
    told = report(lab, error="S3 was away")
    assert (told.outcome, told.error) == ("failure", "S3 was away")


def test_a_run_without_a_dump_tells_the_days_it_was_asked_for(lab: Lab) -> None:
    days = (dt.date(2026, 5, 2), dt.date(2026, 5, 1))
    told = report(lab, days=days)
    assert (told.outcome, told.dumps, told.days) == ("success", (), days[::-1])


def test_the_dumps_of_other_runs_are_not_in_the_report(lab: Lab) -> None:
    mine = in_hand(lab, DumpStatus.LOADED)
    other = in_hand(lab, DumpStatus.FAILED, hour=1)
    ledger.touch(lab.connection, other.dump_id, "run-2")
    assert [dump.file for dump in report(lab).dumps] == [mine.key]


def test_the_rows_of_a_run_are_those_of_its_dumps(lab: Lab) -> None:
    for hour in (0, 1):
        dump = lab.dump(SAMPLES, hour=hour)
        lab.load(SAMPLES, dump, [sample(1, hour), sample(2 + hour)])
        ledger.touch(lab.connection, dump.dump_id, RUN)
    told = report(lab)
    assert told.rows == RowCounts(read=4, inserted=3, updated=1)
    assert told.days == (FIRST_STAMP.date(),)
