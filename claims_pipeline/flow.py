"""The way of one dump, composed from the rooms: discover, archive, validate, load. No Dagster.

Belongs here: which room is called when, and what the ledger is told. Orchestration and the CLI are two faces of these
functions. Does not belong here: S3 calls, SQL, parsing, wording of messages.

Each step is idempotent and takes up where the ledger says that the dump is. A step that meets bad data settles the dump
(refused, skipped) and returns; it raises only for trouble that is not the dump's.
"""

from __future__ import annotations

import datetime as dt
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import psycopg
import pyarrow
import pyarrow.parquet as pq

from claims_pipeline import arrival, checks, failpoints, frames
from claims_pipeline.arrival import Discovery
from claims_pipeline.errors import BadDump, ClaimsPipelineError
from claims_pipeline.feeds import Feed, Sender, all_feeds, children_of, feeds_of
from claims_pipeline.feeds.drift import Delivered, compare
from claims_pipeline.feeds.sidecars import Promise
from claims_pipeline.frames import seal as seal_bytes
from claims_pipeline.frames.stream import Compression
from claims_pipeline.landing import layout, s3, sidecars
from claims_pipeline.services import Services
from claims_pipeline.vocabulary import CheckName, CheckOutcome, DumpStatus, DumpVerdict
from claims_pipeline.warehouse import effect, ledger, load, reports
from claims_pipeline.warehouse.apart import Seal
from claims_pipeline.warehouse.ledger import Dump
from claims_pipeline.warehouse.load import Loaded, TooManyDeletedError
from claims_pipeline.warehouse.migrate import is_migrated, migrate, pending, record_if_it_fits

Progress = Callable[[int], None]
"""Told how many rows of the dump the step at hand has done."""

UNKNOWN = "unknown"
"""Folder of the raw archive where dumps lie that no contract knows."""

REPEATS = (DumpVerdict.RESENT, DumpVerdict.DUPLICATE)
OUT_OF_EFFECT = (DumpStatus.SUPERSEDED, DumpStatus.UNDONE)


class Flow:
    """The steps, for one run.

    Args:
        services: the database, S3 and keys.
        run_id: noted in ledger and audit with all that is done.
        progress: told of rows done by long steps.
        frames_prefix: put before the keys of validated frames, by those who must not touch the archive's own.
    """

    def __init__(
        self, services: Services, *, run_id: str, progress: Progress | None = None, frames_prefix: str = ""
    ) -> None:
        self.services = services
        self.frames_prefix = frames_prefix
        self.run_id = run_id
        self.progress = progress
        self.inbox = services.settings.inbox_bucket
        self.archive_bucket = services.settings.archive_bucket

    # ------------------------------------------------------------------------------------------ preparation

    def prepare(self, feeds: Sequence[Feed] | None = None) -> None:
        """Make sure that the database knows the contracts; embedded parts are set up on the way.

        A contract that the database has not recorded is loaded from the code, if the feed's table has its columns.

        Args:
            feeds: those that are needed, besides the ops schema; None for all.

        Raises:
            ClaimsPipelineError: a real database was not migrated to this version.
        """
        wanted = all_feeds() if feeds is None or self.services.embedded_database else feeds
        if self.services.embedded_s3:
            for bucket in (self.inbox, self.archive_bucket):
                s3.ensure_bucket(self.services.s3, bucket)
        with self.services.database() as connection:
            missing = pending(connection, wanted)
            if not missing and is_migrated(connection):
                return
            if self.services.embedded_database:
                migrate(connection, wanted)
                return
            unmet = [feed.name for feed in missing if not record_if_it_fits(connection, feed)]
            if unmet or not is_migrated(connection):
                what = f"has no tables for the contracts of {', '.join(unmet)}" if unmet else "is of another version"
                raise ClaimsPipelineError(
                    f"the database {what}: run `claims-pipeline migrate` with the owner's CLAIMS_DATABASE_URL"
                )

    # ------------------------------------------------------------------------------------------ discover

    def discover(self, sender: Sender) -> Discovery:
        """List the sender's inbox and enter what is new into the ledger. Reads no dump.

        Raises:
            Transient, ClaimsPipelineError: the listing or the database failed; nothing is concluded from that.
        """
        return arrival.look(self.services, sender)

    def discover_twice(self, sender: Sender) -> Discovery:
        """Look, and where uploads may be going on, look once more after the time that they take to settle.

        For one-shot work; a sensor's next tick is its second look.

        Raises:
            Transient, ClaimsPipelineError: see `discover`.
        """
        first = self.discover(sender)
        if not first.settling:
            return first
        time.sleep(self.services.settings.settle_seconds)
        second = self.discover(sender)
        return replace(second, new=first.new + second.new, strange=first.strange + second.strange)

    def dumps(self, feed: Feed, days: Sequence[dt.date], *, everything: bool) -> list[Dump]:
        """Dumps of a feed's days, oldest stamp first: those with work left, or all that may be in the table."""
        with self.services.database() as connection:
            found = ledger.dumps_of(connection, feed.sender.name, feed.dataset, days)
        found = [dump for dump in found if dump.ready]
        if everything:
            return [
                dump
                for dump in found
                if dump.is_open
                or (dump.archive_key and dump.verdict not in REPEATS and dump.status not in OUT_OF_EFFECT)
            ]
        return [dump for dump in found if dump.is_open]

    # ------------------------------------------------------------------------------------------ archive

    def archive(self, dump: Dump, feed: Feed) -> Dump:
        """Copy the dump byte for byte into the raw archive and decide what it is by its content.

        A dump that was archived earlier is read again from the archive, and its SHA-256 compared. Until it was loaded,
        its bytes are compared with what the sidecars in the inbox promise; what they promise is noted in the archive.
        """
        with self.services.database() as connection:
            now = ledger.get(connection, dump.dump_id)
        if now.status is not dump.status:  # another process has gone on with it
            return now
        was_unknown = dump.archive_key is not None and dump.sha256 is None
        if dump.archive_key is not None and not was_unknown:
            return self._verify_archived(dump, feed)
        try:
            told = arrival.promises(self.services.s3, inbox=dump.bucket, dump=dump, feed=feed)
            if dump.size_bytes == 0:
                arrival.compare_empty(told)
                return self._settle(dump, DumpStatus.SKIPPED, DumpVerdict.EMPTY, "zero bytes")
            key, copy = self._copy(dump, feed.dataset, told)
        except BadDump as error:
            if error.rule == "dump.changed":
                return self._settle(dump, DumpStatus.SKIPPED, DumpVerdict.UNREADABLE, str(error))
            # Nothing of it is noted as archived: the same bytes under a mended sidecar are no repetition of these.
            outcome = checks.not_intact(error.rule, str(error))
            return self._settle(dump, DumpStatus.REFUSED, DumpVerdict.UNREADABLE, str(error), outcome)
        failpoints.reach("archive.copied")
        noted = self.judge(dump, archive_key=key, size=copy.size, sha256=copy.sha256, version_id=copy.version_id)
        failpoints.reach("archive.noted")
        return noted

    def judge(self, dump: Dump, *, archive_key: str, size: int, sha256: str, version_id: str | None) -> Dump:
        """Note that a dump's bytes are archived, and decide what it is by them and the dumps known so far.

        Args:
            dump: the ledger's row.
            archive_key: where its bytes are.
            size: bytes read from there, or written there.
            sha256: of these, hex.
            version_id: of the object in the inbox.
        """
        intact = checks.intact(listed=dump.size_bytes, archived=size, sha256=sha256)
        snapshot = any(feed.snapshot for feed in feeds_of(dump.sender) if feed.dataset == dump.dataset)
        with self.services.database() as connection, connection.transaction():
            if not ledger.is_still(connection, dump):
                return ledger.get(connection, dump.dump_id)
            verdict, same_as = effect.same_content(connection, dump, sha256, snapshot=snapshot)
            ledger.archived(
                connection,
                dump,
                sha256=sha256,
                version_id=version_id,
                archive_key=archive_key,
                verdict=verdict,
                same_as=same_as,
                run_id=self.run_id,
            )
            ledger.record_check(connection, dump.dump_id, intact)
            if verdict in REPEATS:
                reason = f"the same bytes as dump {same_as}"
                ledger.settle(connection, dump.dump_id, DumpStatus.SKIPPED, reason=reason)
            elif verdict is DumpVerdict.EMPTY:
                ledger.settle(connection, dump.dump_id, DumpStatus.SKIPPED, reason="no rows")
            return ledger.get(connection, dump.dump_id)

    def keep_unknown(self, dumps: Sequence[Dump], *, most_bytes: int | None = None) -> None:
        """Archive dumps that no contract knows, so that they can be loaded once one does, whatever the sender deletes.

        Args:
            dumps: found by `discover`; others than unknown ones are passed over.
            most_bytes: leave larger ones in the inbox (a sensor's tick has a minute); None for no limit.
        """
        for dump in dumps:
            if dump.verdict is not DumpVerdict.UNKNOWN or (most_bytes is not None and dump.size_bytes > most_bytes):
                continue
            try:
                key, _ = self._copy(dump, UNKNOWN)
            except BadDump:  # overwritten since it was listed: the next look finds the new one
                continue
            with self.services.database() as connection:
                ledger.kept(connection, dump.dump_id, archive_key=key)

    def _copy(self, dump: Dump, dataset: str, told: Sequence[Promise] = ()) -> tuple[str, s3.ArchivedObject]:
        """Copy a dump into the raw archive, with a note beside it; from where it was kept while it was unknown."""
        key = layout.raw_key(
            sender=dump.sender, dataset=dataset, day=dump.delivery_day, dump_id=dump.dump_id, inbox_key=dump.key
        )
        source = s3.ListedObject(dump.bucket, dump.key, dump.etag, dump.size_bytes, dump.last_modified)
        if dump.archive_key is not None:
            source = s3.head(self.services.s3, bucket=self.archive_bucket, key=dump.archive_key)
        copy = s3.archive_object(self.services.s3, source=source, to_bucket=self.archive_bucket, to_key=key)
        arrival.compare_bytes(told, copy.sha256)
        manifest = {
            "dump_id": dump.dump_id, "feed": f"{dump.sender}/{dataset}", "bucket": dump.bucket, "key": dump.key,
            "etag": dump.etag, "version_id": copy.version_id, "size_bytes": copy.size, "sha256": copy.sha256,
            "last_modified": dump.last_modified.isoformat(), "delivery_day": dump.delivery_day.isoformat(),
            "stamp": dump.stamp.isoformat(), "arrived_at": dump.arrived_at.isoformat(),
            "archived_at": dt.datetime.now(dt.UTC).isoformat(),
            "promised": sidecars.kept(told),
        }  # fmt: skip
        self._put_note(key, manifest)
        return key, copy

    def _verify_archived(self, dump: Dump, feed: Feed) -> Dump:
        assert dump.archive_key is not None  # noqa: S101 - the caller looked
        _refuse_pruned(dump)
        size, sha256 = s3.digest(self.services.s3, bucket=self.archive_bucket, key=dump.archive_key)
        outcome = checks.intact(listed=dump.size_bytes, archived=size, sha256=sha256, known_sha256=dump.sha256)
        if outcome.passed and dump.loaded_key is None:
            try:
                self._note_promises(dump, arrival.promises(self.services.s3, inbox=dump.bucket, dump=dump, feed=feed))
            except BadDump as error:
                outcome = checks.not_intact(error.rule, str(error))
        with self.services.database() as connection:
            ledger.touch(connection, dump.dump_id, self.run_id)
            ledger.record_check(connection, dump.dump_id, outcome)
            if not outcome.passed:
                ledger.settle(connection, dump.dump_id, DumpStatus.REFUSED, reason=outcome.summary)
            return ledger.get(connection, dump.dump_id)

    def _note_promises(self, dump: Dump, told: Sequence[Promise]) -> None:
        """Keep what sidecars promise that came, or were mended, after the dump was archived.

        Raises:
            BadDump: dump.checksum.
        """
        assert dump.archive_key is not None and dump.sha256 is not None  # noqa: S101, PT018 - it is archived
        arrival.compare_bytes(told, dump.sha256)
        if told and (note := self._note(dump)).get("promised") != sidecars.kept(told):
            self._put_note(dump.archive_key, {**note, "promised": sidecars.kept(told)})

    def _note(self, dump: Dump) -> dict[str, Any]:
        """The note beside an archived dump."""
        assert dump.archive_key is not None  # noqa: S101 - the caller looked
        with s3.open_object(
            self.services.s3, bucket=self.archive_bucket, key=layout.manifest_key(dump.archive_key)
        ) as body:
            note: dict[str, Any] = json.loads(body.read())
        return note

    def _put_note(self, archive_key: str, note: dict[str, Any]) -> None:
        s3.put_bytes(
            self.services.s3,
            bucket=self.archive_bucket,
            key=layout.manifest_key(archive_key),
            body=json.dumps(note, indent=1).encode(),
            content_type="application/json",
        )

    # ------------------------------------------------------------------------------------------ validate

    def validate(self, dump: Dump, feed: Feed) -> Dump:
        """Read the archived dump as its contract says, and write validated rows and sealed rejects as Parquet."""
        if dump.archive_key is None or not dump.checks.get(CheckName.INTACT.value, {}).get("passed", True):
            return dump
        with tempfile.TemporaryDirectory(prefix="claims-") as folder:
            rows_path, rejects_path = Path(folder) / "rows.parquet", Path(folder) / "rejects.parquet"
            try:
                result = self.read(dump, feed, rows_path, rejects_path)
            except BadDump as error:
                outcome = checks.contract_refused(error.rule, str(error))
                verdict = DumpVerdict.UNREADABLE if error.rule == "dump.unreadable" else None
                return self._settle(dump, DumpStatus.REFUSED, verdict, str(error), outcome)
            failpoints.reach("validate.written")
            if result.read == 0:
                return self._settle(dump, DumpStatus.SKIPPED, DumpVerdict.EMPTY, "no rows")
            key = self.frames_prefix + layout.validated_key(
                sender=dump.sender,
                dataset=feed.dataset,
                day=dump.delivery_day,
                dump_id=dump.dump_id,
                contract=feed.fingerprint,
            )
            for path in (rows_path, rejects_path):
                s3.upload_file(self.services.s3, path, bucket=self.archive_bucket, key=f"{key}/{path.name}")
        failpoints.reach("validate.uploaded")
        validated = self._validated(dump, feed, key, result)
        failpoints.reach("validate.settled")
        return validated

    def read(self, dump: Dump, feed: Feed, rows_path: Path, rejects_path: Path) -> frames.Validation:
        """Read an archived dump as its contract says into two local files; nothing is noted anywhere.

        Raises:
            BadDump: the contract refuses it.
            Transient, ClaimsPipelineError: the archive failed, or no longer has it.
        """
        assert dump.archive_key is not None  # noqa: S101 - callers looked
        _refuse_pruned(dump)
        told = sidecars.unkept(self._note(dump).get("promised", ())) if feed.sidecars.manifest else ()
        with s3.open_object(self.services.s3, bucket=self.archive_bucket, key=dump.archive_key) as body:
            return frames.validate_dump(
                body,
                feed=feed,
                compression=_compression(dump.key),
                stamp=dump.stamp,
                delivery_day=dump.delivery_day,
                keys=self.services.keys,
                rows_path=rows_path,
                rejects_path=rejects_path,
                batch_bytes=self.services.settings.batch_bytes,
                progress=self.progress,
                promises=told,
            )

    def _validated(self, dump: Dump, feed: Feed, key: str, result: frames.Validation) -> Dump:
        now = Delivered(result.columns_seen, result.types)
        with self.services.database() as connection, connection.transaction():
            if not ledger.is_still(connection, dump):
                return ledger.get(connection, dump.dump_id)
            changes = compare(feed, now, reports.previous_delivery(connection, dump))
            drift = checks.contract(columns=len(now.columns), changes=changes)
            budget = checks.rejects_within_budget(
                feed, read=result.read, rejects=result.rejects, rejected=result.quarantined
            )
            outcomes = [drift, budget]
            if feed.snapshot:
                past = reports.past_volumes(connection, dump)
                outcomes.append(checks.snapshot_complete(feed.snapshot, read=result.read, past=past))
            for outcome in outcomes:
                ledger.record_check(connection, dump.dump_id, outcome)
            validation = {
                "read": result.read, "filtered": result.filtered, "quarantined": result.quarantined,
                "rejects": result.rejects, "issues": result.issues, "drift": [change.text for change in changes],
                "columns": list(now.columns), "types": dict(now.types), "seconds": result.stages,
            }  # fmt: skip
            ledger.touch(connection, dump.dump_id, self.run_id)
            ledger.validated(connection, dump, validated_key=key, contract=feed.fingerprint, validation=validation)
            asks = outcomes if feed.drift == "hold" else outcomes[1:]  # other drift is told, and no reason to wait
            doubts = [outcome.summary for outcome in asks if not outcome.passed]
            if changes and feed.drift == "freeze":
                reason = f"the feed's columns are frozen: {drift.summary}"
                ledger.settle(connection, dump.dump_id, DumpStatus.REFUSED, reason=reason)
            elif doubts and dump.approved_by is None:
                reason = _waits(dump, "; ".join(doubts))
                ledger.settle(connection, dump.dump_id, DumpStatus.REFUSED, verdict=DumpVerdict.HELD, reason=reason)
            return ledger.get(connection, dump.dump_id)

    # ------------------------------------------------------------------------------------------ load

    def load(self, dump: Dump, feed: Feed) -> Dump:
        """Load the validated dump into its table, in one transaction with history, quarantine, audit and ledger."""
        if dump.status is not DumpStatus.VALIDATED or dump.validation is None:
            return dump
        validation = dump.validation
        with tempfile.TemporaryDirectory(prefix="claims-") as folder:
            paths = [Path(folder) / name for name in ("rows.parquet", "rejects.parquet")]
            for path in paths:
                key = f"{dump.validated_key}/{path.name}"
                s3.download_file(self.services.s3, path, bucket=self.archive_bucket, key=key)
            try:
                with self.services.database() as connection, connection.transaction():
                    done = load.load_dump(
                        connection,
                        feed,
                        dump,
                        rows=self._batches(paths[0]),
                        rejects=self._batches(paths[1]),
                        read=validation["read"],
                        filtered=validation["filtered"],
                        seal=self.sealer(feed),
                        frames=self.frames_in_effect,
                        children=children_of(feed),
                        run_id=self.run_id,
                    )
                    return self._loaded(connection, dump, feed, done)
            except TooManyDeletedError as error:
                outcome = checks.deletions_within_budget(feed, deleted=error.deleted, stored=error.stored)
                return self._hold(dump, outcome)

    def sealer(self, feed: Feed) -> Seal:
        """Seals rows that turn out to belong into quarantine when they meet the table."""
        ring = self.services.keys.quarantine
        return lambda row_number, content: seal_bytes(content, ring=ring, context=f"{feed.name}:{row_number}")

    def frames_in_effect(self, feed: Feed, dump: Dump) -> Iterator[pyarrow.RecordBatch]:
        """The validated rows of a dump that is in the table, as they were loaded.

        Where their columns are no longer the contract's, or retention has taken them, they are made from the raw
        archive again.

        Raises:
            ClaimsPipelineError: neither is there any more.
        """
        with tempfile.TemporaryDirectory(prefix="claims-") as folder:
            path = Path(folder) / "rows.parquet"
            if not self._fetch_frames(feed, dump, path):
                if dump.archive_key is None or not s3.exists(
                    self.services.s3, bucket=self.archive_bucket, key=dump.archive_key
                ):
                    raise ClaimsPipelineError(
                        f"dump {dump.dump_id} ({feed.name}, {dump.delivery_day}) must be merged again after an earlier "
                        "one, but neither its validated rows nor its raw bytes are in the archive: retention took them"
                    )
                self.read(dump, feed, path, Path(folder) / "rejects.parquet")
            yield from self._batches(path)

    def _fetch_frames(self, feed: Feed, dump: Dump, path: Path) -> bool:
        if dump.loaded_key is None:
            return False
        key = f"{dump.loaded_key}/{path.name}"
        if not s3.exists(self.services.s3, bucket=self.archive_bucket, key=key):
            return False
        s3.download_file(self.services.s3, path, bucket=self.archive_bucket, key=key)
        return bool(pq.read_schema(path).equals(frames.rows_schema(feed)))

    def _loaded(self, connection: psycopg.Connection, dump: Dump, feed: Feed, done: Loaded | None) -> Dump:
        ledger.touch(connection, dump.dump_id, self.run_id)
        if done is None:  # another dump stands for it, or another process has gone on with it
            return ledger.get(connection, dump.dump_id)
        past = reports.past_volumes(connection, dump)
        for outcome in (
            checks.row_conservation(done.rows),
            checks.key_unique(duplicates=done.rows.duplicate, conflicts=done.conflicts),
            checks.volume_in_range(read=done.rows.read, past=past, tolerance=feed.volume_tolerance),
        ):
            ledger.record_check(connection, dump.dump_id, outcome)
        return ledger.get(connection, dump.dump_id)

    def _batches(self, path: Path) -> Iterator[pyarrow.RecordBatch]:
        done = 0
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=20_000):
                yield batch
                done += batch.num_rows
                if self.progress:
                    self.progress(done)

    # ------------------------------------------------------------------------------------------ common

    def _hold(self, dump: Dump, outcome: CheckOutcome) -> Dump:
        return self._settle(dump, DumpStatus.REFUSED, DumpVerdict.HELD, _waits(dump, outcome.summary), outcome)

    def _settle(
        self,
        dump: Dump,
        status: DumpStatus,
        verdict: DumpVerdict | None,
        reason: str,
        outcome: CheckOutcome | None = None,
    ) -> Dump:
        with self.services.database() as connection, connection.transaction():
            if not ledger.is_still(connection, dump):
                return ledger.get(connection, dump.dump_id)
            ledger.touch(connection, dump.dump_id, self.run_id)
            ledger.settle(connection, dump.dump_id, status, verdict=verdict, reason=reason)
            if outcome is not None:
                ledger.record_check(connection, dump.dump_id, outcome)
            return ledger.get(connection, dump.dump_id)


def _waits(dump: Dump, doubt: str) -> str:
    return f"{doubt}; waits for `claims-pipeline approve {dump.dump_id}` or `reject`"


def _refuse_pruned(dump: Dump) -> None:
    if dump.raw_pruned_at is not None:
        raise ClaimsPipelineError(f"dump {dump.dump_id} of {dump.feed}: {dump.pruned}")


def _compression(key: str) -> Compression | None:
    suffixes: dict[str, Compression] = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
    return suffixes.get(PurePosixPath(key).suffix)
