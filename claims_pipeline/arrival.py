"""Looking into an inbox: what is new, whether its upload has ended, what is laid beside it. No Dagster.

Belongs here: a look as a whole, composed of S3's listing, the names' meaning and the ledger; sidecars as promises about
a dump. Does not belong here: reading dumps (flow.py), S3 calls, SQL, the forms of sidecars (landing).

A dump goes three steps before anything is read of it: it is entered into the ledger when it is first seen; it has
*settled* when a later look sees the same size, ETag and time, `CLAIMS_SETTLE_SECONDS` or more after the first; it is
*ready* when the sidecars that its contract waits for are there. An object that is never twice the same is one row of
the ledger, brought up to date. An object that is gone before it was read closes its row, and opens it by coming back.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import psycopg

from claims_pipeline import failpoints
from claims_pipeline.errors import BadDump
from claims_pipeline.extent import Extent
from claims_pipeline.feeds import Feed, Sender, feeds_of
from claims_pipeline.feeds.sidecars import CHECKSUM_SUFFIX, Promise, folder_of
from claims_pipeline.landing import names, s3, sidecars
from claims_pipeline.landing.looking import Part, Singles
from claims_pipeline.services import Services
from claims_pipeline.vocabulary import DumpStatus, DumpVerdict
from claims_pipeline.warehouse import ledger
from claims_pipeline.warehouse.ledger import Arrival, Dump

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


MOST_SINGLES = 1_000
"""Dumps that one look asks S3 for one by one, some seconds' work; the round through the inbox sees the others."""


@dataclass(frozen=True)
class Discovery:
    """What a look into an inbox found.

    Attributes:
        listed: objects that were shown under the sender's prefix.
        ignored: of these, no dumps by rule (half-written, markers, sidecars).
        new: dumps that the ledger had not seen.
        settling: dumps whose upload may still be going on.
        waiting: dumps whose upload has ended and whose sidecars are not there; their reason names what is lacking.
        strange: dumps that no run can take, told of once: without a contract, with an impossible delivery day, or gone
            before they were read.
        unkept: dumps without a contract that are still in the inbox and not yet in the archive.
        open: dumps with work left that may be read, oldest first.
    """

    listed: int
    ignored: int
    new: int
    settling: int
    waiting: tuple[Dump, ...]
    strange: tuple[Dump, ...]
    unkept: tuple[Dump, ...]
    open: tuple[Dump, ...]


def look(services: Services, sender: Sender, extent: Extent | None = None) -> Discovery:
    """Look into a sender's inbox, and bring the ledger up to date with it. Reads no dump.

    Dumps that are not ready, and lie outside of what is listed, are looked at one by one.

    Args:
        services: S3 and the database.
        sender: whose inbox.
        extent: what is listed; None for all of it.

    Raises:
        Transient, ClaimsPipelineError: the listing or the database failed; nothing is concluded from that.
    """
    feeds = feeds_of(sender.name)
    inbox, seconds = services.settings.inbox_bucket, services.settings.settle_seconds
    extent = extent or Extent.whole(services.s3, inbox, sender)
    with services.database() as connection:
        if extent.begins:
            _recognise_unknown(connection, sender, feeds)
        seen = _see(services, connection, sender, extent)
        again, changed = seen.again | extent.confirmed, seen.changed
        gone = [_close(connection, dump, overwritten=dump.key in seen.present) for dump in seen.lost]
        again |= set(ledger.recognised(connection, sender.name))
        if seconds == 0:  # the first look is enough
            again |= changed | seen.new
        settled = ledger.settled(connection, list(again), seconds=seconds)
        lacking = _lacking(services, feeds, settled)  # before the transaction: S3 is asked
        with connection.transaction():  # nothing is ever ready to be read that is to be refused
            waiting, ready = _readied(connection, lacking)
            misdated = [_refuse_misdated(connection, dump, sender) for dump in ready if dump.is_open]
        failpoints.reach("discover.readied")
        # Also those of earlier looks: whoever was to keep them may have been killed.
        unkept = ledger.to_keep(connection, list(seen.nameless))
        settling = ledger.settling(
            connection, sender.name, bucket=inbox, prefix=sender.prefix, but=[dump.dump_id for dump in waiting]
        )
        known = {feed.dataset for feed in feeds}  # a dataset may have left the contracts: its dumps wait
        open_ = [dump for dump in ledger.open_dumps(connection, sender.name) if dump.dataset in known]
    strange = [dump for dump in ready if dump.verdict is DumpVerdict.UNKNOWN]
    strange += [dump for dump in misdated if dump is not None]
    strange += [dump for dump in gone if dump.status is DumpStatus.FAILED]
    return Discovery(
        seen.listed, seen.ignored, len(seen.new), settling, tuple(waiting), tuple(strange), tuple(unkept), tuple(open_)
    )


def is_ignored(sender: Sender, feeds: Sequence[Feed], key: str) -> bool:
    """Whether a key is no dump: by the sender's rules, or as a sidecar that one of its feeds declares."""
    return names.is_ignored(sender, key) or any(feed.sidecars.holds(key, prefix=sender.prefix) for feed in feeds)


def arrival_of(sender: Sender, feeds: Sequence[Feed], item: s3.ListedObject) -> Arrival:
    """A listed object as the ledger takes it, with what its name says."""
    named = names.understand(sender, feeds, item.key, item.last_modified)
    return Arrival(
        sender=sender.name,
        dataset=named.feed.dataset if named.feed else None,
        bucket=item.bucket,
        key=item.key,
        etag=item.etag,
        size_bytes=item.size,
        last_modified=item.last_modified,
        delivery_day=named.delivery_day,
        stamp=named.stamp,
    )


# ---------------------------------------------------------------------------------------------- the parts of a look


class _Seen:
    """What a look has seen so far, page by page; of a million known objects it keeps nothing."""

    def __init__(self, sender: Sender, unread: Sequence[Dump]) -> None:
        self._sender, self._feeds = sender, feeds_of(sender.name)
        self._unread_keys = {dump.key for dump in unread}
        self._growing = {dump.key for dump in unread if not dump.ready}
        self.of_identity = {dump.identity: dump for dump in unread if dump.status is not DumpStatus.FAILED}
        self.listed = self.ignored = 0
        self.present: set[str] = set()
        self.again: set[int] = set()
        self.changed: set[int] = set()
        self.new: set[int] = set()
        self.nameless: set[int] = set()
        self.lost: list[Dump] = []

    def take(self, connection: psycopg.Connection, page: Sequence[s3.ListedObject]) -> None:
        dumps = [item for item in page if not is_ignored(self._sender, self._feeds, item.key)]
        self.listed += len(page)
        self.ignored += len(page) - len(dumps)
        arrivals = [arrival_of(self._sender, self._feeds, item) for item in dumps]
        self.present |= self._unread_keys & {item.key for item in page}
        known = self.of_identity
        self.again |= {known[arrival.identity].dump_id for arrival in arrivals if arrival.identity in known}
        if grown := [arrival for arrival in arrivals if arrival.key in self._growing]:
            self.changed |= {dump.dump_id for dump in ledger.changed(connection, grown)}
        self.new |= {dump.dump_id for dump in ledger.register(connection, arrivals, ready=False)}
        if nameless := [arrival for arrival in arrivals if arrival.dataset is None]:
            self.nameless |= set(ledger.not_kept(connection, nameless))
        failpoints.reach("discover.registered")


def _recognise_unknown(connection: psycopg.Connection, sender: Sender, feeds: Sequence[Feed]) -> None:
    for some in ledger.unknown_dumps(connection, sender.name):
        for dump in some:
            item = s3.ListedObject(dump.bucket, dump.key, dump.etag, dump.size_bytes, dump.last_modified)
            arrival = arrival_of(sender, feeds, item)
            if arrival.dataset is not None:
                ledger.recognise(connection, arrival)


def _see(services: Services, connection: psycopg.Connection, sender: Sender, extent: Extent) -> _Seen:
    """List what the extent says, and ask for unready dumps outside of it one by one; enter what is new."""
    inbox = services.settings.inbox_bucket
    # Before the listing: what another look enters meanwhile cannot be missing from this one.
    unread = ledger.unread(connection, sender.name, bucket=inbox, prefix=sender.prefix)
    seen = _Seen(sender, unread)
    parts: list[Part] = []
    for stretch in extent.stretches():
        for page in stretch:
            seen.take(connection, page)
            if extent.most_new is not None and len(seen.new) >= extent.most_new:
                stretch.stop()
        parts.append(stretch)
    growing = [dump for dump in seen.of_identity.values() if not dump.ready and dump.dump_id not in extent.confirmed]
    outside = [dump.key for dump in growing if not any(part.covers(dump.key) for part in parts)]
    singles = Singles(services.s3, inbox, outside[:MOST_SINGLES])
    for page in singles:
        seen.take(connection, page)
    parts.append(singles)
    told = [dump for dump in unread if dump.dump_id in extent.confirmed]  # seen a moment ago, when its event was heard
    seen.nameless |= {dump.dump_id for dump in told if dump.dataset is None}
    still = seen.again | seen.changed | extent.confirmed
    seen.lost = [
        dump
        for dump in seen.of_identity.values()
        if dump.dump_id not in still and any(part.covers(dump.key) for part in parts)
    ]
    return seen


def _close(connection: psycopg.Connection, dump: Dump, *, overwritten: bool) -> Dump:
    if overwritten:
        return ledger.overwritten(connection, dump.dump_id, reason="overwritten in the inbox before it was read")
    reason = "its object was deleted from the inbox before it was read; it is taken up when it is listed again"
    return ledger.gone(connection, dump.dump_id, reason=reason)


def _lacking(services: Services, feeds: Sequence[Feed], settled: Sequence[Dump]) -> list[tuple[int, str]]:
    """Of each settled dump the sidecar that it waits for, in words; empty where it may be read."""
    of_dataset: dict[str | None, Feed] = {feed.dataset: feed for feed in feeds}
    beside = _Beside(services.s3, services.settings.inbox_bucket)
    return [
        (dump.dump_id, beside.lacking(dump, feed) if (feed := of_dataset.get(dump.dataset)) else "") for dump in settled
    ]


def _readied(connection: psycopg.Connection, lacking: Sequence[tuple[int, str]]) -> tuple[list[Dump], list[Dump]]:
    """Of settled dumps, those that wait for a sidecar, and those that may now be read."""
    waiting = []
    for dump_id, sidecar in lacking:
        if sidecar:
            ledger.wait(connection, dump_id, reason=f"waits for {sidecar}")
            waiting.append(ledger.get(connection, dump_id))
    return waiting, ledger.make_ready(connection, [dump_id for dump_id, sidecar in lacking if not sidecar])


def _refuse_misdated(connection: psycopg.Connection, dump: Dump, sender: Sender) -> Dump | None:
    """Refuse a dump whose name says a day that has no partition: before the sender's first, or in the future."""
    today = dt.datetime.now(ZoneInfo(sender.timezone)).date()
    if dump.delivery_day < sender.start:
        reason = f"its delivery day is before {sender.start}, the sender's first (Sender.start)"
    elif dump.delivery_day > today:
        reason = f"its delivery day is in the future; `claims-pipeline retry {dump.dump_id}` takes it on that day"
    else:
        return None
    ledger.settle(connection, dump.dump_id, DumpStatus.REFUSED, reason=reason)
    return ledger.get(connection, dump.dump_id)


# ---------------------------------------------------------------------------------------------- sidecars


def promises(client: S3Client, *, inbox: str, dump: Dump, feed: Feed) -> list[Promise]:
    """What the sidecars that lie in the inbox now promise of a dump.

    Raises:
        BadDump: dump.checksum: a checksum file holds no checksum.
        Transient, ClaimsPipelineError: S3 failed.
    """
    return _Beside(client, inbox).promises(dump, feed)


def compare_bytes(told: Sequence[Promise], sha256: str) -> None:
    """Compare a dump's bytes with what is promised of them.

    Raises:
        BadDump: dump.checksum.
    """
    for promise in told:
        if promise.sha256 not in (None, sha256):
            raise BadDump("dump.checksum", f"its bytes do not have the SHA-256 that {promise.source} promises")


def compare_empty(told: Sequence[Promise]) -> None:
    """Compare a dump of zero bytes with what is promised of it.

    Raises:
        BadDump: dump.checksum or dump.row_count.
    """
    compare_bytes(told, hashlib.sha256().hexdigest())
    for promise in told:
        if promise.rows:
            raise BadDump("dump.row_count", f"{promise.source} promises {promise.rows:,} rows, the dump has no byte")


class _Beside:
    """What lies beside dumps; of one moment, so each object is fetched once."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket
        self._found: dict[str, bytes | None] = {}
        self._manifests: dict[str, dict[str, Promise] | None] = {}

    def lacking(self, dump: Dump, feed: Feed) -> str:
        """What a dump's contract waits for, in words; empty when all is there."""
        facts, name = feed.sidecars, dump.key.rpartition("/")[2]
        if facts.marker and self._read(folder_of(dump.key) + facts.marker) is None:
            return facts.marker
        if facts.checksum == "required" and self._read(dump.key + CHECKSUM_SUFFIX) is None:
            return name + CHECKSUM_SUFFIX
        if facts.manifest:
            key = facts.manifest.key(prefix=feed.sender.prefix, dump=dump.key, day=dump.delivery_day)
            told, source = self._manifest(key), key.rpartition("/")[2]
            if self._read(key) is None:
                return source
            if told is None:
                return f"{source} to be a manifest: it has not the agreed form"
            if name not in told:
                return f"{source} to name it"
        return ""

    def promises(self, dump: Dump, feed: Feed) -> list[Promise]:
        """What is promised of a dump."""
        facts, name = feed.sidecars, dump.key.rpartition("/")[2]
        told = []
        if (body := self._read(dump.key + CHECKSUM_SUFFIX)) is not None:
            told.append(sidecars.checksum(body, name=name, source=name + CHECKSUM_SUFFIX))
        if facts.manifest:
            key = facts.manifest.key(prefix=feed.sender.prefix, dump=dump.key, day=dump.delivery_day)
            if promise := (self._manifest(key) or {}).get(name):
                told.append(promise)
        return told

    def _manifest(self, key: str) -> dict[str, Promise] | None:
        if key not in self._manifests:
            body = self._read(key)
            source = key.rpartition("/")[2]
            self._manifests[key] = None if body is None else sidecars.manifest(body, source=source)
        return self._manifests[key]

    def _read(self, key: str) -> bytes | None:
        if key not in self._found:
            self._found[key] = s3.read_small(self._client, bucket=self._bucket, key=key, most=sidecars.MOST_BYTES)
        return self._found[key]
