"""What an erasure tells: rows by table, the dumps and backups that hold the person still, what nobody knows.

Belongs here: the answer. Does not belong here: finding (searching.py) and erasing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from claims_pipeline.erasure.searching import Found, in_order
from claims_pipeline.feeds import Feed
from claims_pipeline.flow import Flow
from claims_pipeline.landing import backups
from claims_pipeline.services import Services


@dataclass(frozen=True)
class RawObject:
    """A dump that holds rows of the person, or may; it stays.

    Attributes:
        dump_id: its number.
        feed: "sender/dataset".
        delivery_day: a date in the sender's time zone.
        bucket: of the raw archive.
        key: there; None where it was never archived, or retention took it.
        inbox: bucket and key in the sender's inbox, where it may still be.
        version_id: of the object in the inbox; None where that bucket has no versions.
        rows: numbers of the person's rows among its data rows, from 1.
        searched: whether all of it was looked at; else there may be further rows.
    """

    dump_id: int
    feed: str
    delivery_day: dt.date
    bucket: str
    key: str | None
    inbox: str
    version_id: str | None
    rows: tuple[int, ...]
    searched: bool

    @property
    def plain(self) -> dict[str, object]:
        """As JSON values, for the audit."""
        return asdict(self) | {"delivery_day": self.delivery_day.isoformat()}


@dataclass(frozen=True)
class Erased:
    """What an erasure did, or would do.

    Attributes:
        sender: name of the sender.
        erasure_id: its number in `ops.erasure`; None where nothing was done.
        rows: rows taken out, by table; "quarantine", "frames" and "rejects" beside the tables.
        objects: dumps that hold rows of the person; they stay in the raw archive.
        not_searched: dumps of which nobody knows.
        unread: rows in quarantine that do not say whose they are; they stay.
        other_tokens: further tokens in the person's rows, which were not followed.
        backups: backups from before, each with the day on which it is deleted if one is made every day.
        undeleted: folders of frames from before erasures that S3 has not let go yet; every prune tries again.
    """

    sender: str
    erasure_id: int | None
    rows: dict[str, int]
    objects: tuple[RawObject, ...]
    not_searched: tuple[RawObject, ...]
    unread: int
    other_tokens: tuple[str, ...]
    backups: dict[str, dt.date | None]
    undeleted: tuple[str, ...] = ()

    @property
    def found(self) -> bool:
        """Whether there was any row of the person's."""
        return bool(self.objects or any(self.rows.values()))


def told_of(flow: Flow, found: Found, feeds: Sequence[Feed], erasure_id: int | None) -> Erased:
    """What a search found, in the words of an answer; `erasure_id` is None where nothing was done about it."""
    sender, rows = feeds[0].sender.name, {}
    for feed in feeds:
        rows[feed.name] = found.rows[feed.dataset].table
        rows[f"history/{feed.name}"] = found.rows[feed.dataset].history
    rows["quarantine"] = sum(map(len, found.sealed.values()))
    rows["frames"] = sum(len(frames.rows) for frames in found.frames)
    rows["rejects"] = sum(len(frames.rejects) for frames in found.frames)
    objects = tuple(_object(flow, found, dump_id, numbers) for dump_id, numbers in in_order(found.places))
    rest = sorted(found.unsearched - found.places.keys())
    return Erased(
        sender=sender,
        erasure_id=erasure_id,
        rows={name: count for name, count in rows.items() if count},
        objects=objects,
        not_searched=tuple(_object(flow, found, dump_id, []) for dump_id in rest),
        unread=found.unread,
        other_tokens=tuple(sorted(found.others)),
        backups=_backups(flow.services),
    )


def _object(flow: Flow, found: Found, dump_id: int, numbers: Sequence[int]) -> RawObject:
    dump = found.dumps[dump_id]
    return RawObject(
        dump_id=dump_id,
        feed=dump.feed,
        delivery_day=dump.delivery_day,
        bucket=flow.archive_bucket,
        key=None if dump.raw_pruned_at is not None else dump.archive_key,
        inbox=f"s3://{dump.bucket}/{dump.key}",
        version_id=dump.version_id,
        rows=tuple(numbers),
        searched=dump_id not in found.unsearched,
    )


def _backups(services: Services) -> dict[str, dt.date | None]:
    settings = services.settings
    bucket = settings.backup_bucket or settings.archive_bucket
    stamps = [item.stamp for item in backups.stored(services.s3, bucket) if item.whole]
    left = backups.days_left(
        stamps,
        today=dt.datetime.now(dt.UTC).date(),
        days=settings.backup_keep_days,
        weeks=settings.backup_keep_weeks,
        months=settings.backup_keep_months,
    )
    return {backups.stamp_name(stamp): day for stamp, day in sorted(left.items())}
