"""Pruning: what killed runs left behind, what a contract's retention lets go, and the memory of both. No Dagster.

Belongs here: what may be deleted and what never. A prune is a list of chores; each counts what would go, or deletes it,
and is audited in `ops.upkeep` either way. Does not belong here: S3 calls, SQL, Dagster's own storage
(orchestration/event_log.py brings its chores along).

Never deleted: what the ledger does not know at all. Killed runs leave nothing of that kind, since a dump is in the
ledger before its bytes are copied; it means that the ledger was lost, and then the archive is what it is rebuilt from.
It is counted and told.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from claims_pipeline import erasure
from claims_pipeline.errors import safe_text, whereabouts
from claims_pipeline.feeds import Feed, all_feeds
from claims_pipeline.flow import Flow
from claims_pipeline.landing import layout, s3, s3_deletion
from claims_pipeline.landing.s3 import ListedObject
from claims_pipeline.services import Services
from claims_pipeline.vocabulary import DumpStatus, DumpVerdict
from claims_pipeline.warehouse import upkeep as sql
from claims_pipeline.warehouse.ledger import Dump
from claims_pipeline.warehouse.upkeep import Known, Layer

LEFTOVER_AGE = dt.timedelta(days=1)
"""How old a leftover must be: no step of a dump takes a day, so nothing that is in use is that old."""

_DUMPS_AT_ONCE = 200


class Kind(StrEnum):
    """What a chore prunes; the name in the audit."""

    VALIDATED_FRAMES = "validated_frames"
    RAW_BYTES = "raw_bytes"
    RAW_LEFTOVERS = "raw_leftovers"
    FRAME_LEFTOVERS = "frame_leftovers"
    UPLOADS = "incomplete_uploads"
    TEMP_FOLDERS = "temp_folders"
    SCRATCH_DATABASES = "scratch_databases"
    MESSAGES = "messages"
    QUARANTINE = "quarantine"
    ERASED = "erased_persons"
    DAGSTER_RUNS = "dagster_runs"
    COMPUTE_LOGS = "compute_logs"


@dataclass
class Tally:
    """What a chore has counted so far.

    Attributes:
        items: things deleted, or that would be.
        bytes: their size; None where it is not known.
        oldest: time stamp of the oldest, UTC.
        detail: further counts, names of databases; no value of a record.
    """

    items: int = 0
    bytes: int | None = 0
    oldest: dt.datetime | None = None
    detail: dict[str, object] = field(default_factory=dict)

    def add(self, *, at: dt.datetime | None, size: int | None = 0, items: int = 1) -> None:
        """Count something of a size, in bytes, and an age."""
        self.items += items
        self.bytes = None if self.bytes is None or size is None else self.bytes + size
        self.oldest = min((moment for moment in (self.oldest, at) if moment is not None), default=None)

    def note(self, name: str, count: int = 1) -> None:
        """Count something else, by name."""
        before = self.detail.get(name, 0)
        self.detail[name] = (before if isinstance(before, int) else 0) + count


Work = Callable[[bool, Tally], None]
"""Counts what goes, and deletes it where the first argument says so."""


@dataclass(frozen=True)
class Chore:
    """One kind of things to prune.

    Attributes:
        kind: its name in the audit.
        what: in words, for the table that people read.
        work: see `Work`.
    """

    kind: Kind
    what: str
    work: Work


@dataclass(frozen=True)
class Pruned:
    """What one chore did, or would have done; figures as in `Tally`.

    Attributes:
        kind: the chore's.
        what: in words.
        dry_run: whether nothing was deleted.
        items: things deleted, or that would be.
        bytes: their size; None where it is not known.
        oldest: time stamp of the oldest, UTC.
        detail: further counts.
        error: why it ended early, free of values; empty when it did not.
    """

    kind: Kind
    what: str
    dry_run: bool
    items: int
    bytes: int | None
    oldest: dt.datetime | None
    detail: dict[str, object]
    error: str

    @property
    def besides(self) -> str:
        """The further counts in words; empty for none."""
        return ", ".join(f"{count:,} {name}" for name, count in self.detail.items() if isinstance(count, int))


def prune(
    services: Services,
    chores: Sequence[Chore],
    *,
    apply: bool,
    run_id: str,
    requested_by: str,
    each: Callable[[Chore], None] | None = None,
) -> list[Pruned]:
    """Do the chores one after another, each with a row in `ops.upkeep`. One that fails does not stop the others.

    Args:
        services: the database.
        chores: see `chores_of`.
        apply: delete; otherwise only count.
        run_id: noted in the audit.
        requested_by: who or what asked, noted in the audit.
        each: told of each chore before it begins.

    Raises:
        Transient: the audit cannot be written.
    """
    done = []
    for chore in chores:
        if each:
            each(chore)
        tally, error, started = Tally(), "", dt.datetime.now(dt.UTC)
        try:
            chore.work(apply, tally)
        except Exception as failure:  # the others have nothing to do with it, and what it did is audited first
            error = f"{safe_text(failure)} at {whereabouts(failure)}"
        with services.database() as connection:
            sql.record(
                connection,
                kind=chore.kind.value,
                dry_run=not apply,
                items=tally.items,
                bytes_=tally.bytes,
                oldest=tally.oldest,
                detail=tally.detail,
                error=error,
                run_id=run_id,
                requested_by=requested_by,
                started_at=started,
            )
        done.append(
            Pruned(chore.kind, chore.what, not apply, tally.items, tally.bytes, tally.oldest, tally.detail, error)
        )
    return done


def chores_of(
    services: Services, *, now: dt.datetime | None = None, feeds: Sequence[Feed] | None = None
) -> list[Chore]:
    """All chores but those of Dagster's storage, in their order.

    Args:
        services: the parts to prune.
        now: the moment that ages are counted from; UTC.
        feeds: whose retention counts; all that there are.
    """
    parts = _Parts(services, now or dt.datetime.now(dt.UTC), all_feeds() if feeds is None else feeds)
    keep = services.settings.dagster_run_days
    chores = [
        Chore(Kind.VALIDATED_FRAMES, "validated frames past their feed's retention", parts.validated_frames),
        Chore(Kind.RAW_BYTES, "raw dumps past their feed's retention", parts.raw_bytes),
        Chore(Kind.RAW_LEFTOVERS, "copies in the raw archive that no dump needs", parts.raw_leftovers),
        Chore(Kind.FRAME_LEFTOVERS, "validated frames that no dump names", parts.frame_leftovers),
        Chore(Kind.QUARANTINE, "what quarantined rows say, past their feed's retention", parts.quarantine),
        Chore(Kind.ERASED, "rows of erased persons that are there again", parts.erased),
        Chore(Kind.UPLOADS, "uploads to the archive that never ended", parts.uploads),
        Chore(Kind.TEMP_FOLDERS, "temporary folders of dead processes here", parts.temp_folders),
        Chore(Kind.SCRATCH_DATABASES, "scratch databases of dead drills", parts.scratch_databases),
    ]
    if keep:
        chores.append(Chore(Kind.MESSAGES, f"notes of Slack messages older than {keep} days", parts.messages))
    return chores


class _Parts:
    """What the chores look at."""

    def __init__(self, services: Services, now: dt.datetime, feeds: Sequence[Feed]) -> None:
        self.services = services
        self.now = now
        self.feeds = feeds
        self.bucket = services.settings.archive_bucket

    # ------------------------------------------------------------------------------------------ retention

    def validated_frames(self, apply: bool, tally: Tally) -> None:
        def batch(dumps: Sequence[Dump]) -> None:
            found = [item for dump in dumps for item in self._frames_of(dump)]
            _count(found, tally)
            if apply:
                self._delete(found)

        for feed in self.feeds:
            self._past_retention(feed, "validated", feed.retention.frames, apply, batch)

    def raw_bytes(self, apply: bool, tally: Tally) -> None:
        def batch(dumps: Sequence[Dump]) -> None:
            for dump in dumps:
                tally.add(at=dump.settled_at, size=dump.size_bytes)
            if apply:
                self._delete_raw(dumps)

        for feed in self.feeds:
            self._past_retention(feed, "raw", feed.retention.raw, apply, batch)

    def _past_retention(
        self, feed: Feed, layer: Layer, days: int | None, apply: bool, batch: Callable[[Sequence[Dump]], None]
    ) -> None:
        """Hand out dumps in batches; where objects are to be deleted, each is locked meanwhile, and marked afterwards.

        Deleted first and marked then: a prune that is killed in between does both again, and nothing stays that the
        ledger holds to be gone.
        """
        if days is None:
            return
        before, after = self.now - dt.timedelta(days=days), 0
        while True:
            with self.services.database() as connection, connection.transaction():
                dumps = sql.past_retention(
                    connection,
                    layer,
                    sender=feed.sender.name,
                    dataset=feed.dataset,
                    settled_before=before,
                    after=after,
                    limit=_DUMPS_AT_ONCE,
                    lock=apply,
                )
                if not dumps:
                    return
                batch(dumps)
                if apply:
                    sql.mark_pruned(connection, layer, [dump.dump_id for dump in dumps])
            after = dumps[-1].dump_id

    def _frames_of(self, dump: Dump) -> list[ListedObject]:
        folders = {
            found[1]
            for key in (dump.validated_key, dump.loaded_key)
            if key is not None and (found := layout.dump_folder(key)) is not None
        }
        return [
            item
            for folder in sorted(folders)
            for page in s3.list_objects(self.services.s3, self.bucket, folder)
            for item in page
        ]

    def _delete_raw(self, dumps: Sequence[Dump]) -> None:
        """Delete the bytes and keep the notes beside them, with one more that says so: a rebuild reads no ledger."""
        keys = [dump.archive_key for dump in dumps if dump.archive_key is not None]
        note = {"pruned_at": self.now.isoformat(), "by": "retention"}
        for key in keys:
            s3.put_bytes(
                self.services.s3,
                bucket=self.bucket,
                key=layout.pruned_key(key),
                body=json.dumps(note).encode(),
                content_type="application/json",
            )
        s3_deletion.delete_objects(self.services.s3, bucket=self.bucket, keys=keys)

    def quarantine(self, apply: bool, tally: Tally) -> None:
        """Empty old sealed rows, and delete the files of rejects that are as old. Places, columns and rules stay."""
        until = {
            feed.name: self.now - dt.timedelta(days=feed.retention.quarantine)
            for feed in self.feeds
            if feed.retention.quarantine is not None
        }
        for feed, before in until.items():
            with self.services.database() as connection:
                count, oldest = sql.old_sealed(connection, feed, set_apart_before=before, empty=apply)
            tally.add(at=oldest, items=count)

        def is_old(item: ListedObject, dump: Dump, known: Known) -> bool:
            del known
            before = until.get(dump.feed)
            return (
                item.key.endswith("/rejects.parquet")
                and before is not None
                and dump.verdict is not DumpVerdict.HELD
                and dump.settled_at is not None
                and dump.settled_at < before
            )

        if until:
            self._leftovers("validated/", is_old, apply, tally)

    def erased(self, apply: bool, tally: Tally) -> None:
        """Finish erasures that broke off, and apply the register to rows that came in another way."""
        flow = Flow(self.services, run_id="prune")
        tally.bytes = None
        tally.items += len(erasure.finish(self.services, apply=apply))
        for done in erasure.erase_again(flow, by="prune", dry_run=not apply):
            tally.items += sum(done.rows.values())

    # ------------------------------------------------------------------------------------------ leftovers in S3

    def raw_leftovers(self, apply: bool, tally: Tally) -> None:
        self._leftovers("raw/", self._is_raw_leftover, apply, tally)

    def frame_leftovers(self, apply: bool, tally: Tally) -> None:
        self._leftovers("validated/", _is_frame_leftover, apply, tally)

    def _leftovers(
        self, prefix: str, is_leftover: Callable[[ListedObject, Dump, Known], bool], apply: bool, tally: Tally
    ) -> None:
        """Compare a listing with the ledger, page by page: memory does not grow with the archive."""
        for page in s3.list_objects(self.services.s3, self.bucket, prefix):
            old = [item for item in page if item.last_modified < self.now - LEFTOVER_AGE]
            numbered = [(item, found[0]) for item in old if (found := layout.dump_folder(item.key)) is not None]
            if foreign := len(old) - len(numbered):
                tally.note("not of this project, kept", foreign)
            keys = [key for item, _ in numbered for key in (item.key, layout.noted(item.key))]
            with self.services.database() as connection:
                known = sql.known(connection, dump_ids=[number for _, number in numbered], keys=keys)
            gone = []
            for item, number in numbered:
                dump = known.dumps.get(number)
                if dump is None:
                    tally.note("unknown to the ledger, kept")
                elif known.is_at_rest(number) and is_leftover(item, dump, known):
                    gone.append(item)
            _count(gone, tally)
            if apply:
                self._delete(gone)

    def _is_raw_leftover(self, item: ListedObject, dump: Dump, known: Known) -> bool:
        """Whether it is half a copy, or a second one of a dump whose bytes lie elsewhere in the archive.

        The manifest is written when a copy is whole. A whole copy is only let go when its manifest names the very
        object of which the ledger names another copy: the number alone is not enough, for a ledger that was restored
        from a backup gives numbers again.
        """
        bytes_key = layout.noted(item.key)
        if {item.key, bytes_key} & known.archived:
            return False
        if dump.archive_key is None and dump.status is not DumpStatus.SKIPPED:
            return False  # refused for what its sidecar says: all that the archive has of it
        manifest = self._manifest(bytes_key)
        if manifest is None:
            return item.key == bytes_key
        same = (manifest.get("bucket"), manifest.get("key"), manifest.get("etag")) == (dump.bucket, dump.key, dump.etag)
        return same and dump.archive_key is not None and dump.raw_pruned_at is None

    def _manifest(self, bytes_key: str) -> dict[str, object] | None:
        key = layout.manifest_key(bytes_key)
        if not s3.exists(self.services.s3, bucket=self.bucket, key=key):
            return None
        with s3.open_object(self.services.s3, bucket=self.bucket, key=key) as body:
            manifest: dict[str, object] = json.load(body)
        return manifest

    def uploads(self, apply: bool, tally: Tally) -> None:
        client = self.services.s3
        for bucket in sorted({self.bucket, self.services.settings.backup_bucket or self.bucket}):
            for page in s3_deletion.incomplete_uploads(client, bucket):
                for upload in page:
                    if upload.begun < self.now - LEFTOVER_AGE:
                        tally.add(at=upload.begun, size=s3_deletion.upload_size(client, upload))
                        if apply:
                            s3_deletion.abort_upload(client, upload)

    def _delete(self, items: Sequence[ListedObject]) -> None:
        s3_deletion.delete_objects(self.services.s3, bucket=self.bucket, keys=[item.key for item in items])

    # ------------------------------------------------------------------------------------------ elsewhere

    def temp_folders(self, apply: bool, tally: Tally) -> None:
        for folder in sorted(Path(tempfile.gettempdir()).glob("claims-*")):
            try:
                found = _age_and_size(folder)
            except FileNotFoundError:  # its process has just ended well
                continue
            if found is not None and found[0] < self.now - LEFTOVER_AGE:
                tally.add(at=found[0], size=found[1])
                if apply:
                    shutil.rmtree(folder)

    def scratch_databases(self, apply: bool, tally: Tally) -> None:
        """Databases that a prune has found a day ago and nobody is connected to: drills drop theirs when they end."""
        with self.services.owner_database() as connection:
            databases = sql.scratch_databases(connection, kind=Kind.SCRATCH_DATABASES.value)
            tally.detail["found"] = [database.name for database in databases]
            for database in databases:
                if database.in_use or database.seen is None or database.seen > self.now - LEFTOVER_AGE:
                    continue
                tally.add(at=database.seen, size=database.bytes)
                if apply:
                    sql.drop_scratch(connection, database.name)

    def messages(self, apply: bool, tally: Tally) -> None:
        before = self.now - dt.timedelta(days=self.services.settings.dagster_run_days)
        with self.services.database() as connection:
            count, oldest = sql.old_messages(connection, sent_before=before, delete=apply)
        tally.add(at=oldest, items=count, size=None)


def _count(items: Sequence[ListedObject], tally: Tally) -> None:
    for item in items:
        tally.add(at=item.last_modified, size=item.size)


def _is_frame_leftover(item: ListedObject, dump: Dump, known: Known) -> bool:
    """Whether neither the frames in effect nor the newest ones are in this folder."""
    del known
    return item.key.rpartition("/")[0] not in (dump.validated_key, dump.loaded_key)


_TEMP_NAME = re.compile(r"claims-(?:[a-z]+-)?[a-z0-9_]{8}")  # as tempfile names what is made with such a prefix
_TEMP_CONTENTS = {".parquet", ".dump"}


def _age_and_size(folder: Path) -> tuple[dt.datetime, int] | None:
    """When anything in a temporary folder of ours was last written, UTC, and its bytes.

    Returns:
        None where it is not ours by name, owner, mode and contents: other people's lie there as well.
    """
    itself = folder.lstat()
    if not (
        _TEMP_NAME.fullmatch(folder.name)
        and stat.S_ISDIR(itself.st_mode)
        and stat.S_IMODE(itself.st_mode) == 0o700
        and itself.st_uid == os.geteuid()
    ):
        return None
    files = {path: path.lstat() for path in folder.iterdir()}
    if not all(stat.S_ISREG(found.st_mode) and path.suffix in _TEMP_CONTENTS for path, found in files.items()):
        return None
    newest = max(found.st_mtime for found in (itself, *files.values()))
    return dt.datetime.fromtimestamp(newest, dt.UTC), sum(found.st_size for found in files.values())
