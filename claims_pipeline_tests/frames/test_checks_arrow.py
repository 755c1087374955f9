"""A built-in check says the same of each row as an Arrow kernel and as pandera's own function."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pandas as pd
import pandera.pandas as pa
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from claims_pipeline.frames.checks_arrow import arrow_form

from .samples import relaxed

UTC = dt.UTC
DAY, MOMENT = dt.date(2026, 1, 2), dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NUMBERS = st.integers(-3, 3)
TEXTS = st.text(st.sampled_from(list("ab1\u00e9\n\u0663.")), max_size=4)
DAYS = st.integers(-2, 2).map(lambda n: DAY + dt.timedelta(days=n))
MOMENTS = st.integers(-2, 2).map(lambda n: MOMENT + dt.timedelta(microseconds=n))
AMOUNTS = st.integers(-300, 300).map(lambda n: Decimal(n).scaleb(-2))
KINDS: dict[str, tuple[pyarrow.DataType, st.SearchStrategy[Any], st.SearchStrategy[Any]]] = {
    "int64": (pyarrow.int64(), NUMBERS, NUMBERS),
    "int16": (pyarrow.int16(), NUMBERS, NUMBERS),
    "string": (pyarrow.string(), TEXTS, TEXTS),
    "date": (pyarrow.date32(), DAYS, DAYS),
    "timestamp": (pyarrow.timestamp("us", "UTC"), MOMENTS, MOMENTS | MOMENTS.map(pd.Timestamp)),
    "decimal": (pyarrow.decimal128(12, 2), AMOUNTS, AMOUNTS | NUMBERS),
    "boolean": (pyarrow.bool_(), st.booleans(), st.booleans()),
}
ORDERED = [kind for kind in KINDS if kind != "boolean"]


def agree(check: pa.Check, kind: pyarrow.DataType, values: list[Any]) -> None:
    """Rows that the Arrow form says False of, and those that pandera says False of; the form must exist."""
    array = pyarrow.chunked_array([pyarrow.array(values, kind)])
    form = arrow_form(check, kind)
    assert form is not None
    fine = form(array).to_pylist()
    series = pd.Series(pd.arrays.ArrowExtensionArray(array))
    said = check(series).check_output
    broken = said.index[~said.fillna(value=True).to_numpy(dtype=bool)].tolist()
    assert [i for i, value in enumerate(fine) if value is False] == broken


def rows(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.none() | values, min_size=1, max_size=8)


@pytest.mark.parametrize("kind", KINDS)
@relaxed
@given(st.data())
def test_comparisons_agree(kind: str, data: st.DataObject) -> None:
    arrow, values, bounds = KINDS[kind]
    names = ["eq", "ne"] if kind == "boolean" else ["eq", "ne", "gt", "ge", "lt", "le"]
    name = data.draw(st.sampled_from(names))
    agree(getattr(pa.Check, name)(data.draw(bounds)), arrow, data.draw(rows(values)))


@pytest.mark.parametrize("kind", ORDERED)
@relaxed
@given(st.data(), st.booleans(), st.booleans())
def test_ranges_agree(kind: str, data: st.DataObject, low: bool, high: bool) -> None:
    arrow, values, bounds = KINDS[kind]
    ends = sorted([data.draw(bounds), data.draw(bounds)])
    if ends[0] == ends[1]:
        low = high = True
    check = pa.Check.in_range(*ends, include_min=low, include_max=high)
    agree(check, arrow, data.draw(rows(values)))


@pytest.mark.parametrize("kind", ["int64", "int16", "string"])
@relaxed
@given(st.data(), st.sampled_from(["isin", "notin"]))
def test_memberships_agree(kind: str, data: st.DataObject, name: str) -> None:
    arrow, values, bounds = KINDS[kind]
    check = getattr(pa.Check, name)(data.draw(st.lists(bounds, min_size=1, max_size=4)))
    agree(check, arrow, data.draw(rows(values)))


patterns = st.sampled_from(["a", "^a", "a$", "^a|b", "^(a|b)$", r"\d", r"^\w+$", ".", "^.$", "", "^$", r"\.", "(?i)A"])


@pytest.mark.filterwarnings("ignore:This pattern is interpreted")  # pandas', of patterns with groups
@relaxed
@given(st.sampled_from(["str_matches", "str_contains"]), patterns, rows(TEXTS))
def test_patterns_agree(name: str, pattern: str, values: list[Any]) -> None:
    agree(getattr(pa.Check, name)(pattern), pyarrow.string(), values)


@relaxed
@given(st.sampled_from(["str_startswith", "str_endswith"]), TEXTS, rows(TEXTS))
def test_beginnings_and_ends_agree(name: str, part: str, values: list[Any]) -> None:
    agree(getattr(pa.Check, name)(part), pyarrow.string(), values)


bounds_of_length = st.sampled_from([{"min_value": 2}, {"max_value": 2}, {"min_value": 1, "max_value": 3}])


@relaxed
@given(bounds_of_length | st.just({"exact_value": 2}), rows(TEXTS))
def test_lengths_agree(bounds: dict[str, int], values: list[Any]) -> None:
    agree(pa.Check.str_length(**bounds), pyarrow.string(), values)


@pytest.mark.parametrize(
    ("check", "kind"),
    [
        (pa.Check(lambda series: series > 1, name="greater_than"), pyarrow.int64()),
        (pa.Check.ge(1, ignore_na=False), pyarrow.int64()),
        (pa.Check.ge(1, element_wise=True), pyarrow.int64()),
        (pa.Check.ge(1.5), pyarrow.int64()),
        (pa.Check.ge(True), pyarrow.int64()),
        (pa.Check.ge(1 << 40), pyarrow.int16()),
        (pa.Check.ge(Decimal("0.001")), pyarrow.decimal128(12, 2)),
        (pa.Check.ge(dt.datetime(2026, 1, 1)), pyarrow.timestamp("us", "UTC")),  # noqa: DTZ001 - the naive one
        (pa.Check.ge(MOMENT), pyarrow.date32()),
        (pa.Check.isin([1, None]), pyarrow.int64()),
        (pa.Check.isin([DAY]), pyarrow.date32()),
        (pa.Check.str_matches("(?=a)"), pyarrow.string()),
        (pa.Check.str_startswith(("a", "b")), pyarrow.string()),  # type: ignore[arg-type]  # but pandas takes it
        (pa.Check.unique_values_eq([1]), pyarrow.int64()),
    ],
)
def test_what_cannot_be_said_exactly_is_left_to_pandera(check: pa.Check, kind: pyarrow.DataType) -> None:
    assert arrow_form(check, kind) is None
