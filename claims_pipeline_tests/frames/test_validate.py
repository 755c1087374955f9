"""The rows that break a rule are found exactly, with nothing said about their values."""

from __future__ import annotations

import datetime as dt
import warnings
from typing import Any

import pandas as pd
import pandera.pandas as pa
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.feeds.contract import BigInt, Feed, FeedModel, Text, column
from claims_pipeline.frames.validate import Broken, Rules

from .samples import CLINIC, STAMP, VISITS, relaxed

COLUMNS = {c.name: c for c in VISITS.columns if c.name != "secret"}
SEEN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
FINE: dict[str, Any] = {
    "visit_id": 1, "kind": "visit", "is_open": True, "seen_at": SEEN, "changed_at": SEEN, "day": dt.date(2026, 1, 1),
    "room": 7, "note": "n", "mood": "good", "state": "open", "person": "p",
}  # fmt: skip

cells = st.fixed_dictionaries(
    {},
    optional={
        "visit_id": st.sampled_from([None, 0, 1, -5]),
        "is_open": st.sampled_from([None, True, False]),
        "seen_at": st.sampled_from([None, SEEN, STAMP + dt.timedelta(hours=1), STAMP + dt.timedelta(hours=2)]),
        "changed_at": st.sampled_from([None, SEEN, SEEN - dt.timedelta(microseconds=1)]),
        "day": st.sampled_from([None, dt.date(1899, 12, 31), dt.date(1900, 1, 1), dt.date(1, 1, 1)]),
        "room": st.sampled_from([None, -1, 0, 150, 151]),
        "note": st.sampled_from([None, "", "n" * 500, "n" * 501]),
        "mood": st.sampled_from([None, "good", "sour"]),
        "state": st.sampled_from([None, "open", "ajar"]),
        "person": st.sampled_from([None, "p"]),
    },
)


def oracle(row: dict[str, Any]) -> set[str]:
    """The rules that a row breaks, advice included."""
    later = row["changed_at"] is not None and row["seen_at"] is not None and row["changed_at"] < row["seen_at"]
    verdicts = {
        "visit_id.required": row["visit_id"] is None,
        "visit_id.greater_than_or_equal_to": row["visit_id"] is not None and row["visit_id"] < 1,
        "is_open.required": row["is_open"] is None,
        "person.required": row["person"] is None,
        "seen_at.max_ahead": row["seen_at"] is not None and row["seen_at"] > STAMP + dt.timedelta(hours=1),
        "day.greater_than_or_equal_to": row["day"] is not None and row["day"] < dt.date(1900, 1, 1),
        "room.in_range": row["room"] is not None and not 0 <= row["room"] <= 150,
        "note.str_length": row["note"] is not None and len(row["note"]) > 500,
        "mood.isin": row["mood"] not in {None, "fair", "good"},
        "state.isin": row["state"] not in {None, "open", "shut"},
        "row.changed_not_before_seen": later,
        "row.open_has_room": row["is_open"] is True and row["room"] is None,
    }
    return {rule for rule, broken in verdicts.items() if broken}


ADVICE = {"mood.isin", "row.open_has_room"}


def table_of(rows: list[dict[str, Any]]) -> pyarrow.Table:
    return pyarrow.table(
        {name: pyarrow.array([row.get(name) for row in rows], column.arrow) for name, column in COLUMNS.items()}
    )


def rules_of(broken: list[Broken], row: int) -> set[str]:
    return {b.rule for b in broken if b.rows[row]}


RULES = Rules(VISITS, read=set(COLUMNS), absent=(), stamp=STAMP)


@relaxed
@given(st.lists(cells, min_size=1, max_size=25))
def test_rows_break_the_rules_that_the_oracle_says(changes: list[dict[str, Any]]) -> None:
    rows = [{**FINE, **change} for change in changes]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # pandera's warnings quote values
        rejected, advice = RULES.judge(table_of(rows))
    for i, row in enumerate(rows):
        assert rules_of(rejected, i) == oracle(row) - ADVICE
        assert rules_of(advice, i) == oracle(row) & ADVICE


def test_null_is_allowed_where_the_dump_lacks_the_column() -> None:
    rules = Rules(VISITS, read=set(COLUMNS), absent=("person",), stamp=STAMP)
    assert rules.judge(table_of([{**FINE, "person": None}])) == ([], [])


def feed_of(check: Any) -> Feed:
    class Things(FeedModel):
        """Things."""

        number: BigInt = column("Number", key=True)
        name: Text = column("Name")

        @pa.dataframe_check(name="odd")
        def odd(cls, df: pd.DataFrame) -> Any:
            return check(df)

    return Feed(CLINIC, "things", Things, ())


THINGS = pyarrow.table({"number": pyarrow.array([1], pyarrow.int64()), "name": pyarrow.array(["Canary"])})


@pytest.mark.parametrize(
    "check", [lambda df: int(df["name"].iloc[0]) > 0, lambda _: False, lambda df: df["absent"] > 1]
)
def test_a_check_that_cannot_be_run_on_rows_is_named_without_values(check: Any) -> None:
    rules = Rules(feed_of(check), read={"number", "name"}, absent=(), stamp=STAMP)
    with pytest.raises(ClaimsPipelineError, match=r"clinic/things: the rule row\.odd could not be run") as caught:
        rules.judge(THINGS)
    assert "Canary" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize("check", [lambda _: True, lambda df: df["number"].notna(), lambda df: df.notna()])
def test_a_check_may_be_fine_with_all_rows_at_once(check: Any) -> None:
    assert Rules(feed_of(check), read={"number", "name"}, absent=(), stamp=STAMP).judge(THINGS) == ([], [])


class Words(FeedModel):
    """Checks on columns that people write."""

    number: BigInt = column("Number", key=True)
    name: Text = column("Name")

    @pa.check("name", name="short")
    def short(cls, series: pd.Series) -> pd.Series:
        return series.str.len() < 3

    @pa.check("name", name="lower", element_wise=True, raise_warning=True)
    def lower(cls, value: str) -> bool:
        return value.islower()


def test_checks_that_people_write_find_their_rows_and_leave_nulls_out() -> None:
    rules = Rules(Feed(CLINIC, "words", Words, ()), read={"number", "name"}, absent=(), stamp=STAMP)
    names = ["ab", None, "abc", "AB"]
    table = pyarrow.table({"number": pyarrow.array(range(4), pyarrow.int64()), "name": pyarrow.array(names)})
    rejected, advice = rules.judge(table)
    assert [(b.rule, b.rows.tolist()) for b in rejected] == [("name.short", [False, False, True, False])]
    assert [(b.rule, b.rows.tolist()) for b in advice] == [("name.lower", [False, False, False, True])]
