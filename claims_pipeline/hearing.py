"""Hearing S3's events: from the queue's messages to rows of the ledger. No Dagster.

Belongs here: draining the queue, asking S3 whether a hint is true, and what is counted of it. Does not belong here: SQS
calls and the messages' forms (landing), when dumps are ready (arrival.py), telling people (alerts).

An event is a hint, never a fact: the object that it names is looked up, and entered as a listing would enter it. Where
S3 then shows the size and ETag that the event told, two looks have seen the upload ended, S3's own and ours: S3 sends
an event after the write is complete. So it need not settle; sidecars are waited for all the same. Messages are deleted
once the ledger has what they tell; one that is not understood is left to the queue's redrive policy.
"""

from __future__ import annotations

import datetime as dt
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from claims_pipeline import arrival
from claims_pipeline.feeds import Sender, all_senders, feeds_of
from claims_pipeline.landing.event_messages import Hint, NotUnderstood, understand
from claims_pipeline.landing.looking import Singles
from claims_pipeline.landing.queue import Message, Queue
from claims_pipeline.services import Services
from claims_pipeline.warehouse import ledger

MOST_MESSAGES = 2_000
"""Of one hearing: with look-ups and deletes some ten of a tick's sixty seconds where keys lie together."""
MOST_SECONDS = 5.0
"""After which no further message is received."""


@dataclass(frozen=True)
class Heard:
    """What was heard.

    Attributes:
        messages: received.
        events: how many told of what: `new` (the ledger had not seen the object as it is), `known` (it had: told twice,
            or found by listing), `gone` (there is no such object now), `no_dump` (a sidecar or marker), `elsewhere` (no
            sender's prefix of the inbox), `other` (not of a written object), `not_understood`.
        oldest_seconds: since the oldest message was sent; 0 without any.
        confirmed: by sender's name, numbers of dumps whose upload has ended by S3's word, and that are not ready.
    """

    messages: int = 0
    events: Mapping[str, int] = field(default_factory=dict)
    oldest_seconds: float = 0.0
    confirmed: Mapping[str, frozenset[int]] = field(default_factory=dict)

    def __str__(self) -> str:
        """In words, for a log."""
        told = ", ".join(f"{kind} {count}" for kind, count in sorted(self.events.items()))
        return f"{self.messages} messages{f' ({told})' if told else ''}"


def hear(
    services: Services,
    *,
    tell: Callable[[Sequence[str]], object] | None = None,
    most_messages: int = MOST_MESSAGES,
    most_seconds: float = MOST_SECONDS,
) -> Heard | None:
    """Take messages off the queue until it is empty or the limits are reached, and enter what they tell of.

    Args:
        services: the queue, S3 and the database.
        tell: is told why messages are not understood, one reason for each that was received for the first time; at
            once, since S3 or the database may fail, and the next time it is received it is not the first.
        most_messages: about so many, ten more at most.
        most_seconds: of receiving.

    Returns:
        What was heard, of all senders; None where no queue is set.

    Raises:
        Transient, ClaimsPipelineError: SQS, S3 or the database failed. Nothing is lost: the messages come again, and
            what they tell of is listed.
    """
    queue = services.events_queue
    if queue is None:
        return None
    events: Counter[str] = Counter()
    first_time: list[str] = []
    hints: dict[str, list[Hint]] = {}
    senders = {sender.name: sender for sender in all_senders()}
    understood: list[Message] = []
    messages = _drain(queue, most_messages, most_seconds)
    for message in messages:
        try:
            told = understand(message.body)
        except NotUnderstood as error:
            events["not_understood"] += 1
            if message.received == 1:
                first_time.append(str(error))
            continue
        understood.append(message)
        events["other"] += told.others
        for hint in told.hints:
            sender = _sender_of(services, hint)
            if sender is None:
                events["elsewhere"] += 1
            elif arrival.is_ignored(sender, feeds_of(sender.name), hint.key):
                events["no_dump"] += 1
            else:
                hints.setdefault(sender.name, []).append(hint)
    if tell is not None and first_time:
        tell(first_time)
    confirmed = {name: _enter(services, senders[name], some, events) for name, some in hints.items()}
    queue.delete(understood)  # not before: whatever ends this process, they come again
    oldest = min((message.sent_at for message in messages), default=None)
    age = (dt.datetime.now(dt.UTC) - oldest).total_seconds() if oldest else 0.0
    return Heard(len(messages), dict(+events), max(age, 0.0), confirmed)


def _drain(queue: Queue, most: int, seconds: float) -> list[Message]:
    until, found = time.monotonic() + seconds, list[Message]()
    while len(found) < most and time.monotonic() < until:
        some = queue.receive()
        if not some:
            break
        found += some
    return found


def _sender_of(services: Services, hint: Hint) -> Sender | None:
    """Whose prefix the key begins with, the longest one; None for other buckets and keys."""
    if hint.bucket != services.settings.inbox_bucket:
        return None
    whose = [sender for sender in all_senders() if hint.key.startswith(sender.prefix)]
    return max(whose, key=lambda sender: len(sender.prefix), default=None)


def _enter(services: Services, sender: Sender, hints: Sequence[Hint], events: Counter[str]) -> frozenset[int]:
    """Enter into the ledger what hints tell of, as S3 shows it now; numbers of those whose upload has ended."""
    feeds, settings = feeds_of(sender.name), services.settings
    times = Counter(hint.key for hint in hints)
    told = {(hint.key, hint.etag, hint.size) for hint in hints}
    ended: set[int] = set()
    found = new = 0
    with services.database() as connection:
        for page in Singles(services.s3, settings.inbox_bucket, times):
            arrivals = [arrival.arrival_of(sender, feeds, item) for item in page]
            new += len(ledger.changed(connection, arrivals))
            new += len(ledger.register(connection, arrivals, ready=False))
            same = [one for one in arrivals if (one.key, one.etag, one.size_bytes) in told]
            ended |= set(ledger.confirm(connection, same, seconds=settings.settle_seconds))
            found += sum(times[item.key] for item in page)
    events["new"] += new
    events["known"] += found - new
    events["gone"] += len(hints) - found
    return frozenset(ended)
