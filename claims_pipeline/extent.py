"""How much of an inbox one look lists: all of it, or what a tick has time for, and where the next one goes on.

Belongs here: the round through a large inbox, in stretches, and the last days' names before it. Does not belong here:
S3 calls (landing), what is done with the objects (arrival.py).

An inbox whose listing fits into one tick is listed whole at every tick. A larger one is listed in stretches, one a
tick, until the round is complete; so that today's dumps need not wait for it, each of these ticks also lists the last
days' names, where names begin with the day. Where S3's events are heard, rounds begin `CLAIMS_LISTING_MINUTES` apart:
the events find what is new, and the round what they have lost.
"""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from claims_pipeline.feeds import Sender, feeds_of
from claims_pipeline.landing import names
from claims_pipeline.landing.looking import Stretch
from claims_pipeline.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

STRETCH_SECONDS = 20.0
"""For the stretch of a tick; a tick has 60 s, and hearing events, the last days and the ledger need theirs."""
DAYS_SECONDS = 10.0
"""For the names of the last days."""
NEW_IN_A_LOOK = 5_000
"""New dumps after which a tick's look stops: each is an object in memory, and a row to be planned."""
MOST_BACKLOG = 20_000
"""Dumps with work left beyond which a round pauses; it goes on when they have been worked off."""


@dataclass(frozen=True)
class Round:
    """Where the way through an inbox is. What a sensor's cursor holds.

    Attributes:
        begun: when the round under way, or else the last one, began, UTC; None before the first.
        after: the key that it has come to; None when it is complete.
        large: whether it takes more than one look.
    """

    begun: dt.datetime | None = None
    after: str | None = None
    large: bool = False

    @classmethod
    def from_text(cls, text: str | None) -> Round:
        """From a cursor; one that is none, or of another version, is a round that begins."""
        try:
            told = json.loads(text or "{}")
            begun = dt.datetime.fromisoformat(told["begun"])
            return cls(begun.astimezone(dt.UTC), told["after"], bool(told["large"]))
        except (ValueError, KeyError, TypeError):
            return cls()

    def text(self) -> str:
        """As a cursor."""
        begun = self.begun.isoformat() if self.begun else None
        return json.dumps({"begun": begun, "after": self.after, "large": self.large})

    def is_due(self, now: dt.datetime, *, minutes: float, hearing: bool) -> bool:
        """Whether a look is to list a stretch of it.

        Args:
            now: aware.
            minutes: between the beginnings of two rounds, where it matters.
            hearing: whether S3's events are heard.
        """
        if self.begun is None or self.after is not None or not (hearing or self.large):
            return True
        return now - self.begun >= dt.timedelta(minutes=minutes)


@dataclass
class Extent:
    """What one look lists. Afterwards `at` is where the next one goes on.

    Attributes:
        stretch: of the round, or the whole inbox; None where none is due.
        days: the last days' names, looked at unless the stretch comes to the end.
        most_new: new dumps after which no further page is listed; None for no limit.
        at: where the way through the inbox is.
        confirmed: numbers of dumps that events told of, and that were just seen.
    """

    stretch: Stretch | None
    days: tuple[Stretch, ...] = ()
    most_new: int | None = None
    at: Round = field(default_factory=Round)
    confirmed: frozenset[int] = frozenset()

    @classmethod
    def whole(cls, client: S3Client, bucket: str, sender: Sender) -> Extent:
        """All of a sender's inbox, however long it takes."""
        return cls(Stretch(client, bucket, sender.prefix))

    @classmethod
    def portion(cls, client: S3Client, bucket: str, sender: Sender, *, at: Round, most_new: int) -> Extent:
        """As much of a sender's inbox as shows so many new dumps: all of it where it shows fewer.

        Args:
            client: of S3.
            bucket: the inbox.
            sender: whose inbox.
            at: where the last portion has come to.
            most_new: new dumps after which no further page is listed.
        """
        return cls(Stretch(client, bucket, sender.prefix, after=at.after or ""), most_new=most_new, at=at)

    @classmethod
    def of_tick(
        cls,
        client: S3Client,
        settings: Settings,
        sender: Sender,
        *,
        at: Round,
        hearing: bool,
        backlog: int,
        confirmed: frozenset[int] = frozenset(),
    ) -> Extent:
        """What a tick has time for.

        Args:
            client: of S3.
            settings: names, and how often rounds begin.
            sender: whose inbox.
            at: where the last tick has come to.
            hearing: whether S3's events are heard.
            backlog: dumps with work left.
            confirmed: numbers of dumps that events told of.
        """
        now, clock, bucket = dt.datetime.now(dt.UTC), time.monotonic(), settings.inbox_bucket
        stretch = None
        if at.is_due(now, minutes=settings.listing_minutes, hearing=hearing) and backlog < MOST_BACKLOG:
            stretch = Stretch(client, bucket, sender.prefix, after=at.after or "", until=clock + STRETCH_SECONDS)
            at = Round(now, None, at.large) if at.after is None else at
        first = now.astimezone(ZoneInfo(sender.timezone)).date() - dt.timedelta(days=settings.listing_days)
        days = [
            Stretch(client, bucket, prefix, after=f"{prefix}{first}", until=clock + STRETCH_SECONDS + DAYS_SECONDS)
            for prefix in names.dated_prefixes(sender, feeds_of(sender.name))
            if stretch is not None or not hearing
        ]
        return cls(stretch, tuple(days), NEW_IN_A_LOOK, at, confirmed)

    @property
    def begins(self) -> bool:
        """Whether a round through the inbox begins with it."""
        return self.stretch is not None and self.at.after is None

    def again(self) -> None:
        """Let the next look list the same stretch once more: the second look at what was just seen first."""
        if self.stretch is not None:
            self.stretch = self.stretch.again()

    def stretches(self) -> Iterator[Stretch]:
        """What to list, one after another; to be exhausted, each whole."""
        if self.stretch is not None:
            yield self.stretch
            if self.stretch.complete:
                self.at = Round(self.at.begun, None, large=self.at.after is not None)
                return
            self.at = Round(self.at.begun, self.stretch.reached, large=True)
        yield from self.days
