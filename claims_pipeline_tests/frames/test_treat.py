"""Personal data after treatment: tokens that tell nothing, and values made coarse."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from claims_pipeline.feeds import feed_named
from claims_pipeline.feeds.contract import Reduction, Token
from claims_pipeline.frames import KeyRing, make_key_ring
from claims_pipeline.frames.treat import reduce, tokens, treat

from .samples import DAY, KEYS, VISITS, relaxed

RING = KeyRing((("v7", b"k" * 32),))


def made(values: list[str | None], *, sender: str = "s", family: str = "f", ring: KeyRing = RING) -> list[str | None]:
    found: list[str | None] = tokens(pa.array(values, pa.string()), sender=sender, family=family, keys=ring).to_pylist()
    return found


def oracle(value: str | None, sender: str, family: str) -> str | None:
    if value is None:
        return None
    mac = hmac.digest(b"k" * 32, f"{sender}\x1f{family}\x1f{value}".encode(), hashlib.sha256)
    return "v7_" + base64.urlsafe_b64encode(mac[:18]).decode()


@relaxed
@given(st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"])), max_size=20))
def test_a_token_is_the_hmac_of_sender_family_and_value(values: list[str | None]) -> None:
    assert made(values) == [oracle(value, "s", "f") for value in values]


def test_values_that_repeat_have_the_tokens_that_they_have_alone() -> None:
    values = [None if i % 5 == 0 else f"person {i % 7}" for i in range(600)]
    assert made(values) == [oracle(value, "s", "f") for value in values]


def test_sender_family_value_and_key_all_make_another_token() -> None:
    other = KeyRing.parse(make_key_ring())
    found = {*made(["x", "y"]), *made(["x"], sender="t"), *made(["x"], family="g"), *made(["x"], ring=other)}
    assert len(found) == 5


def test_case_and_length_are_not_touched() -> None:
    assert len(set(made(["ABC", "abc", "a-b-c", "abc "]))) == 4


def test_case_is_folded_only_where_the_contract_says_so() -> None:
    def of(text: str, *, upper: bool) -> object:
        (column,) = (c for c in feed_named("indici/patients").columns if c.name == "nhi_number")
        column = replace(column, facts=replace(column.facts, treatment=Token(family="nhi", upper=upper)))
        return treat(pa.array([text]), column, sender="indici", keys=RING, delivery_day=DAY)[0].to_pylist()

    assert of("zzz0016", upper=True) == of("ZZZ0016", upper=True)
    assert of("zzz0016", upper=False) != of("ZZZ0016", upper=False)


def test_a_number_has_the_token_of_its_digits() -> None:
    column = next(c for c in VISITS.columns if c.name == "patient_no")
    (found,) = treat(pa.array([77], pa.int64()), column, sender="s", keys=RING, delivery_day=DAY)
    assert found.to_pylist() == [oracle("77", "s", "patient_no")]


def test_every_column_is_treated_into_its_stored_types() -> None:
    for column in VISITS.columns:
        values = pa.nulls(2, column.arrow)
        found = treat(values, column, sender="s", keys=KEYS.token, delivery_day=DAY)
        assert [array.type for array in found] == [stored.arrow for stored in column.stored], column.name


def reduced(to: Reduction, values: pa.Array, day: dt.date = DAY) -> list[object]:
    return [array.to_pylist() for array in reduce(values, to, delivery_day=day)]


@relaxed
@given(st.lists(st.none() | st.dates(dt.date(1850, 1, 1), dt.date(2030, 1, 1)), max_size=20),
       st.dates(dt.date(2020, 1, 1), dt.date(2030, 12, 31)) | st.just(dt.date(2024, 2, 29)))  # fmt: skip
def test_birth_years_of_people_over_89_are_not_told(born: list[dt.date | None], day: dt.date) -> None:
    def expected(date: dt.date | None) -> str | None:
        if date is None:
            return None
        age = day.year - date.year - ((day.month, day.day) < (date.month, date.day))
        return "90+" if age > 89 else str(date.year)

    assert reduced(Reduction.BIRTH_YEAR, pa.array(born, pa.date32()), day) == [[expected(date) for date in born]]


@relaxed
@given(st.lists(st.none() | st.dates(), max_size=10))
def test_dates_become_months_and_years(dates: list[dt.date | None]) -> None:
    array = pa.array(dates, pa.date32())
    assert reduced(Reduction.MONTH, array) == [[d and d.replace(day=1) for d in dates]]
    assert reduced(Reduction.YEAR, array) == [[d and d.year for d in dates]]


def test_zip_codes_keep_three_digits_or_none() -> None:
    zips = ["02139", "02139-1234", "021391234", "02139 1234", "03601", "89301", "123", "12 Main St", "1234A", None]
    assert reduced(Reduction.ZIP3, pa.array(zips)) == [["021"] * 4 + ["000", "000", None, None, None, None]]


def test_only_known_extensions_are_kept_since_others_may_be_names() -> None:
    names = ["a.PDF", "a.b.Docx", "Jane.Doe", "jane", ".pdf", "a.", "a.verylongextension", None]
    expected = ["pdf", "docx", "other", None, "pdf", "other", "other", None]
    assert reduced(Reduction.EXTENSION, pa.array(names)) == [expected]


def test_lists_become_their_length() -> None:
    lists = pa.array([["a", None], [], None], pa.list_(pa.string()))
    assert reduced(Reduction.COUNT, lists) == [[2, 0, None]]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("2020-01-31", (2020, 1, 31)),
        ("2020-XX-01", (2020, None, 1)),
        ("XXXX-XX-XX", (None, None, None)),
        ("2023-02-31", (2023, 2, 31)),
        ("about 2020", (None, None, None)),
    ],
)
def test_partial_dates_become_three_numbers(text: str, parts: tuple[int | None, ...]) -> None:
    assert tuple(part for (part,) in reduced(Reduction.PARTIAL_DATE, pa.array([text]))) == parts  # type: ignore[misc, has-type]  # pyarrow has no types
