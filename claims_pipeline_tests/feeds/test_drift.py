"""Drift is told by name and kind, each with a proposed change; what was always so is no drift."""

from __future__ import annotations

import datetime as dt

import pytest

from claims_pipeline.feeds.contract import BigInt, Feed, FeedModel, Pii, Sender, Text, column
from claims_pipeline.feeds.drift import Delivered, compare

SENDER = Sender("clinic", "A clinic", "UTC", "clinic/", dt.date(2025, 1, 1))


class Visits(FeedModel):
    """One row per visit."""

    visit_id: BigInt = column("Visit", key=True)
    ward_name: Text = column("Ward", aliases=("Station",))
    urgency: Text = column("Urgency", pii=Pii.PSEUDONYMOUS)


EXACT = Feed(SENDER, "visits", Visits, ())
LOOSE = Feed(SENDER, "visits", Visits, (), names="loose")


def _seen(*columns: str, **types: str) -> Delivered:
    return Delivered(columns, types)


def _texts(feed: Feed, now: Delivered, before: Delivered | None) -> list[tuple[str, str]]:
    return [(change.kind, change.text) for change in compare(feed, now, before)]


def test_the_first_dump_drifts_only_by_columns_that_the_contract_does_not_know() -> None:
    assert _texts(EXACT, _seen("visit_id"), None) == []
    assert _texts(EXACT, _seen("visit_id", "extra"), None) == [("added", "added: extra")]


def test_a_column_that_comes_no_longer_is_dropped() -> None:
    changes = _texts(EXACT, _seen("visit_id"), _seen("visit_id", "urgency"))
    assert changes == [("dropped", "dropped: urgency")]


def test_a_column_that_goes_while_a_like_one_comes_is_taken_for_renamed() -> None:
    (change,) = compare(EXACT, _seen("visit_id", "urgency_code"), _seen("visit_id", "urgency"))
    assert (change.kind, change.text) == ("renamed", "renamed? urgency -> urgency_code")
    assert change.proposal.startswith('urgency: add aliases=("urgency_code",)')


def test_an_unlike_column_is_added_and_the_other_dropped() -> None:
    changes = _texts(EXACT, _seen("visit_id", "xyz"), _seen("visit_id", "urgency"))
    assert changes == [("dropped", "dropped: urgency"), ("added", "added: xyz")]


def test_an_added_column_is_proposed_as_dropped_special_text() -> None:
    (change,) = compare(EXACT, _seen("visit_id", "extra"), _seen("visit_id"))
    assert change.proposal == 'extra: Text = column("...", pii=Pii.SPECIAL, treatment=Drop())'


def test_an_alias_is_no_drift() -> None:
    assert _texts(EXACT, _seen("visit_id", "Station"), None) == []


@pytest.mark.parametrize("name", ["VisitID", "visit id", "VISIT_ID"])
def test_loose_names_are_no_drift_where_the_feed_says_so(name: str) -> None:
    assert _texts(LOOSE, _seen(name), None) == []
    assert _texts(EXACT, _seen(name), None) == [("added", f"added: {name}")]


def test_another_order_alone_is_told_and_only_then() -> None:
    before = _seen("visit_id", "urgency")
    assert _texts(EXACT, _seen("urgency", "visit_id"), before) == [("reordered", "the columns come in another order")]
    assert _texts(EXACT, _seen("urgency", "visit_id", "extra"), before) == [("added", "added: extra")]


def test_another_physical_type_is_told_but_not_a_column_that_is_or_was_all_null() -> None:
    before = Delivered(("visit_id", "urgency"), {"visit_id": "int64", "urgency": "null"})
    now = Delivered(("visit_id", "urgency"), {"visit_id": "double", "urgency": "string"})
    assert _texts(EXACT, now, before) == [("retyped", "retyped: visit_id int64 -> double")]
    later = Delivered(("visit_id", "urgency"), {"visit_id": "null", "urgency": "string"})
    assert _texts(EXACT, later, now) == []
