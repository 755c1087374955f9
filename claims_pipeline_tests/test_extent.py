"""How much of an inbox one look lists: small ones whole, large ones in stretches, and nothing is ever passed over."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

from claims_pipeline import extent
from claims_pipeline.extent import Extent, Round
from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline.landing.looking import Singles, Stretch
from claims_pipeline.landing.s3 import find, list_objects
from claims_pipeline.local import LocalServices
from claims_pipeline.services import Services
from claims_pipeline.settings import Settings
from claims_pipeline.warehouse import ledger
from claims_pipeline_tests.fix_inbox import Inbox, Keys, inbox_of
from claims_pipeline_tests.fix_pipeline import Pipeline, pipeline_of

TODAY = dt.datetime.now(dt.UTC).date()
NOW = dt.datetime(2026, 5, 4, 12, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def large() -> Iterator[Inbox]:
    """An inbox of 5 pages and some days beyond today, so that the last days are there whatever the date is."""
    with inbox_of(Keys(days=30, a_day=32, first=TODAY - dt.timedelta(days=28))) as inbox:
        yield inbox


@pytest.fixture
def pipeline(large: Inbox, services: LocalServices, tmp_path: Path) -> Iterator[Pipeline]:
    """A pipeline that lists that inbox; what it would write goes to the embedded S3."""
    from claims_pipeline.local import s3_client

    with pipeline_of(services, s3_client(services.s3), tmp_path, feeds=[]) as pipeline:
        pipeline.services = Services(pipeline.services.settings, lambda: large.client)
        yield pipeline


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ticks that have time for one page."""
    monkeypatch.setattr(extent, "STRETCH_SECONDS", 0.0)


def tick(pipeline: Pipeline, at: Round, *, hearing: bool = False, backlog: int = 0, **settings: object) -> Extent:
    """The extent of a tick, looked at."""
    services = pipeline.services
    changed = services.settings.model_copy(update=settings)
    plan = Extent.of_tick(services.s3, changed, SENDER, at=at, hearing=hearing, backlog=backlog)
    pipeline.flow.discover(SENDER, plan)
    return plan


def known(pipeline: Pipeline) -> list[str]:
    with pipeline.services.database() as connection:
        return sorted(dump.key for dump in ledger.select(connection, "true"))


# ---------------------------------------------------------------------------------------------- the round


def test_an_inbox_that_fits_is_listed_whole_in_one_tick(pipeline: Pipeline, large: Inbox) -> None:
    at = tick(pipeline, Round()).at
    assert (at.after, at.large, known(pipeline)) == (None, False, list(large.keys))


@pytest.mark.usefixtures("hurried")
def test_a_round_in_stretches_sees_every_key(pipeline: Pipeline, large: Inbox) -> None:
    at, ticks = tick(pipeline, Round()).at, 1
    while at.after is not None:
        at, ticks = tick(pipeline, Round.from_text(at.text())).at, ticks + 1
    assert (ticks, at.large, known(pipeline)) == (6, True, list(large.keys))  # five pages, and one to see the end


@pytest.mark.usefixtures("hurried")
def test_the_last_days_are_seen_in_the_first_tick_of_a_round(pipeline: Pipeline, large: Inbox) -> None:
    tick(pipeline, Round(), listing_days=1)
    recent = [key for key in large.keys if f"dt={TODAY}/" in key]
    assert set(recent) <= set(known(pipeline))


def test_a_tick_stops_where_it_has_seen_enough_that_is_new(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extent, "NEW_IN_A_LOOK", 1_500)
    at = tick(pipeline, Round(), listing_days=1).at
    assert at.after == known_at(2_000)


def known_at(count: int) -> str:
    return Keys(days=30, a_day=32, first=TODAY - dt.timedelta(days=28))[count - 1]


def test_a_round_pauses_while_too_much_is_open(pipeline: Pipeline) -> None:
    at = Round(NOW, "526/x", large=True)
    plan = tick(pipeline, at, hearing=True, backlog=extent.MOST_BACKLOG)
    assert (plan.at, known(pipeline)) == (at, [])


@pytest.mark.parametrize(
    ("at", "hearing", "due"),
    [
        (Round(), True, True),
        (Round(NOW, "526/x", large=True), True, True),
        (Round(NOW), False, True),
        (Round(NOW), True, False),
        (Round(NOW, large=True), False, False),
        (Round(NOW - dt.timedelta(minutes=15)), True, True),
        (Round(NOW - dt.timedelta(minutes=15), large=True), False, True),
    ],
    ids=["first", "under way", "small", "small, hearing", "large", "hearing, after its time", "large, after its time"],
)
def test_when_a_stretch_is_due(at: Round, hearing: bool, due: bool) -> None:
    assert at.is_due(NOW, minutes=15, hearing=hearing) is due


def test_while_events_are_heard_nothing_is_listed_between_rounds(pipeline: Pipeline, large: Inbox) -> None:
    before = large.pages
    tick(pipeline, Round(dt.datetime.now(dt.UTC)), hearing=True)
    assert large.pages == before


def test_without_events_the_last_days_of_a_large_inbox_are_listed_between_rounds(
    pipeline: Pipeline, large: Inbox
) -> None:
    tick(pipeline, Round(dt.datetime.now(dt.UTC), large=True), listing_days=1)
    assert {key.split("/")[2] for key in known(pipeline)} == {f"dt={TODAY + dt.timedelta(days=n)}" for n in (-1, 0, 1)}


@pytest.mark.parametrize("text", [None, "", "x", "[]", "{}", '{"begun": 5}', '{"begun": null, "after": null}'])
def test_a_cursor_that_is_none_begins_a_round(text: str | None) -> None:
    assert Round.from_text(text) == Round()


# ---------------------------------------------------------------------------------------------- what is concluded


@pytest.mark.usefixtures("hurried")
def test_what_lies_outside_of_a_stretch_is_not_taken_for_gone(pipeline: Pipeline) -> None:
    tick(pipeline, Round())
    pipeline.flow.discover(SENDER, Extent(None))
    with pipeline.services.database() as connection:
        assert not ledger.select(connection, "status = 'failed'")


@pytest.mark.usefixtures("hurried")
def test_what_is_gone_within_a_stretch_is_found_gone(pipeline: Pipeline, large: Inbox) -> None:
    tick(pipeline, Round())
    gone, kept = large.keys[0], large.keys
    large.keys = large.keys[1:]
    try:
        tick(pipeline, Round())
    finally:
        large.keys = kept
    with pipeline.services.database() as connection:
        assert [dump.key for dump in ledger.select(connection, "status = 'failed'")] == [gone]


# ---------------------------------------------------------------------------------------------- parts of an inbox


def test_a_stretch_covers_what_it_showed(large: Inbox) -> None:
    stretch = Stretch(large.client, "inbox", "526/", after=large.keys[9], until=0.0)
    shown = [item.key for page in stretch for item in page]
    ends = (large.keys[9], large.keys[10], large.keys[1009], large.keys[1010], "other/x")
    assert (shown, [stretch.covers(key) for key in ends]) == (
        list(large.keys[10:1010]),
        [False, True, True, False, False],
    )


def test_a_stretch_to_the_end_covers_what_lies_behind_the_last_key(large: Inbox) -> None:
    stretch = Stretch(large.client, "inbox", "526/")
    for _ in stretch:
        pass
    assert (stretch.complete, stretch.covers("526/~")) == (True, True)


def test_single_keys_are_shown_as_a_listing_shows_them(pipeline: Pipeline, services: LocalServices) -> None:
    client = pipeline.s3
    for key in ("526/a.csv", "526/a.csv.sha256", "526/b.csv"):
        client.put_object(Bucket=pipeline.inbox, Key=key, Body=key.encode())
    listed = [item for page in list_objects(client, pipeline.inbox, "526/") for item in page]
    singles = Singles(client, pipeline.inbox, ["526/a.csv", "526/b.csv", "526/c.csv", "526/a"])
    assert [item for page in singles for item in page] == [listed[0], listed[2]]


def test_single_keys_among_many_are_found_each(large: Inbox) -> None:
    asked = [*large.keys[::70], "526/none", "526/~"]
    found = [item.key for page in Singles(large.client, "inbox", asked) for item in page]
    assert found == list(large.keys[::70])


def test_the_same_stretch_again_ends_where_it_ended(large: Inbox) -> None:
    first = Stretch(large.client, "inbox", "526/", until=0.0)
    shown = [item.key for page in first for item in page]
    large.keys, kept = [*shown[:5], f"{shown[4]}.new", *shown[5:], f"{shown[-1]}.new", *large.keys[1000:]], large.keys
    try:
        again = first.again()
        found = [item.key for page in again for item in page]
    finally:
        large.keys = kept
    assert (found, again.complete) == ([*shown[:5], f"{shown[4]}.new", *shown[5:]], False)
    assert [again.covers(key) for key in (shown[-1], kept[1000])] == [True, False]


def test_a_key_that_only_begins_others_is_not_found(pipeline: Pipeline) -> None:
    pipeline.s3.put_object(Bucket=pipeline.inbox, Key="526/ab.csv", Body=b"")
    assert find(pipeline.s3, bucket=pipeline.inbox, key="526/a") is None


def test_a_listing_of_the_embedded_s3_begins_behind_a_key(pipeline: Pipeline) -> None:
    for key in ("526/a.csv", "526/b.csv", "526/c/d.csv"):
        pipeline.s3.put_object(Bucket=pipeline.inbox, Key=key, Body=b"")
    found = [item.key for page in list_objects(pipeline.s3, pipeline.inbox, "526/", after="526/a.csv") for item in page]
    assert found == ["526/b.csv", "526/c/d.csv"]


def test_settings_have_a_queue_only_where_one_is_set() -> None:
    assert Services(Settings()).events_queue is None
