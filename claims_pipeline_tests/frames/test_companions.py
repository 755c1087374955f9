"""Sentinels, flags and local copies in CSV, and where they stand among the stored columns."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import Any

import pytest

from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.feeds.contract import BigInt, Feed, FeedModel, Flag, Text, column
from claims_pipeline.frames.batch import rows_schema

from .samples import CHECKUPS, CLINIC, deliver, naive


def one(name: str, *texts: str, feed: Feed = CHECKUPS) -> list[dict[str, Any]]:
    rows = "".join(f'{i},"{text}"\n' for i, text in enumerate(texts, 1))
    outcome = deliver(f"checkup_id,{name}\n{rows}".encode(), feed=feed)
    assert outcome.rules == {}
    return outcome.rows


def test_companions_stand_where_the_contract_says() -> None:
    names = rows_schema(CHECKUPS).names
    assert names[:6] == ["checkup_id", "at", "at_local", "born_year", "number_token", "number_valid"]
    assert list(one("at", "")[0]) == names


@pytest.mark.parametrize(
    ("name", "stored", "texts", "expected"),
    [
        ("at", "at", ["1900-01-01", " 1900-01-01 00:00:00.000 ", "1900-01-01T00:00:00Z"], [None] * 3),
        ("at", "at_local", ["1900-01-01", "1900-01-02 00:00:00"], [None, naive("1900-01-02 00:00")]),
        ("born", "born_year", ["1900-01-01", "unknown", "1900-01-02"], [None, None, 1900]),
        ("number", "number_token", ["ZZZ0000", " ZZZ0000 "], [None, None]),
        ("weight", "weight", ["-1", "-1.00", "1"], [None, None, Decimal("1.00")]),
        ("steps", "steps", ["99999", "099999", "9999"], [None, None, 9999]),
        ("smokes", "smokes", ["9", "1", "0"], [None, True, False]),
        ("remark", "remark", ["n/a", " n/a ", " n/b ", "N/A"], [None, None, " n/b ", "N/A"]),
    ],
)
def test_sentinels_are_null(name: str, stored: str, texts: list[str], expected: list[Any]) -> None:
    assert [row[stored] for row in one(name, *texts)] == expected


def test_a_flag_sees_the_value_before_it_is_treated() -> None:
    rows = one("number", "ZAC5361", " ZAC5361 ", "ABC1234", "", "ZZZ0000")
    assert [row["number_valid"] for row in rows] == [True, True, False, None, None]
    assert rows[0]["number_token"] == rows[1]["number_token"] != rows[2]["number_token"]


def test_companions_of_an_absent_column_are_null() -> None:
    (row,) = one("remark", "x")
    assert (row["at_local"], row["number_valid"]) == (None, None)


def test_companions_follow_their_rows_past_rejects() -> None:
    dump = b"checkup_id,at,number\n1,2025-01-01 00:00:00,ZAC5361\nx,2025-01-02 00:00:00,A\n3,2025-01-03 00:00:00,B\n"
    outcome = deliver(dump, feed=CHECKUPS)
    assert [(row["at_local"].day, row["number_valid"]) for row in outcome.rows] == [(1, True), (3, False)]


def test_changes_of_clocks_are_settled_and_the_local_time_is_kept() -> None:
    texts = ["2025-04-06 02:30:00", "2025-09-28 02:30:00", "2025-04-06T02:30:00+12:00", "2025-04-05T14:30:00Z"]
    rows = one("at", *texts)
    assert [f"{row['at']:%d %H:%M}" for row in rows] == ["05 13:30", "27 14:00", "05 14:30", "05 14:30"]
    assert [f"{row['at_local']:%d %H:%M}" for row in rows] == ["06 02:30", "28 02:30", "06 02:30", "06 02:30"]


def _picky(text: str) -> bool:
    raise ValueError(text)


class Picky(FeedModel):
    """A flag that raises."""

    checkup_id: BigInt = column("Checkup", key=True)
    word: Text = column("Word", flag=Flag("word_valid", _picky, "Never computed"))


def test_a_flag_that_raises_is_named_and_quotes_nothing() -> None:
    with pytest.raises(ClaimsPipelineError, match="word_valid") as caught:
        one("word", "Canary", feed=Feed(CLINIC, "picky", Picky, ()))
    assert "Canary" not in str(caught.value)
    assert caught.value.__context__ is None


LOOSE = dataclasses.replace(CHECKUPS, names="loose")


@pytest.mark.parametrize("name", ["remark", "REMARK", "Re_Mark", " re mark ", "Comment"])
def test_loose_names_ignore_case_blanks_and_underscores(name: str) -> None:
    assert one(name, "x", feed=LOOSE)[0]["remark"] == "x"
