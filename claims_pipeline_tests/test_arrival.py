"""Looks into an inbox on real parts: what is new, what is not yet read and why, and what is read in the end."""

from __future__ import annotations

import hashlib
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from claims_pipeline.feeds import feed_named
from claims_pipeline.vocabulary import DumpStatus, DumpVerdict
from claims_pipeline_tests.fix_depot import BODY, Depot, key_of

SHA256 = hashlib.sha256(BODY).hexdigest()
PLAIN, MARKED, SUMMED, LISTED, DAILY, BOXED, ENDED = map(
    key_of, ("plain", "marked", "summed", "listed", "daily", "boxed", "ended")
)


def as_parquet() -> bytes:
    """Two parcels as Parquet."""
    body = io.BytesIO()
    pq.write_table(pa.table({"parcel": [1, 2], "fee": ["1.50", "2.25"]}), body)
    return body.getvalue()


def manifest(**facts: object) -> bytes:
    """A manifest of the only dump of a folder."""
    return json.dumps({"files": {"parcels_20260504.csv": facts}}).encode()


@pytest.fixture
def slow(depot: Depot) -> Depot:
    """The depot, whose dumps settle for an hour."""
    depot.settling_for(3600)
    return depot


# ---------------------------------------------------------------------------------------------- settling


def test_a_dump_seen_once_is_not_open(slow: Depot) -> None:
    slow.put(PLAIN)
    found = slow.look()
    assert (found.new, found.settling, found.open) == (1, 1, ())


def test_a_dump_seen_twice_too_soon_is_not_open(slow: Depot) -> None:
    slow.put(PLAIN)
    slow.look()
    found = slow.look()
    assert (found.new, found.settling, found.open) == (0, 1, ())


def test_a_dump_seen_unchanged_after_its_time_is_open(slow: Depot) -> None:
    slow.put(PLAIN)
    slow.look()
    slow.let_time_pass()
    found = slow.look()
    assert (found.settling, [dump.key for dump in found.open]) == (0, [PLAIN])


def test_a_dump_that_grew_meanwhile_begins_again(slow: Depot) -> None:
    slow.put(PLAIN, BODY[:20])
    slow.look()
    slow.let_time_pass()
    slow.put(PLAIN)
    assert (slow.look().settling, slow.look().open) == (1, ())


def test_a_dump_that_grows_is_one_row_of_the_ledger(slow: Depot) -> None:
    for length in (12, 16, 20, len(BODY)):
        slow.put(PLAIN, BODY[:length])
        slow.look()
    assert slow.dump().size_bytes == len(BODY)


def test_a_dump_that_grew_is_read_as_it_became(slow: Depot) -> None:
    slow.put(PLAIN, BODY[:20])
    slow.look()
    slow.put(PLAIN)
    slow.look()
    slow.let_time_pass()
    (dump,) = slow.catch_up()
    assert (dump.status, dump.sha256) == (DumpStatus.LOADED, SHA256)


def test_an_unknown_dump_that_grows_is_told_of_once(slow: Depot) -> None:
    for length in (12, 16):
        slow.put("depot/strange.csv", BODY[:length])
        assert slow.look().strange == ()
    slow.let_time_pass()
    assert [dump.verdict for dump in slow.look().strange] == [DumpVerdict.UNKNOWN]
    assert slow.look().strange == ()


def test_catching_up_waits_until_what_is_new_has_settled(depot: Depot) -> None:
    depot.settling_for(0.2)
    depot.put(PLAIN)
    assert [dump.status for dump in depot.catch_up()] == [DumpStatus.LOADED]


def test_a_second_upload_of_a_name_waits_for_its_own_second_look(slow: Depot) -> None:
    slow.put(PLAIN)
    slow.look()
    slow.let_time_pass()
    slow.catch_up()
    slow.put(PLAIN, BODY + b"4,1.00\n")
    assert (slow.look().open, len(slow.ledger())) == ((), 2)


# ---------------------------------------------------------------------------------------------- gone


def test_a_dump_that_is_gone_before_it_was_read_has_failed_and_says_so(depot: Depot) -> None:
    depot.put(PLAIN)
    depot.look()
    depot.take_back(PLAIN)
    (gone,) = depot.look().strange
    assert gone.status is DumpStatus.FAILED
    assert "was deleted from the inbox before it was read" in gone.reason


def test_a_dump_that_is_gone_is_told_of_once(depot: Depot) -> None:
    depot.put(PLAIN)
    depot.look()
    depot.take_back(PLAIN)
    depot.look()
    assert depot.look().strange == ()


def test_a_dump_that_was_gone_and_is_listed_again_is_loaded(depot: Depot) -> None:
    depot.put(PLAIN)
    depot.look()
    depot.take_back(PLAIN)
    depot.look()
    depot.put(PLAIN)
    assert [dump.status for dump in depot.catch_up()] == [DumpStatus.LOADED]
    assert len(depot.ledger()) == 1


def test_a_dump_that_is_gone_while_it_settles_has_failed(slow: Depot) -> None:
    slow.put(PLAIN)
    slow.look()
    slow.take_back(PLAIN)
    assert [dump.status for dump in slow.look().strange] == [DumpStatus.FAILED]


def test_a_loaded_dump_may_leave_the_inbox(depot: Depot) -> None:
    depot.put(PLAIN)
    depot.catch_up()
    depot.take_back(PLAIN)
    depot.look()
    assert depot.dump().status is DumpStatus.LOADED


def test_a_dump_overwritten_before_it_was_read_gives_way_to_the_new_one(depot: Depot) -> None:
    depot.put(PLAIN, b"parcel,fee\n9,1.00\n")
    depot.look()
    depot.put(PLAIN)
    depot.catch_up()
    assert [(dump.status, dump.size_bytes) for dump in sorted(depot.ledger(), key=lambda dump: dump.dump_id)] == [
        (DumpStatus.SKIPPED, 18),
        (DumpStatus.LOADED, len(BODY)),
    ]


# ---------------------------------------------------------------------------------------------- cut off


def test_parquet_without_its_footer_is_unreadable_and_says_so(depot: Depot) -> None:
    depot.put(BOXED, as_parquet()[:-8])
    (dump,) = depot.catch_up()
    assert (dump.verdict, dump.reason) == (DumpVerdict.UNREADABLE, "the Parquet has no footer: it was cut off")


def test_parquet_without_its_footer_is_loaded_when_the_sender_completes_it(depot: Depot) -> None:
    depot.put(BOXED, as_parquet()[:-8])
    depot.catch_up()
    depot.put(BOXED, as_parquet())
    assert [dump.status for dump in depot.catch_up()] == [DumpStatus.LOADED]


# ---------------------------------------------------------------------------------------------- markers


def test_a_dump_waits_for_its_folders_marker(depot: Depot) -> None:
    depot.put(MARKED)
    (waiting,) = depot.look().waiting
    assert (waiting.status, waiting.reason) == (DumpStatus.ARRIVED, "waits for _SUCCESS")


def test_a_dump_is_loaded_when_its_folders_marker_comes(depot: Depot) -> None:
    depot.put(MARKED)
    depot.catch_up()
    depot.put("depot/marked/_SUCCESS", b"")
    assert [(dump.status, dump.reason) for dump in depot.catch_up()] == [(DumpStatus.LOADED, "")]


def test_a_marker_of_another_folder_does_not_count(depot: Depot) -> None:
    depot.put(MARKED)
    depot.put("depot/_SUCCESS", b"")
    assert len(depot.look().waiting) == 1


def test_a_dump_without_a_declared_marker_does_not_wait(depot: Depot) -> None:
    depot.put(PLAIN)
    assert len(depot.look().open) == 1


# ---------------------------------------------------------------------------------------------- checksums


def test_a_dump_waits_for_a_checksum_that_is_required(depot: Depot) -> None:
    depot.put(SUMMED)
    assert [dump.reason for dump in depot.look().waiting] == ["waits for parcels_20260504.csv.sha256"]


def test_a_dump_with_the_promised_checksum_is_loaded(depot: Depot) -> None:
    depot.put(SUMMED)
    depot.put(f"{SUMMED}.sha256", f"{SHA256}  parcels_20260504.csv\n".encode())
    assert [dump.status for dump in depot.catch_up()] == [DumpStatus.LOADED]


@pytest.mark.parametrize("key", [PLAIN, SUMMED])
def test_a_dump_with_another_checksum_than_promised_is_refused(depot: Depot, key: str) -> None:
    depot.put(key)
    depot.put(f"{key}.sha256", b"0" * 64)
    (dump,) = depot.catch_up()
    assert (dump.status, dump.verdict, dump.validated_key) == (DumpStatus.REFUSED, DumpVerdict.UNREADABLE, None)
    assert dump.checks["intact"]["figures"] == {"rule": "dump.checksum"}


def test_a_refused_dump_is_loaded_when_its_checksum_was_mended_and_a_person_asks(depot: Depot) -> None:
    depot.put(PLAIN)
    depot.put(f"{PLAIN}.sha256", b"0" * 64)
    (dump,) = depot.catch_up()
    depot.put(f"{PLAIN}.sha256", SHA256.encode())
    depot.retry(dump)
    assert [(dump.status, dump.verdict) for dump in depot.catch_up()] == [(DumpStatus.LOADED, DumpVerdict.NEW)]


def test_the_same_bytes_sent_again_under_a_mended_checksum_are_loaded(depot: Depot) -> None:
    depot.put(PLAIN)
    depot.put(f"{PLAIN}.sha256", b"0" * 64)
    depot.catch_up()
    depot.put(f"{PLAIN}.sha256", SHA256.encode())
    depot.pipeline.deliver_again(PLAIN, BODY)
    assert [dump.status for dump in depot.catch_up()] == [DumpStatus.LOADED]


def test_a_checksum_that_comes_before_the_load_is_compared_still(depot: Depot) -> None:
    depot.put(PLAIN)
    flow = depot.pipeline.flow
    (dump,) = depot.look().open
    flow.archive(dump, feed_named(dump.feed))
    depot.put(f"{PLAIN}.sha256", b"0" * 64)
    assert [dump.status for dump in depot.catch_up()] == [DumpStatus.REFUSED]


def test_a_checksum_that_comes_after_the_load_changes_nothing(depot: Depot) -> None:
    depot.put(PLAIN)
    (dump,) = depot.catch_up()
    depot.put(f"{PLAIN}.sha256", b"0" * 64)
    assert depot.pipeline.flow.archive(dump, feed_named(dump.feed)).status is DumpStatus.LOADED


def test_a_dump_without_a_byte_is_compared_with_its_checksum(depot: Depot) -> None:
    depot.put(PLAIN, b"")
    depot.put(f"{PLAIN}.sha256", SHA256.encode())
    assert [dump.status for dump in depot.catch_up()] == [DumpStatus.REFUSED]


# ---------------------------------------------------------------------------------------------- manifests


def test_a_dump_waits_for_its_manifest(depot: Depot) -> None:
    depot.put(LISTED)
    assert [dump.reason for dump in depot.look().waiting] == ["waits for manifest.json"]


def test_a_dump_waits_until_its_manifest_names_it(depot: Depot) -> None:
    depot.put(LISTED)
    depot.put("depot/listed/manifest.json", b'{"files": {"other.csv": {}}}')
    assert [dump.reason for dump in depot.look().waiting] == ["waits for manifest.json to name it"]


def test_a_manifest_of_another_form_is_waited_for_and_said(depot: Depot) -> None:
    depot.put(LISTED)
    depot.put("depot/listed/manifest.json", b'{"fil')
    (waiting,) = depot.look().waiting
    assert waiting.reason == "waits for manifest.json to be a manifest: it has not the agreed form"


def test_a_dump_that_keeps_its_manifests_promises_is_loaded(depot: Depot) -> None:
    depot.put(LISTED)
    depot.put("depot/listed/manifest.json", manifest(rows=3, sha256=SHA256, totals={"fee": "3.75"}))
    assert [dump.status for dump in depot.catch_up()] == [DumpStatus.LOADED]


def test_a_manifest_of_the_day_may_lie_elsewhere(depot: Depot) -> None:
    depot.put(DAILY)
    assert [dump.reason for dump in depot.look().waiting] == ["waits for 2026-05-04.json"]
    depot.put("depot/manifests/2026-05-04.json", manifest(rows=3))
    assert [dump.status for dump in depot.catch_up()] == [DumpStatus.LOADED]


@pytest.mark.parametrize(
    ("facts", "rule"),
    [
        ({"rows": 4}, "dump.row_count"),
        ({"totals": {"fee": "3.76"}}, "dump.control_total"),
        ({"totals": {"weight": "1"}}, "dump.control_total"),
    ],
)
def test_a_dump_that_breaks_its_manifests_promise_is_refused(depot: Depot, facts: dict[str, object], rule: str) -> None:
    depot.put(LISTED)
    depot.put("depot/listed/manifest.json", manifest(**facts))
    (dump,) = depot.catch_up()
    assert (dump.status, dump.checks["contract"]["figures"]) == (DumpStatus.REFUSED, {"rule": rule})


def test_a_manifests_checksum_is_compared(depot: Depot) -> None:
    depot.put(LISTED)
    depot.put("depot/listed/manifest.json", manifest(sha256="0" * 64))
    (dump,) = depot.catch_up()
    assert dump.reason == "its bytes do not have the SHA-256 that manifest.json promises"


def test_a_message_about_a_control_total_holds_no_sum(depot: Depot) -> None:
    depot.put(LISTED)
    depot.put("depot/listed/manifest.json", manifest(totals={"fee": "9.99"}))
    (dump,) = depot.catch_up()
    assert dump.reason == "depot/listed: the sum of fee over 3 rows is not what manifest.json promises"


def test_promises_are_kept_beside_the_dump_in_the_archive(depot: Depot) -> None:
    depot.put(LISTED)
    depot.put("depot/listed/manifest.json", manifest(rows=3, totals={"fee": "3.750"}))
    (dump,) = depot.catch_up()
    assert depot.note(dump)["promised"] == [
        {"source": "manifest.json", "rows": 3, "sha256": None, "totals": {"fee": "3.750"}}
    ]


def test_a_mended_manifest_is_read_when_a_person_asks(depot: Depot) -> None:
    depot.put(LISTED)
    depot.put("depot/listed/manifest.json", manifest(rows=4))
    (dump,) = depot.catch_up()
    depot.put("depot/listed/manifest.json", manifest(rows=3))
    depot.retry(dump)
    assert [dump.status for dump in depot.catch_up()] == [DumpStatus.LOADED]


@pytest.mark.parametrize(
    "key", ["depot/listed/manifest.json", "depot/manifests/2026-05-04.json", "depot/marked/_SUCCESS"]
)
def test_a_declared_sidecar_is_no_dump(depot: Depot, key: str) -> None:
    depot.put(key, b"{}")
    found = depot.look()
    assert (found.listed, found.ignored, found.new) == (1, 1, 0)


# ---------------------------------------------------------------------------------------------- trailers


def test_a_trailer_row_is_no_row_of_data(depot: Depot) -> None:
    depot.put(ENDED, BODY + b"END,3,3.75\n")
    (dump,) = depot.catch_up()
    assert depot.pipeline.rows("select rows_read, rows_inserted, rows_quarantined from ops.load") == [(3, 3, 0)]
    assert dump.status is DumpStatus.LOADED


def test_a_dump_that_breaks_its_trailers_promise_is_refused(depot: Depot) -> None:
    depot.put(ENDED, BODY + b"END,4,3.75\n")
    (dump,) = depot.catch_up()
    assert (dump.status, dump.reason) == (
        DumpStatus.REFUSED,
        "depot/ended: the trailer row promises 4 rows, the dump has 3",
    )


def test_a_dump_without_its_trailer_is_unreadable(depot: Depot) -> None:
    depot.put(ENDED)
    (dump,) = depot.catch_up()
    assert (dump.verdict, dump.reason) == (
        DumpVerdict.UNREADABLE,
        "the dump ends without its trailer row: it was cut off",
    )
