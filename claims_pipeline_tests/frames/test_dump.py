"""A whole dump: every row gets one verdict, both files hold what they should, and nothing personal gets out."""

from __future__ import annotations

import gzip
import io
import json
import logging
import traceback
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from claims_pipeline.errors import BadDump
from claims_pipeline.feeds import all_feeds, feed_named
from claims_pipeline.feeds.contract import Drop, Keep, Parquet, Token
from claims_pipeline.frames import validate_dump
from claims_pipeline.frames.batch import rows_schema
from claims_pipeline.frames.rejects import REJECTS_SCHEMA

from .samples import DAY, GOOD, KEYS, STAMP, VISITS, csv_bytes, deliver, good, opened, relaxed


def test_a_good_row_is_stored_typed_and_treated() -> None:
    (row,) = deliver(csv_bytes([good()])).rows
    assert row.pop("_row_hash")
    assert row.pop("person_token" if "person_token" in row else "")[:3] == "v1_"
    assert row.pop("patient_no_token").startswith("v1_")
    assert {name: str(value) for name, value in row.items()} == {
        "visit_id": "1",
        "kind": "visit",
        "is_open": "True",
        "seen_at": "2026-01-02 03:04:05+00:00",
        "changed_at": "2026-01-02 03:04:06+00:00",
        "day": "2026-01-02",
        "price": "18.50",
        "room": "7",
        "floor": "-1",
        "note": "fine",
        "mood": "good",
        "state": "open",
        "tags": "['a', 'b c']",
        "birth_year": "1980",
        "zip3": "021",
        "extension": "pdf",
        "began_year": "2020",
        "began_month": "None",
        "began_day": "1",
        "entry_count": "2",
        "ward": "W",
        "_row_number": "1",
    }


def test_files_have_the_declared_columns(tmp_path: Path) -> None:
    rows, rejects = tmp_path / "rows", tmp_path / "rejects"
    validate_dump(
        io.BytesIO(csv_bytes([good(), good(room="x")])), feed=VISITS, compression=None, stamp=STAMP, delivery_day=DAY,
        keys=KEYS, rows_file=rows, rejects_file=rejects,
    )  # fmt: skip
    assert pq.read_schema(rows).equals(rows_schema(VISITS))
    assert pq.read_schema(rejects).equals(REJECTS_SCHEMA)
    assert [*rows_schema(VISITS).names] == [*(c.name for c in VISITS.stored), "_row_number", "_row_hash"]
    assert rows_schema(VISITS).field("_row_hash").type == pa.binary(16)


def test_every_row_gets_one_verdict_under_its_number() -> None:
    dump = csv_bytes([good(), good(kind="letter", room="x"), good(room="x", day="2023-02-31"), good(room="151")])
    outcome = deliver(dump + b"ragged,row\r\n" + csv_bytes([good(kind="")]).split(b"\r\n", 1)[1])
    validation = outcome.validation
    assert (validation.read, validation.kept, validation.filtered, validation.quarantined) == (6, 2, 1, 3)
    assert [row["_row_number"] for row in outcome.rows] == [1, 6]
    assert outcome.rules == {3: ["day.cast", "room.cast"], 4: ["room.in_range"], 5: ["row.ragged"]}
    assert validation.rejects == {"day.cast": 1, "room.cast": 1, "room.in_range": 1, "row.ragged": 1}


def test_a_reject_names_its_columns_and_holds_the_row_as_delivered() -> None:
    row = good(room="x", day="", note=" \u00e9,\n", secret="42")
    (reject,) = deliver(csv_bytes([row])).rejects
    assert reject["columns"] == ["room"]
    assert json.loads(opened(reject)) == {**row, "day": None}


def test_a_reject_keeps_bytes_that_are_no_utf8() -> None:
    outcome = deliver(csv_bytes([good(note="N")]).replace(b",N,", b",\xe9\xff,"))
    assert outcome.rules == {1: ["note.encoding"]}
    assert json.loads(opened(outcome.rejects[0]))["note"].encode("utf-8", "surrogateescape") == b"\xe9\xff"


def test_a_ragged_reject_holds_its_line() -> None:
    outcome = deliver(csv_bytes([]) + b"a,\xffb\n")
    assert json.loads(opened(outcome.rejects[0])) == {"_line": "a,\udcffb"}


def test_a_reject_tells_the_line_on_which_it_begins() -> None:
    dump = csv_bytes([good(note="a\nb"), good(room="x"), good()]) + b"ragged,row\r\n"
    assert {reject["row_number"]: reject["line"] for reject in deliver(dump).rejects} == {2: 4, 4: 6}


def test_a_null_byte_is_a_fault_of_its_own() -> None:
    assert deliver(csv_bytes([good(note="a\0b")])).rules == {1: ["note.nul"]}


def test_a_blank_identifier_is_none() -> None:
    assert deliver(csv_bytes([good(person=" ")])).rules == {1: ["person.required"]}


def test_values_that_may_become_null_do_and_are_counted_in_kept_rows_only() -> None:
    outcome = deliver(csv_bytes([good(born="0000-01-01"), good(born="x", room="x"), good(born="x", kind="letter")]))
    assert outcome.rows[0]["birth_year"] is None
    assert outcome.validation.issues == {"born.cast_null": 1}


def test_advice_keeps_the_row_and_is_counted_in_kept_rows_only() -> None:
    outcome = deliver(csv_bytes([good(mood="sour", room=""), good(mood="sour", day="1800-01-01")]))
    assert outcome.validation.kept == 1
    assert outcome.validation.issues == {"mood.isin": 1, "row.open_has_room": 1}


def test_an_absent_optional_column_is_null_even_where_null_is_not_allowed() -> None:
    outcome = deliver(csv_bytes([good()], [name for name in GOOD if name not in {"person", "room"}]))
    assert outcome.rows[0]["room"] is None
    assert outcome.rows[0]["person_token"] is None
    assert outcome.validation.drift == ("missing: room", "missing: person")


def test_a_new_column_is_told_and_not_stored() -> None:
    dump = csv_bytes([{**good(), "shoe": "Canary"}], [*GOOD, "shoe"])
    outcome = deliver(dump)
    assert outcome.validation.drift == ("added: shoe",)
    assert b"Canary" not in outcome.files


@pytest.mark.parametrize("dump", [b"", b"\xef\xbb\xbf", b"\r\n", csv_bytes([])])
def test_an_empty_dump_makes_two_empty_files(dump: bytes) -> None:
    outcome = deliver(dump)
    assert outcome.validation.read == 0
    assert outcome.rows == outcome.rejects == []


def test_a_header_alone_must_keep_the_contract_too() -> None:
    with pytest.raises(BadDump, match="lacks"):
        deliver(b"visit_id\n")


def test_a_gzipped_dump_gives_the_same() -> None:
    dump = csv_bytes([good(), good(room="x")])
    plain, zipped = deliver(dump), deliver(gzip.compress(dump), compression="gzip")
    assert zipped.rows == plain.rows
    assert zipped.rules == plain.rules


def test_a_refused_dump_leaves_no_files(tmp_path: Path) -> None:
    dump = gzip.compress(csv_bytes([good(visit_id=str(i), note=str(i * 7919)) for i in range(1, 3000)]))[:-20]
    with pytest.raises(BadDump) as caught:
        validate_dump(
            io.BytesIO(dump), feed=VISITS, compression="gzip", stamp=STAMP, delivery_day=DAY, keys=KEYS,
            rows_file=tmp_path / "rows", rejects_file=tmp_path / "rejects", batch_bytes=1 << 16,
        )  # fmt: skip
    assert caught.value.rule == "dump.unreadable"
    assert list(tmp_path.iterdir()) == []


def test_a_row_longer_than_a_batch_is_read() -> None:
    rows = [good(visit_id=str(i)) for i in range(1, 400)]
    rows[300]["secret"] = "x\n" * 200_000
    rows[310]["room"] = "x"
    outcome = deliver(csv_bytes(rows), batch_bytes=1 << 16)
    assert outcome.validation.kept == 398
    assert outcome.rules == {311: ["room.cast"]}
    assert [row["visit_id"] for row in outcome.rows] == [i for i in range(1, 400) if i != 311]


def test_progress_is_told_in_rows_read(tmp_path: Path) -> None:
    told: list[int] = []
    validate_dump(
        io.BytesIO(csv_bytes([good()] * 2000)), feed=VISITS, compression=None, stamp=STAMP, delivery_day=DAY, keys=KEYS,
        rows_file=tmp_path / "rows", rejects_file=tmp_path / "rejects", batch_bytes=1 << 16, progress=told.append,
    )  # fmt: skip
    assert len(told) > 2
    assert told == sorted(told)
    assert told[-1] == 2000


def test_a_naive_stamp_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="aware"):
        validate_dump(
            io.BytesIO(b""), feed=VISITS, compression=None, stamp=STAMP.replace(tzinfo=None), delivery_day=DAY,
            keys=KEYS, rows_file=tmp_path / "rows", rejects_file=tmp_path / "rejects",
        )  # fmt: skip


def test_the_hash_follows_hashed_columns_only() -> None:
    rows = [good(), good(changed_at="2026-03-01T00:00:00Z"), good(note=""), good(person="P-2"), good(secret="other")]
    hashes = [row["_row_hash"] for row in deliver(csv_bytes(rows)).rows]
    assert [hashes[0] == h for h in hashes] == [True, True, False, False, True]


faults = st.fixed_dictionaries(
    {},
    optional={
        "kind": st.sampled_from(["letter", "call", ""]),
        "room": st.sampled_from(["x", "151", "9", ""]),
        "day": st.sampled_from(["2023-02-31", "1800-01-01"]),
        "note": st.sampled_from(["\0", "n" * 501, "", "\u00e9"]),
        "is_open": st.sampled_from(["", "perhaps"]),
        "born": st.sampled_from(["x"]),
    },
)


def oracle(cells: dict[str, str]) -> set[str]:
    """Rules that a row breaks; casts hide the others."""
    casts = {
        "room.cast": cells.get("room") == "x",
        "day.cast": cells.get("day") == "2023-02-31",
        "note.nul": cells.get("note") == "\0",
        "is_open.cast": cells.get("is_open") == "perhaps",
    }
    rules = {
        "room.in_range": cells.get("room") == "151",
        "day.greater_than_or_equal_to": cells.get("day") == "1800-01-01",
        "note.str_length": len(cells.get("note", "")) > 500,
        "is_open.required": cells.get("is_open") == "",
    }
    return {rule for rule, broken in (casts if any(casts.values()) else rules).items() if broken}


@relaxed
@given(st.lists(faults, max_size=20), st.sampled_from([1 << 12, 8 << 20]))
def test_verdicts_are_those_of_the_oracle_in_any_batch_size(changes: list[dict[str, str]], batch_bytes: int) -> None:
    outcome = deliver(csv_bytes([good(**cells) for cells in changes]), batch_bytes=batch_bytes)
    filtered = [i for i, cells in enumerate(changes, 1) if cells.get("kind") == "letter"]
    broken = {i: oracle(cells) for i, cells in enumerate(changes, 1) if i not in filtered and oracle(cells)}
    assert {i: set(rules) for i, rules in outcome.rules.items()} == broken
    assert outcome.validation.rejects == dict(Counter(rule for rules in broken.values() for rule in rules))
    assert outcome.validation.filtered == len(filtered)
    assert outcome.validation.kept == len(outcome.rows) == len(changes) - len(filtered) - len(broken)
    assert outcome.validation.read == len(changes)


SUBMISSIONS = feed_named("va_form526/form526_submissions")
SUBMISSION = {
    "id": "1", "saved_claim_id": "2", "submitted_claim_id": "600000001", "form_id": "21-526EZ",
    "user_uuid": "canaryuseruuid", "submit_endpoint": "0", "aasm_state": "unprocessed", "workflow_complete": "t",
    "backup_submitted_claim_status": "", "created_at": "2026-01-01 00:00:00 UTC",
    "updated_at": "2026-01-01 00:00:00.5", "saved_claim_guid": "CAFECAFE-aaaa-4aaa-8aaa-aaaaaaaaaaaa",
}  # fmt: skip


def canaries() -> dict[str, str]:
    """A submission whose every dropped or tokenised column holds a value that can be searched for."""
    row = dict(SUBMISSION)
    for column in SUBMISSIONS.columns:
        if isinstance(column.facts.treatment, Drop):
            row[column.name] = f"canary-{column.name}-\u00e9"
    row["icn"] = "1012345678V987654"
    row["birth_date"] = "1931-07-19"
    row["mailing_zip"] = "94110-4321"
    return row


SECRETS = [v.encode() for n, v in canaries().items() if n not in SUBMISSION] + [b"canary", b"CAFECAFE", b"4321"]


def uncompressed(table: pa.Table) -> bytes:
    return repr(table.to_pydict()).encode()


@pytest.mark.parametrize(
    "fault",
    [{}, {"id": "x"}, {"icn": "canary-icn"}, {"aasm_state": "canary-state"}, {"ragged": ""}, {"birth_date": "canary"}],
)
def test_nothing_dropped_or_tokenised_gets_out(
    fault: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    row = {**canaries(), **fault}
    rows, rejects = tmp_path / "rows", tmp_path / "rejects"
    header = [*SUBMISSION, *(name for name in canaries() if name not in SUBMISSION)]
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        dump = csv_bytes([row], header)
        if "ragged" in fault:
            dump = dump.rstrip() + b",canary\n"
        validation = validate_dump(
            io.BytesIO(dump), feed=SUBMISSIONS, compression=None, stamp=STAMP, delivery_day=DAY, keys=KEYS,
            rows_file=rows, rejects_file=rejects,
        )  # fmt: skip
    assert validation.read == 1
    stored = pq.read_table(rows)
    kept_state = "canary-state" if fault.get("aasm_state") else "\0"  # a kept column: its value is stored
    written = uncompressed(stored).replace(kept_state.encode(), b"") + uncompressed(pq.read_table(rejects))
    told = (
        repr(replace(validation, stages={}))
        + caplog.text
        + "".join(capfd.readouterr())
        + repr([str(w.message) for w in warned])
    )
    for secret in SECRETS:
        assert secret not in written
        assert secret not in rows.read_bytes().replace(kept_state.encode(), b"") + rejects.read_bytes()
        assert secret.decode() not in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rejects", "rows"]


@pytest.mark.parametrize(
    "dump",
    [
        b"1,canary-name,600130094\n2,canary,3\n",
        csv_bytes([good(note="canary")], [n for n in GOOD if n != "seen_at"]),
        csv_bytes([{**good(), "x_ciphertext": "canary"}], [*GOOD, "x_ciphertext"]),
        csv_bytes([{**good()}], [*GOOD, "note"]).replace(b"fine", b"canary"),
        csv_bytes([good(note="canary")]) + b'2,"canary',
        b"canary\xff,canary\n",
    ],
)
def test_a_refusal_quotes_no_value(dump: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BadDump) as caught:
        deliver(dump)
    told = "".join(traceback.format_exception(caught.value)).replace(__file__, "")
    assert "canary" not in str(caught.value)
    assert "canary" not in "".join(line for line in told.splitlines() if "Error" in line or "BadDump" in line)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert "canary" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("feed", all_feeds(), ids=lambda feed: feed.name)
def test_every_feed_can_be_read_empty(feed: Any) -> None:
    names = [column.name for column in feed.columns]
    dump = ",".join(names).encode()
    if isinstance(feed.format, Parquet):
        file = io.BytesIO()
        pq.write_table(pa.table([pa.nulls(0)] * len(names), names=names), file)
        dump = file.getvalue()
    assert deliver(dump, feed=feed).validation.drift == ()


def test_kept_and_tokenised_columns_are_both_in_the_sample() -> None:
    kinds = {type(column.facts.treatment) for column in VISITS.columns}
    assert {Keep, Drop, Token} < kinds
