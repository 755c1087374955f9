"""How long a contract may keep what, and what it may not say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from claims_pipeline.feeds import all_feeds
from claims_pipeline.feeds.contract import Retention


def test_raw_bytes_are_kept_for_ever_by_default() -> None:
    assert {feed.retention.raw for feed in all_feeds()} == {None}


def test_frames_are_not_kept_longer_than_the_bytes_they_are_made_from() -> None:
    with pytest.raises(ValueError, match="longer than raw"):
        Retention(raw=30, validated=31)


@pytest.mark.parametrize(("raw", "validated"), [(0, None), (10, 0), (None, -1)])
def test_a_retention_is_at_least_a_day(raw: int | None, validated: int | None) -> None:
    with pytest.raises(ValueError, match="at least one day"):
        Retention(raw=raw, validated=validated)


@pytest.mark.parametrize(
    ("retention", "days"),
    [
        (Retention(), 90),
        (Retention(raw=400), 90),
        (Retention(raw=30, validated=None), 30),
        (Retention(None, None), None),
    ],
)
def test_frames_are_kept_so_many_days(retention: Retention, days: int | None) -> None:
    assert retention.frames == days


def test_another_retention_is_no_other_contract() -> None:
    feed = all_feeds()[0]
    assert replace(feed, retention=Retention(raw=365)).fingerprint == feed.fingerprint
