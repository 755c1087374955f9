"""JSON Lines: what a line holds arrives, and what is no object costs its line only."""

from __future__ import annotations

import dataclasses
import json

import pytest

from claims_pipeline.errors import BadDump
from claims_pipeline.feeds.contract import JsonLines
from claims_pipeline.frames.json_source import MAX_KEYS

from .samples import CHECKUPS, Outcome, deliver, opened

FEED = dataclasses.replace(CHECKUPS, format=JsonLines())


def lines(*texts: str | bytes, batch_bytes: int = 8 << 20) -> Outcome:
    dump = b"\n".join(text if isinstance(text, bytes) else text.encode() for text in texts)
    return deliver(dump, feed=FEED, batch_bytes=batch_bytes)


@pytest.mark.parametrize("batch_bytes", [1, 30, 8 << 20])
def test_what_is_no_object_is_ragged_under_its_number(batch_bytes: int) -> None:
    broken = ['{"checkup_id": 2', "[3]", "4", "x", '{"checkup_id": 6, "checkup_id": 6}', "[" * 100_000]
    outcome = lines('{"checkup_id": 1}', "", *broken, " \r", '{"checkup_id": 8}', batch_bytes=batch_bytes)
    assert outcome.rules == {i: ["row.ragged"] for i in range(2, 8)}
    assert [row["_row_number"] for row in outcome.rows] == [1, 8]


@pytest.mark.parametrize("batch_bytes", [1, 30, 8 << 20])
def test_a_reject_tells_its_line(batch_bytes: int) -> None:
    outcome = lines("", '{"checkup_id": 1}', "", "x", '{"checkup_id": "y"}', batch_bytes=batch_bytes)
    assert {reject["row_number"]: reject["line"] for reject in outcome.rejects} == {2: 4, 3: 5}


def test_a_ragged_line_is_sealed_as_delivered() -> None:
    outcome = lines('{"checkup_id": 1}', b'{"checkup_id": \xff')
    assert json.loads(opened(outcome.rejects[0], FEED)) == {"_line": '{"checkup_id": \udcff'}


def test_numbers_are_exact_to_the_last_digit() -> None:
    (row,) = lines('{"checkup_id": 123456789012345678, "weight": 1.850e1, "steps": 12.0, "remark": 0.10}').rows
    assert (row["checkup_id"], str(row["weight"]), row["steps"], row["remark"]) == (
        123456789012345678,
        "18.50",
        12,
        "0.1",
    )


@pytest.mark.parametrize("number", ["1.5", "1e400", "Infinity", "1e99999999999999999999", "9" * 5000])
def test_a_number_that_does_not_fit_costs_its_row(number: str) -> None:
    outcome = lines('{"checkup_id": 1}', f'{{"checkup_id": 2, "steps": {number}}}')
    assert outcome.rules in ({2: ["steps.cast"]}, {2: ["row.ragged"]})


def test_nan_and_null_and_an_absent_key_are_null() -> None:
    rows = lines('{"checkup_id": 1, "steps": NaN}', '{"checkup_id": 2, "steps": null}', '{"checkup_id": 3}').rows
    assert [row["steps"] for row in rows] == [None] * 3


def test_nested_values_are_json_text() -> None:
    (row,) = lines('{"checkup_id": 1, "remark": {"a": [1, 2.50, "\u0101"]}, "letters": ["x", null]}').rows
    assert row["remark"] == '{"a": [1, 2.5, "\u0101"]}'
    assert row["letters"] == ["x", None]


def test_text_that_is_no_unicode_costs_one_row() -> None:
    outcome = lines(
        '{"checkup_id": 1, "remark": "\\ud800"}',
        b'{"checkup_id": 2, "remark": "\xff"}',
        '{"checkup_id": 3, "remark": "\u0101"}',
    )
    assert outcome.rules == {1: ["remark.encoding"], 2: ["remark.encoding"]}


def test_a_key_that_comes_late_is_a_column_of_the_whole_dump() -> None:
    outcome = lines(
        *[f'{{"checkup_id": {i}}}' for i in range(50)], '{"checkup_id": 50, "steps": 7, "shoe": 1}', batch_bytes=40
    )
    assert outcome.rows[50]["steps"] == 7
    assert "added: shoe" in outcome.validation.drift
    assert "missing: steps" not in outcome.validation.drift


def test_a_byte_order_mark_is_passed_over() -> None:
    assert lines(b'\xef\xbb\xbf{"checkup_id": 1}').validation.kept == 1


@pytest.mark.parametrize("dump", [b"", b"\n \n"])
def test_a_dump_of_nothing_is_empty(dump: bytes) -> None:
    assert lines(dump).validation.read == 0


@pytest.mark.parametrize(
    "dump",
    [
        b"checkup_id,remark\n1,2\n",
        '{"checkup_id": 1}'.encode("utf-16"),
        b"{}\n{}\n",
        json.dumps({f"key{i}": i for i in range(MAX_KEYS + 1)}).encode(),
    ],
    ids=["csv", "utf-16", "no keys", "keys without end"],
)
def test_what_is_no_json_lines_is_unreadable(dump: bytes) -> None:
    with pytest.raises(BadDump) as caught:
        lines(dump)
    assert caught.value.rule == "dump.unreadable"
    assert caught.value.__context__ is None


def test_lines_without_a_required_key_are_refused() -> None:
    with pytest.raises(BadDump, match="lacks checkup_id"):
        lines('{"steps": 1}')
