"""Texts are invented that regular expressions accept, each by its number."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from claims_pipeline.feeds import all_feeds
from claims_pipeline.local.fake_sender.domains import Domain
from claims_pipeline.local.fake_sender.patterns import texts_of

PATTERNS = (
    r"^\d{10}V\d{6}$",
    r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}$",
    r"^(\d{4}|XXXX)-(0[1-9]|1[0-2]|XX)$",
    r"^\d{5}(?:[-\s]?\d{4})?$",
    r"^[0-9]{2}(-[0-9]{2}|\+)$",
    r"^[0-9A-Za-z.]{1,7}$",
    r"^(?i:abc|def)_x*y+?z?$",
    r"^[^a-z\d]{2,}\.\w\W\S\Z",
    r"(?P<first>a|b|)[]x-]\t[\]\-]",
    r"^.{3}$",
    r"^[1-9]\d{0,3}$",
)


def _some(domain: Domain, count: int = 500) -> list[str]:
    texts: list[str] = domain.at(np.linspace(0, domain.size - 1, count).astype(np.int64)).to_pylist()
    return texts


@pytest.mark.parametrize("distinct", [False, True])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_text_matches_the_whole_pattern(pattern: str, distinct: bool) -> None:
    for text in _some(texts_of(pattern, distinct=distinct)):
        assert re.fullmatch(pattern, text)


def test_the_patterns_of_all_contracts_are_known() -> None:
    patterns = {
        check.statistics["pattern"]
        for feed in all_feeds()
        for column in feed.columns
        for check in column.checks
        if check.name == "str_matches" and check.statistics
    }
    assert patterns
    for pattern in patterns:
        assert all(re.match(pattern, text) for text in _some(texts_of(pattern), 50))


@given(st.lists(st.integers(0, 26 * 26 * 10**6 - 1), min_size=2, max_size=50, unique=True))
def test_different_numbers_are_different_keys(numbers: list[int]) -> None:
    texts = texts_of(r"^[A-Z]{2}-\d{6}$", distinct=True).at(np.array(numbers, dtype=np.int64)).to_pylist()
    assert len(set(texts)) == len(numbers)


def test_neighbouring_numbers_differ_in_the_last_place() -> None:
    assert texts_of(r"^V\d{3}$", distinct=True).at(np.arange(3)).to_pylist() == ["V000", "V001", "V002"]


def test_a_named_group_can_be_given() -> None:
    found = texts_of(r"^x_(?P<stamp>\d{8})(?:_(?P<sequence>\d+))?[.]csv$", groups={"stamp": "20250101"})
    assert found.at(np.zeros(1, dtype=np.int64)).to_pylist() == ["x_20250101.csv"]


@pytest.mark.parametrize("pattern", [r"(a)\1", r"(a", r"[a", r"(?>a)", r"a)"])
def test_a_pattern_that_cannot_be_read_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        texts_of(pattern)
