"""Messages about S3's events as AWS documents them, and everything else that may lie in a queue."""

from __future__ import annotations

import json

import pytest

from claims_pipeline.landing.event_messages import Hint, NotUnderstood, Told, understand

HINT = Hint("inbox", "526/a b+c=d/é.csv", "d41d8cd98f00b204e9800998ecf8427e", 1024)


def record(name: str = "ObjectCreated:Put", key: str = "526/a+b%2Bc%3Dd/%C3%A9.csv") -> dict[str, object]:
    """One record as the S3 user guide shows it ("Event message structure")."""
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-west-2",
        "eventTime": "1970-01-01T00:00:00.000Z",
        "eventName": name,
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "testConfigRule",
            "bucket": {"name": "inbox", "arn": "arn:aws:s3:::inbox"},
            "object": {
                "key": key,
                "size": HINT.size,
                "eTag": HINT.etag,
                "versionId": "096fKKXTRTtl3on89fVO.nfljtsv6qko",
                "sequencer": "0055AED6DCD90281E5",
            },
        },
    }


def bridged(kind: str = "Object Created", key: str = HINT.key) -> dict[str, object]:
    """An event as the S3 user guide shows it ("EventBridge event message structure")."""
    return {
        "version": "0",
        "detail-type": kind,
        "source": "aws.s3",
        "detail": {
            "version": "0",
            "bucket": {"name": "inbox"},
            "object": {
                "key": key,
                "size": HINT.size,
                "etag": HINT.etag,
                "version-id": "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e",
            },
            "reason": "PutObject",
        },
    }


def read(message: object) -> Told:
    return understand(json.dumps(message))


def test_a_buckets_own_event_names_the_object_with_its_key_decoded() -> None:
    assert read({"Records": [record()]}) == Told((HINT,))


@pytest.mark.parametrize("name", ["Put", "Post", "Copy", "CompleteMultipartUpload"])
def test_every_way_of_writing_counts(name: str) -> None:
    assert len(read({"Records": [record(f"ObjectCreated:{name}")]}).hints) == 1


def test_a_message_may_hold_several_events() -> None:
    told = read({"Records": [record(key="526/a.csv"), record("ObjectRemoved:Delete"), record(key="526/b.csv")]})
    assert ([hint.key for hint in told.hints], told.others) == (["526/a.csv", "526/b.csv"], 1)


def test_an_event_of_eventbridge_names_the_object_as_it_is() -> None:
    assert HINT in read(bridged()).hints


def test_a_key_that_an_emulator_encodes_for_eventbridge_is_a_hint_decoded() -> None:
    assert [hint.key for hint in read(bridged(key="526/dt%3D2026-05-04/x.csv")).hints][1:] == [
        "526/dt=2026-05-04/x.csv"
    ]


@pytest.mark.parametrize("kind", ["Object Deleted", "Object Tags Added", "Object Restore Completed"])
def test_events_of_eventbridge_of_other_kinds_are_no_hints(kind: str) -> None:
    assert read(bridged(kind)) == Told((), 1)


@pytest.mark.parametrize("inner", [{"Records": [record()]}, bridged(key="526/x.csv")], ids=["bucket", "eventbridge"])
def test_an_event_wrapped_by_sns_is_unwrapped(inner: dict[str, object]) -> None:
    wrapped = {"Type": "Notification", "TopicArn": "arn:aws:sns:us-west-2:123456789012:t", "Message": json.dumps(inner)}
    assert read(wrapped) == read(inner)


def test_s3s_test_of_a_new_queue_is_no_hint() -> None:
    assert read({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "inbox"}) == Told((), 1)


def test_an_event_without_size_and_etag_is_a_hint_all_the_same() -> None:
    assert read(
        {"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "b"}, "object": {"key": "k"}}}]}
    ) == (Told((Hint("b", "k", None, None),)))


@pytest.mark.parametrize(
    "body",
    [
        "",
        "hello",
        "[]",
        "null",
        "{}",
        '{"Records": {}}',
        '{"Records": [1]}',
        '{"Records": [{"eventName": "ObjectCreated:Put"}]}',
        '{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "b"}, "object": {}}}]}',
        '{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"object": {"key": "k"}}}]}',
        '{"source": "aws.s3", "detail-type": "Object Created"}',
        '{"source": "aws.ec2", "detail-type": "Object Created", "detail": {}}',
        '{"Type": "Notification", "Message": "hello"}',
        '{"Type": "Notification", "Message": 5}',
    ],
)
def test_everything_else_is_not_understood(body: str) -> None:
    with pytest.raises(NotUnderstood):
        understand(body)


def test_what_is_not_understood_is_not_quoted() -> None:
    with pytest.raises(NotUnderstood) as raised:
        understand('{"Records": [{"eventName": "ObjectCreated:Put", "s3": "Jane Doe"}], "name": "Jane Doe"}')
    assert "Jane" not in str(raised.value)
