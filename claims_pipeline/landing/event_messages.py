"""What a message of S3's events says: which object may have come, as a hint. Pure.

Belongs here: the forms in which S3's events reach a queue: sent by the bucket itself, wrapped by EventBridge or SNS.
Does not belong here: the queue (queue.py), and whether a hint is true (the inbox is asked).

Source of the forms: the S3 user guide, "Event message structure" and "EventBridge event message structure".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from claims_pipeline.errors import ClaimsPipelineError


class NotUnderstood(ClaimsPipelineError):  # noqa: N818 - named for what the reader meets
    """A message that is no event of S3 in any known form; its text names what is lacking, and quotes nothing."""


@dataclass(frozen=True)
class Hint:
    """An object that an event tells of.

    Attributes:
        bucket: its bucket.
        key: its key, decoded.
        etag: of what was written, without quotes; None where the event does not say.
        size: bytes of what was written; None where the event does not say.
    """

    bucket: str
    key: str
    etag: str | None
    size: int | None


@dataclass(frozen=True)
class Told:
    """What one message tells.

    Attributes:
        hints: objects that were written.
        others: events of other kinds: deleted, restored, tagged, S3's test of a new queue.
    """

    hints: tuple[Hint, ...]
    others: int = 0


def understand(body: str) -> Told:
    """Read the body of a message.

    Raises:
        NotUnderstood: it is no event of S3.
    """
    message = _document(body)
    if message.get("Type") == "Notification" and "Message" in message:  # SNS, without raw message delivery
        message = _document(message["Message"])
    if message.get("Event") == "s3:TestEvent":
        return Told((), 1)
    if message.get("source") == "aws.s3" and "detail-type" in message:
        return _of_eventbridge(message)
    records = message.get("Records")
    if isinstance(records, list):
        told = [_of_bucket(record) for record in records]
        return Told(tuple(hint for hint in told if hint is not None), told.count(None))
    raise NotUnderstood("it has neither Records nor a detail-type of aws.s3")


def _of_bucket(record: object) -> Hint | None:
    """One record of a bucket's own notification. Its key is URL-encoded as in forms: a space is a plus sign."""
    if not isinstance(record, Mapping) or "s3" not in record:
        raise NotUnderstood("one of its Records is not S3's")
    if not _text(record, "eventName").removeprefix("s3:").startswith("ObjectCreated:"):
        return None
    s3 = _part(record, "s3")
    written = _part(s3, "object")
    return _hint(s3, written, unquote_plus(_text(written, "key")))


def _of_eventbridge(message: Mapping[str, Any]) -> Told:
    """An event as EventBridge hands it on. Its key is as it is; some emulators encode it, so both spellings are hints.

    A spelling that S3 does not have is a hint of nothing.
    """
    if message["detail-type"] != "Object Created":
        return Told((), 1)
    detail = _part(message, "detail")
    written = _part(detail, "object")
    key = _text(written, "key")
    spellings = dict.fromkeys([key, unquote_plus(key)])
    return Told(tuple(_hint(detail, written, spelling) for spelling in spellings))


def _hint(around: Mapping[str, Any], written: Mapping[str, Any], key: str) -> Hint:
    tag, size = written.get("eTag", written.get("etag")), written.get("size")  # the bucket's own, EventBridge's
    return Hint(
        _text(_part(around, "bucket"), "name"),
        key,
        tag.strip('"') if isinstance(tag, str) and tag else None,
        size if isinstance(size, int) else None,
    )


def _document(text: object) -> dict[str, Any]:
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        raise NotUnderstood("it is not JSON") from None
    if not isinstance(found, dict):
        raise NotUnderstood("it is not a JSON object")
    return found


def _part(of: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = of.get(name)
    if not isinstance(found, Mapping):
        raise NotUnderstood(f"it has no {name}")
    return found


def _text(of: Mapping[str, Any], name: str) -> str:
    found = of.get(name)
    if not isinstance(found, str) or not found:
        raise NotUnderstood(f"it has no {name}")
    return found
