"""S3's events from the write to the ledger, over HTTP: what is entered, what is counted, what stays in the queue."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import SecretStr

from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.extent import Extent
from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline.hearing import hear
from claims_pipeline_tests.fix_events import Events

KEY = "526/form526_uploads/dt=2026-05-04/form526_uploads_20260504T050000Z.csv"
NOTHING = Extent(None)
"""A look that lists nothing."""


@pytest.fixture
def telling(events: Events) -> Events:
    """An inbox that tells the queue itself."""
    events.tell_directly()
    events.hear()  # of S3's own test
    return events


@pytest.mark.parametrize("way", [Events.tell_directly, Events.tell_through_eventbridge], ids=["direct", "eventbridge"])
def test_what_is_written_is_in_the_ledger_without_a_listing(events: Events, way: Callable[[Events], None]) -> None:
    way(events)
    events.put(KEY)
    assert (events.hear().events["new"], [dump.key for dump in events.ledger()]) == (1, [KEY])


@pytest.mark.parametrize("way", [Events.tell_directly, Events.tell_through_eventbridge], ids=["direct", "eventbridge"])
def test_a_key_with_spaces_plus_and_percent_signs_is_found(events: Events, way: Callable[[Events], None]) -> None:
    way(events)
    key = events.put("526/a b+c%20d/é.csv")
    events.hear()
    assert [dump.key for dump in events.ledger()] == [key]


def test_messages_that_were_understood_are_deleted(telling: Events) -> None:
    telling.put(KEY)
    telling.hear()
    assert telling.left() == 0


def test_messages_stay_when_the_ledger_cannot_be_written(telling: Events) -> None:
    telling.put(KEY)
    telling.configure(database_url=SecretStr(f"{telling.pipeline.services.database_url}_gone"))
    with pytest.raises(ClaimsPipelineError):
        telling.hear()
    assert telling.left() == 1


def test_an_event_told_twice_is_one_dump(telling: Events) -> None:
    telling.put(KEY)
    telling.hear()
    telling.tell_of(KEY)
    assert (telling.hear().events, len(telling.ledger())) == ({"known": 1}, 1)


def test_an_object_that_is_gone_is_counted_and_no_dump(telling: Events) -> None:
    telling.tell_of(KEY)
    assert (telling.hear().events, telling.ledger(), telling.left()) == ({"gone": 1}, [], 0)


def test_an_event_of_a_deletion_is_counted_and_changes_nothing(telling: Events) -> None:
    telling.put(KEY)
    telling.hear()
    telling.s3.delete_object(Bucket=telling.inbox, Key=KEY)
    assert (telling.hear().events, len(telling.ledger())) == ({"other": 1}, 1)


@pytest.mark.parametrize(("bucket", "key"), [("another", KEY), (None, "someone-else/x.csv")], ids=["bucket", "prefix"])
def test_events_of_elsewhere_are_counted_and_deleted(telling: Events, bucket: str | None, key: str) -> None:
    telling.tell_of(key, bucket=bucket)
    assert (telling.hear().events, telling.left()) == ({"elsewhere": 1}, 0)


def test_sidecars_are_no_dumps(telling: Events) -> None:
    telling.put(f"{KEY}.sha256")
    assert (telling.hear().events, telling.ledger()) == ({"no_dump": 1}, [])


def test_disorder_ends_with_what_s3_shows(telling: Events) -> None:
    telling.put(KEY, b"newer\n")
    telling.hear()
    telling.tell_of(KEY, eTag="0" * 32, size=3)  # of an earlier write
    telling.hear()
    assert [dump.size_bytes for dump in telling.ledger()] == [6]


def test_events_of_all_senders_are_entered_whoever_hears_them(telling: Events) -> None:
    telling.put(KEY)
    telling.put("indici/Patient_20260504.parquet")
    telling.hear()
    assert sorted(dump.sender for dump in telling.ledger()) == ["indici", "va_form526"]


# ---------------------------------------------------------------------------------------------- when a dump is ready


def look(events: Events) -> list[str]:
    """Keys that may be read, after what is in the queue was heard and nothing listed."""
    confirmed = events.hear().confirmed.get(SENDER.name, frozenset())
    return [dump.key for dump in events.pipeline.flow.discover(SENDER, Extent(None, confirmed=confirmed)).open]


def test_a_dump_that_is_as_the_event_told_need_not_settle(telling: Events) -> None:
    telling.settling_for(3600)
    telling.put(KEY)
    assert look(telling) == [KEY]


def test_a_dump_that_is_not_as_the_event_told_settles(events: Events) -> None:
    events.settling_for(3600)
    events.put(KEY)
    events.tell_of(KEY, eTag="0" * 32, size=3)
    assert look(events) == []


def test_a_dump_entered_by_another_senders_tick_is_ready_at_the_next_look(telling: Events) -> None:
    telling.settling_for(3600)
    telling.put(KEY)
    telling.hear()
    assert [dump.key for dump in telling.pipeline.flow.discover(SENDER, NOTHING).open] == [KEY]


def test_a_dump_that_is_gone_again_before_the_look_has_failed(telling: Events) -> None:
    telling.settling_for(3600)
    telling.put(KEY)
    telling.hear()
    telling.s3.delete_object(Bucket=telling.inbox, Key=KEY)
    found = telling.pipeline.flow.discover(SENDER, NOTHING)
    assert (found.open, [dump.key for dump in found.strange]) == ((), [KEY])


def test_a_dump_without_a_contract_is_to_be_kept_at_once(telling: Events) -> None:
    telling.settling_for(3600)
    key = telling.put("526/strange.csv")
    confirmed = telling.hear().confirmed[SENDER.name]
    found = telling.pipeline.flow.discover(SENDER, Extent(None, confirmed=confirmed))
    assert ([dump.key for dump in found.unkept], [dump.key for dump in found.strange]) == ([key], [key])


def test_a_lost_event_is_made_good_by_a_listing(events: Events) -> None:
    events.put(KEY)
    assert events.hear().messages == 0
    assert [dump.key for dump in events.pipeline.flow.discover(SENDER).open] == [KEY]


# ---------------------------------------------------------------------------------------------- what is not understood


def test_a_message_that_is_no_event_stays_in_the_queue(events: Events) -> None:
    events.send("hello")
    assert (events.hear().events, events.left()) == ({"not_understood": 1}, 1)


def test_a_message_that_is_no_event_does_not_hold_up_the_others(telling: Events) -> None:
    telling.send("hello")
    telling.put(KEY)
    assert telling.hear().events == {"not_understood": 1, "new": 1}


def test_a_message_that_is_no_event_is_to_be_told_of_once(events: Events, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("claims_pipeline.landing.queue.HIDDEN_SECONDS", 0)
    events.send("hello")
    told: list[str] = []
    heard = hear(events.pipeline.services, tell=told.extend)
    assert (heard and heard.events, len(told)) == ({"not_understood": 3}, 1)


def test_a_message_that_is_no_event_is_told_of_though_the_hearing_fails(telling: Events) -> None:
    telling.send("hello")
    telling.put(KEY)
    telling.configure(database_url=SecretStr(f"{telling.pipeline.services.database_url}_gone"))
    told: list[str] = []
    with pytest.raises(ClaimsPipelineError):
        hear(telling.pipeline.services, tell=told.extend)
    assert len(told) == 1


def test_a_message_that_is_no_event_ends_in_the_dead_letter_queue(
    events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("claims_pipeline.landing.queue.HIDDEN_SECONDS", 0)
    events.send("hello")
    for _ in range(5):
        events.hear()
    dead = events.cloud.client("sqs").receive_message(QueueUrl=f"{events.queue}-dead")
    assert [message["Body"] for message in dead["Messages"]] == ["hello"]


def test_a_queue_that_is_not_there_is_said_without_its_url(events: Events) -> None:
    events.configure(events_queue_url=f"{events.queue}-gone")
    with pytest.raises(ClaimsPipelineError, match="SQS") as raised:
        events.hear()
    assert "http://" not in str(raised.value)


def test_without_a_queue_nothing_is_heard(events: Events) -> None:
    events.configure(events_queue_url=None)
    assert hear(events.pipeline.services) is None


def test_more_than_one_calls_messages_are_heard_at_once(telling: Events) -> None:
    for hour in range(24):
        telling.put(KEY.replace("T05", f"T{hour:02}"))
    assert telling.hear().events == {"new": 24}


def test_keys_that_lie_together_are_asked_for_in_one_call(telling: Events) -> None:
    for hour in range(24):
        telling.put(KEY.replace("T05", f"T{hour:02}"))
    asked: list[str] = []
    event = "before-call.s3.ListObjectsV2"
    telling.s3.meta.events.register(event, lambda model, **_: asked.append(model.name), unique_id="test")
    telling.hear()
    telling.s3.meta.events.unregister(event, unique_id="test")
    assert len(asked) == 1
