"""What ledger and audit tell: past volumes, days, rows by day, quarantine by rule."""

from __future__ import annotations

import datetime as dt

import pytest

from claims_pipeline.feeds.drift import Delivered
from claims_pipeline.vocabulary import DumpStatus, DumpVerdict, RowCounts
from claims_pipeline.warehouse import ledger, reports
from claims_pipeline_tests.fix_warehouse import FINDINGS, FIRST_STAMP, LAB, SAMPLES, VISITS, Lab, Row, sample

DAY = FIRST_STAMP.date()


def visits(count: int) -> list[Row]:
    return [(i, "a", 0) for i in range(count)]


def test_past_volumes_are_those_of_older_dumps_newest_first(lab: Lab) -> None:
    dumps = [lab.dump(VISITS, hour=hour) for hour in range(4)]
    for dump, count in zip(dumps, (1, 2, 3, 4), strict=True):
        lab.load(VISITS, dump, visits(count))
    assert reports.past_volumes(lab.connection, ledger.get(lab.connection, dumps[2].dump_id)) == [2, 1]


def test_a_dump_that_was_loaded_again_counts_once_in_past_volumes(lab: Lab) -> None:
    first, second = lab.dump(VISITS), lab.dump(VISITS, hour=1)
    for _ in range(2):
        lab.load(VISITS, first, visits(3))
    assert reports.past_volumes(lab.connection, ledger.get(lab.connection, second.dump_id)) == [3]


def test_rows_removed_with_a_parent_are_no_volume_of_the_childs_feed(lab: Lab) -> None:
    lab.load(FINDINGS, lab.dump(FINDINGS), [(1, 1, "a")])
    lab.load(SAMPLES, lab.dump(SAMPLES, hour=1), [sample(1, findings=0)])
    later = lab.dump(FINDINGS, hour=2)
    assert reports.past_volumes(lab.connection, ledger.get(lab.connection, later.dump_id)) == [1]


def test_the_last_loaded_day_is_the_newest_one_loaded_or_truly_empty(lab: Lab) -> None:
    for hour, status, verdict in (
        (0, DumpStatus.LOADED, DumpVerdict.NEW),
        (24, DumpStatus.SKIPPED, DumpVerdict.EMPTY),
        (48, DumpStatus.REFUSED, DumpVerdict.UNREADABLE),
    ):
        dump = lab.dump(VISITS, hour=hour)
        ledger.settle(lab.connection, dump.dump_id, status, verdict=verdict)
    assert reports.last_loaded_day(lab.connection, LAB.name, "visits") == DAY + dt.timedelta(1)


def test_a_feed_without_a_dump_has_no_last_day(lab: Lab) -> None:
    assert reports.last_loaded_day(lab.connection, LAB.name, "visits") is None


def test_the_days_with_dumps_are_those_on_which_any_came(lab: Lab) -> None:
    for hour in (0, 1, 48):
        lab.dump(VISITS, hour=hour)
    found = reports.days_with_dumps(lab.connection, LAB.name, "visits", DAY)
    assert found == {DAY, DAY + dt.timedelta(2)}


def test_the_rows_of_a_day_are_those_of_the_latest_load_of_each_dump(lab: Lab) -> None:
    dump = lab.dump(VISITS)
    lab.load(VISITS, dump, visits(3))
    lab.load(VISITS, dump, visits(3))
    lab.load(VISITS, lab.dump(VISITS, hour=1), visits(4))
    assert reports.daily_rows(lab.connection, VISITS, until=DAY, days=1) == [
        (DAY, RowCounts(read=7, inserted=1, unchanged=6))
    ]


def test_rows_of_other_days_are_not_asked_for(lab: Lab) -> None:
    lab.load(VISITS, lab.dump(VISITS), visits(1))
    assert reports.daily_rows(lab.connection, VISITS, until=DAY + dt.timedelta(1), days=1) == []


def test_quarantine_is_counted_by_rule_and_feed(lab: Lab) -> None:
    dump = lab.dump(SAMPLES)
    lab.load(SAMPLES, dump, [sample(key, badge=7) for key in range(3)])
    assert reports.quarantine_of(lab.connection, dump.dump_id) == [("unique.badge", 2)]
    assert reports.quarantine_by_feed(lab.connection) == [("lab/samples", 2)]


def test_the_status_of_a_feed_counts_its_dumps(lab: Lab) -> None:
    lab.load(VISITS, lab.dump(VISITS), visits(1))
    lab.dump(VISITS, hour=1)
    refused = lab.dump(VISITS, hour=2)
    ledger.settle(lab.connection, refused.dump_id, DumpStatus.REFUSED)
    (status,) = reports.feed_status(lab.connection)
    counts = (status.dumps_loaded, status.dumps_open, status.dumps_refused, status.dumps_skipped)
    assert (status.feed, status.last_loaded_day, counts) == ("lab/visits", DAY, (1, 1, 1, 0))


def test_a_day_whose_dump_was_empty_is_in_the_status_of_its_feed(lab: Lab) -> None:
    lab.load(VISITS, lab.dump(VISITS), visits(1))
    empty = lab.dump(VISITS, hour=24)
    ledger.settle(lab.connection, empty.dump_id, DumpStatus.SKIPPED, verdict=DumpVerdict.EMPTY)
    (status,) = reports.feed_status(lab.connection)
    assert status.last_loaded_day == reports.last_loaded_day(lab.connection, LAB.name, "visits")


def test_the_columns_of_the_dump_before_are_those_of_the_last_one_loaded(lab: Lab) -> None:
    dumps = [lab.dump(VISITS, hour=hour) for hour in range(3)]
    for dump, columns in zip(dumps, (["a"], ["a", "b"]), strict=False):
        ledger.validated(
            lab.connection, dump, validated_key="-", contract=VISITS.fingerprint, validation={"columns": columns}
        )
    ledger.settle(lab.connection, dumps[0].dump_id, DumpStatus.LOADED)
    ledger.settle(lab.connection, dumps[1].dump_id, DumpStatus.REFUSED)
    assert reports.previous_delivery(lab.connection, ledger.get(lab.connection, dumps[2].dump_id)) == Delivered(
        ("a",), {}
    )
    assert reports.previous_delivery(lab.connection, ledger.get(lab.connection, dumps[0].dump_id)) is None


@pytest.mark.parametrize("count", [0, 3])
def test_the_rows_of_a_small_table_are_counted(lab: Lab, count: int) -> None:
    if count:
        lab.load(VISITS, lab.dump(VISITS), visits(count))
    assert reports.table_rows(lab.connection, VISITS) == count


def test_the_message_of_a_run_is_remembered_once(lab: Lab) -> None:
    for ts in ("1.0", "2.0"):
        reports.remember_message(lab.connection, "run-1", channel="C0", ts=ts)
    assert reports.message_of(lab.connection, "run-1") == ("C0", "1.0")
    assert reports.message_of(lab.connection, "run-2") is None
