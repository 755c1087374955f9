"""The ledger: what is new, what a dump is by its content, and how it goes on."""

from __future__ import annotations

import dataclasses
import datetime as dt

import pytest

from claims_pipeline.vocabulary import CheckName, CheckOutcome, DumpStatus, DumpVerdict
from claims_pipeline.warehouse import effect, ledger
from claims_pipeline.warehouse.ledger import Arrival, Dump
from claims_pipeline_tests.fix_warehouse import FIRST_STAMP, LAB, VISITS, Lab

A, B = "a" * 64, "b" * 64  # two contents, as SHA-256
SEEN = Arrival(
    sender=LAB.name,
    dataset="visits",
    bucket="inbox",
    key="lab/visits_1.csv",
    etag="etag",
    size_bytes=10,
    last_modified=FIRST_STAMP,
    delivery_day=FIRST_STAMP.date(),
    stamp=FIRST_STAMP,
)
UNKNOWN = dataclasses.replace(SEEN, dataset=None)


def arrived(lab: Lab, **other: object) -> Dump:
    """A dump in the ledger, each another object."""
    count = lab.count("select count(*) from ops.dump")
    modified = FIRST_STAMP + dt.timedelta(minutes=count)
    facts = {"last_modified": modified, **other}
    return ledger.register(lab.connection, [dataclasses.replace(SEEN, **facts)])[0]  # type: ignore[arg-type]  # of any kind


def archived(lab: Lab, sha256: str = A, *, status: DumpStatus | None = None, **other: object) -> Dump:
    """A dump whose bytes are archived, and which may be settled since."""
    dump = arrived(lab, **other)
    verdict, same_as = effect.same_content(lab.connection, dump, sha256)
    ledger.archived(
        lab.connection,
        dump,
        sha256=sha256,
        version_id=None,
        archive_key=f"raw/{dump.dump_id}",
        verdict=verdict,
        same_as=same_as,
        run_id="test",
    )
    if status:
        ledger.settle(lab.connection, dump.dump_id, status)
    return ledger.get(lab.connection, dump.dump_id)


# ------------------------------------------------------------------------------------------ register, recognise


def test_an_arrival_is_new_once(lab: Lab) -> None:
    assert len(ledger.register(lab.connection, [SEEN])) == 1
    assert ledger.register(lab.connection, [SEEN]) == []


def test_an_arrival_named_twice_in_one_listing_is_new_once(lab: Lab) -> None:
    assert len(ledger.register(lab.connection, [SEEN, SEEN])) == 1


@pytest.mark.parametrize(
    "change", [{"etag": "e2"}, {"size_bytes": 11}, {"last_modified": FIRST_STAMP + dt.timedelta(1)}]
)
def test_an_object_that_was_written_again_is_new(lab: Lab, change: dict[str, object]) -> None:
    ledger.register(lab.connection, [SEEN])
    assert len(ledger.register(lab.connection, [dataclasses.replace(SEEN, **change)])) == 1  # type: ignore[arg-type]  # of any kind


def test_thousands_of_arrivals_are_one_call(lab: Lab) -> None:
    listing = [dataclasses.replace(SEEN, key=f"lab/visits_{i}.csv") for i in range(3_000)]
    ledger.register(lab.connection, listing[:1_000])
    assert len(ledger.register(lab.connection, listing)) == 2_000


def test_no_arrival_is_no_dump(lab: Lab) -> None:
    assert ledger.register(lab.connection, []) == []


def test_an_arrival_without_a_contract_is_skipped_as_unknown(lab: Lab) -> None:
    (dump,) = ledger.register(lab.connection, [UNKNOWN])
    assert (dump.status, dump.verdict, dump.feed) == (DumpStatus.SKIPPED, DumpVerdict.UNKNOWN, "lab/?")


def test_an_unknown_dump_is_taken_up_when_a_contract_appears(lab: Lab) -> None:
    (unknown,) = ledger.register(lab.connection, [UNKNOWN])
    ledger.recognise(lab.connection, SEEN)
    dump = ledger.get(lab.connection, unknown.dump_id)
    assert (dump.status, dump.verdict, dump.feed, dump.is_open) == (DumpStatus.ARRIVED, None, "lab/visits", True)


def test_a_dump_that_was_known_is_not_taken_up_again(lab: Lab) -> None:
    dump = archived(lab, status=DumpStatus.LOADED)
    ledger.recognise(lab.connection, dataclasses.replace(SEEN, last_modified=dump.last_modified))
    assert ledger.get(lab.connection, dump.dump_id) == dump


# ------------------------------------------------------------------------------------------ verdicts


def test_content_never_seen_is_new(lab: Lab) -> None:
    assert archived(lab).verdict is DumpVerdict.NEW


def test_the_same_name_and_bytes_are_resent(lab: Lab) -> None:
    first, second = archived(lab), archived(lab)
    assert (second.verdict, second.same_as) == (DumpVerdict.RESENT, first.dump_id)


def test_other_bytes_under_the_same_name_are_superseding(lab: Lab) -> None:
    first, second = archived(lab, A), archived(lab, B)
    assert (second.verdict, second.same_as) == (DumpVerdict.SUPERSEDING, first.dump_id)


def test_the_same_bytes_under_another_name_are_a_duplicate(lab: Lab) -> None:
    first, second = archived(lab), archived(lab, key="lab/visits_2.csv")
    assert (second.verdict, second.same_as) == (DumpVerdict.DUPLICATE, first.dump_id)


def test_bytes_that_come_back_after_others_are_superseding_again(lab: Lab) -> None:
    _, second, third = archived(lab, A), archived(lab, B), archived(lab, A)
    assert (third.verdict, third.same_as) == (DumpVerdict.SUPERSEDING, second.dump_id)


def test_the_same_bytes_of_another_dataset_are_new(lab: Lab) -> None:
    archived(lab)
    assert archived(lab, dataset="samples", key="lab/samples_1.csv").verdict is DumpVerdict.NEW


def test_the_bytes_of_an_empty_dump_are_empty_under_every_name(lab: Lab) -> None:
    first = archived(lab)
    ledger.settle(lab.connection, first.dump_id, DumpStatus.SKIPPED, verdict=DumpVerdict.EMPTY)
    assert archived(lab, key="lab/visits_2.csv").verdict is DumpVerdict.EMPTY


def test_a_dump_that_failed_is_no_reason_to_skip_its_bytes(lab: Lab) -> None:
    archived(lab, status=DumpStatus.FAILED)
    assert archived(lab).verdict is DumpVerdict.NEW


def test_a_dump_that_was_never_read_is_not_superseded(lab: Lab) -> None:
    unread = arrived(lab)
    ledger.settle(lab.connection, unread.dump_id, DumpStatus.SKIPPED, verdict=DumpVerdict.UNREADABLE)
    assert archived(lab).verdict is DumpVerdict.NEW


# ------------------------------------------------------------------------------------------ on its way


def test_open_dumps_are_in_order_of_their_stamps(lab: Lab) -> None:
    late, early = (arrived(lab, stamp=FIRST_STAMP + dt.timedelta(hours=hour)) for hour in (2, 1))
    archived(lab, status=DumpStatus.LOADED)
    assert [d.dump_id for d in ledger.open_dumps(lab.connection, LAB.name)] == [early.dump_id, late.dump_id]


def test_a_request_counts_the_attempt(lab: Lab) -> None:
    dump = arrived(lab)
    for _ in range(2):
        ledger.request(lab.connection, [dump.dump_id], "run-1")
    dump = ledger.get(lab.connection, dump.dump_id)
    assert (dump.attempts, dump.request_id) == (2, "run-1")


def held(lab: Lab) -> Dump:
    dump = archived(lab)
    ledger.settle(lab.connection, dump.dump_id, DumpStatus.REFUSED, verdict=DumpVerdict.HELD, reason="too many rejects")
    return dump


def test_an_approved_dump_is_open_again(lab: Lab) -> None:
    dump = held(lab)
    ledger.approve(lab.connection, dump.dump_id, "ada")
    dump = ledger.get(lab.connection, dump.dump_id)
    assert (dump.status, dump.approved_by, dump.reason) == (DumpStatus.VALIDATED, "ada", "")


def test_a_rejected_dump_stays_closed_and_says_by_whom(lab: Lab) -> None:
    dump = held(lab)
    ledger.reject(lab.connection, dump.dump_id, "ada")
    dump = ledger.get(lab.connection, dump.dump_id)
    assert (dump.status, dump.reason) == (DumpStatus.REFUSED, "rejected by ada")


def test_only_a_held_dump_can_be_approved_or_rejected(lab: Lab) -> None:
    dump = archived(lab, status=DumpStatus.LOADED)
    ledger.approve(lab.connection, dump.dump_id, "ada")
    ledger.reject(lab.connection, dump.dump_id, "ada")
    assert ledger.get(lab.connection, dump.dump_id) == dump


def test_a_failed_dump_goes_on_from_where_it_had_come(lab: Lab) -> None:
    unread, read = arrived(lab), archived(lab)
    for dump in (unread, read):
        ledger.settle(lab.connection, dump.dump_id, DumpStatus.FAILED, reason="S3 was away")
    assert ledger.reopen_failed(lab.connection, LAB.name) == 2
    found = [ledger.get(lab.connection, dump.dump_id) for dump in (unread, read)]
    assert [(d.status, d.attempts, d.reason) for d in found] == [
        (DumpStatus.ARRIVED, 0, ""),
        (DumpStatus.ARCHIVED, 0, ""),
    ]


def test_a_dump_that_did_not_fail_is_not_reopened(lab: Lab) -> None:
    dump = archived(lab, status=DumpStatus.LOADED)
    assert ledger.reopen(lab.connection, dump.dump_id) == 0


def test_the_latest_result_of_a_check_stays(lab: Lab) -> None:
    dump = arrived(lab)
    for passed in (False, True):
        ledger.record_check(lab.connection, dump.dump_id, CheckOutcome(CheckName.INTACT, passed, "", {"bytes": 1}))
    assert ledger.get(lab.connection, dump.dump_id).checks["intact"]["passed"] is True


@pytest.mark.parametrize("name", ["lab/visits_7.csv", "visits_7.csv"])
def test_a_dump_is_found_by_its_key_or_file_name(lab: Lab, name: str) -> None:
    dump = arrived(lab, key="lab/visits_7.csv")
    arrived(lab, key="lab/more_visits_7.csv")
    assert ledger.find(lab.connection, name) == [dump]


def test_a_dump_is_found_by_its_number(lab: Lab) -> None:
    dump = arrived(lab)
    assert ledger.find(lab.connection, str(dump.dump_id)) == [dump]


def test_the_dumps_of_a_day_are_those_delivered_on_it(lab: Lab) -> None:
    dump = arrived(lab)
    arrived(lab, delivery_day=dt.date(2026, 5, 2))
    assert ledger.dumps_of(lab.connection, LAB.name, VISITS.dataset, [dump.delivery_day]) == [dump]
