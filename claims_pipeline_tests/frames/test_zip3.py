"""Areas of few people: the list that decides which ZIP3 are told, against its sources."""

from __future__ import annotations

import pyarrow as pa
import pytest

from claims_pipeline.feeds.contract import Reduction
from claims_pipeline.frames.treat import reduce
from claims_pipeline.frames.zip3 import parse, small_zip3
from claims_pipeline_tests.frames.samples import DAY

HHS = {
    "036", "059", "063", "102", "203", "556", "692", "790", "821", "823", "830", "831", "878", "879", "884", "890",
    "893",
}  # fmt: skip
CENSUS_2020 = {
    "036", "059", "102", "202", "203", "204", "205", "369", "556", "692", "753", "772", "821", "823", "878", "879",
    "884", "893",
}  # fmt: skip


def test_the_17_areas_of_hhs_are_not_told() -> None:
    assert not HHS - small_zip3()


def test_the_18_areas_of_the_2020_census_are_not_told() -> None:
    assert not CENSUS_2020 - small_zip3()


def test_prefixes_in_which_nobody_is_counted_are_not_told() -> None:
    assert len(small_zip3() - HHS - CENSUS_2020) == 1_000 - 894  # the census has 894 prefixes with an area


def test_large_areas_are_told() -> None:
    assert not {"021", "100", "606", "770", "891", "945", "999"} & small_zip3()


def test_every_listed_area_is_stored_as_zeros() -> None:
    (found,) = reduce(pa.array([f"{area}01" for area in sorted(small_zip3())]), Reduction.ZIP3, delivery_day=DAY)
    assert set(found.to_pylist()) == {"000"}


@pytest.mark.parametrize("text", ["36", "0360", "03x", "036,059", "# nothing but a comment", ""])
def test_a_list_that_cannot_be_read_is_no_list(text: str) -> None:
    with pytest.raises(ValueError, match="list of small ZIP areas"):
        parse(text)
