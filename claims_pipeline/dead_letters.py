"""Messages of the events queue that nobody could deal with: what is wrong with them, and sending them back.

Belongs here: reading the dead-letter queue without emptying it, and which of its messages go back. Does not belong
here: SQS calls and the messages' forms (landing), what becomes of an event (hearing.py), printing (cli).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.landing.event_messages import NotUnderstood, understand
from claims_pipeline.landing.queue import Message, Queue

UNDERSTOOD = "understood by this version"
"""In the place of a reason: it got there while S3 or the database failed, or before a release that knows its form."""
MOST_MESSAGES = 1_000
"""Of one look, some seconds' work."""


@dataclass(frozen=True)
class DeadLetters:
    """Messages of one kind in the dead-letter queue.

    Attributes:
        why: they are not understood; or that they are.
        messages: how many were looked at.
        oldest: when the first of them was sent to the events queue; UTC.
        newest: when the last of them was.
    """

    why: str
    messages: int
    oldest: dt.datetime
    newest: dt.datetime


def dead_letters_of(queue: Queue) -> Queue:
    """The dead-letter queue.

    Raises:
        ClaimsPipelineError: the queue's redrive policy names none; or SQS failed, or refused.
    """
    found = queue.dead_letters()
    if found is None:
        raise ClaimsPipelineError(
            f"the queue {queue.name} has no dead-letter queue: give it a redrive policy (docs/events.md)"
        )
    return found


def look(dead: Queue, *, most: int = MOST_MESSAGES) -> list[DeadLetters]:
    """What is in the dead-letter queue, by what is wrong with it; nothing is taken out.

    Args:
        dead: the dead-letter queue.
        most: messages to look at, about.

    Raises:
        Transient, ClaimsPipelineError: SQS failed, or refused. What was read then is hidden for two minutes.
    """
    found: list[Message] = []
    for some in _all_of(dead, most):
        found += some
    dead.release(found)
    kinds: dict[str, list[dt.datetime]] = {}
    for message in found:
        kinds.setdefault(_why(message), []).append(message.sent_at)
    return [DeadLetters(why, len(sent), min(sent), max(sent)) for why, sent in sorted(kinds.items())]


def redrive(queue: Queue, dead: Queue, *, everything: bool = False, most: int = MOST_MESSAGES) -> tuple[int, int]:
    """Send messages of the dead-letter queue back to the first one: those that are understood by now.

    Not by SQS's own message move task: that sends back all, which alerts again, and some services lack it. A message
    is deleted after it was sent: whatever ends this process, it is told twice at worst, which does no harm.

    Args:
        queue: the events queue.
        dead: its dead-letter queue.
        everything: also those that are not understood.
        most: messages to look at, about.

    Returns:
        How many were sent back, and how many stay.

    Raises:
        Transient, ClaimsPipelineError: SQS failed, or refused.
    """
    sent = 0
    left: list[Message] = []
    for some in _all_of(dead, most):
        back = [message for message in some if everything or _why(message) == UNDERSTOOD]
        taken = queue.send(back)
        dead.delete(taken)
        sent += len(taken)
        left += [message for message in some if message not in taken]
    dead.release(left)
    return sent, len(left)


def _all_of(dead: Queue, most: int) -> Iterator[list[Message]]:
    """Messages, ten at most at a time, until there are no more; each stays hidden until it is released."""
    count = 0
    while count < most and (some := dead.receive()):
        yield some
        count += len(some)


def _why(message: Message) -> str:
    try:
        understand(message.body)
    except NotUnderstood as error:
        return str(error)
    return UNDERSTOOD
