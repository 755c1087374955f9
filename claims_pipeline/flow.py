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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from zoneinfo import ZoneInfo

import psycopg
import pyarrow
import pyarrow.parquet as pq
import tenacity

from claims_pipeline import checks, frames
from claims_pipeline.errors import BadDump, ClaimsPipelineError, Transient, safe_text, whereabouts
from claims_pipeline.feeds import Feed, Sender, all_feeds, feeds_of
from claims_pipeline.feeds.drift import Delivered, compare
from claims_pipeline.frames import seal as seal_bytes
from claims_pipeline.frames.stream import Compression
from claims_pipeline.landing import layout, names, s3
from claims_pipeline.services import Services
from claims_pipeline.vocabulary import CheckName, CheckOutcome, DumpStatus, DumpVerdict
from claims_pipeline.warehouse import ledger, load, reports
from claims_pipeline.warehouse.ledger import Arrival, Dump
from claims_pipeline.warehouse.load import Loaded
from claims_pipeline.warehouse.migrate import is_migrated, migrate, pending, record_if_it_fits

Progress = Callable[[int], None]
"""Told how many rows of the dump the step at hand has done."""

UNKNOWN = "unknown"
"""Folder of the raw archive where dumps lie that no contract knows."""

REPEATS = (DumpVerdict.RESENT, DumpVerdict.DUPLICATE)


@dataclass(frozen=True)
class Discovery:
    """What a look into an inbox found.

    Attributes:
        listed: objects under the sender's prefix.
        ignored: of these, no dumps by rule (half-written, markers).
        new: dumps that the ledger had not seen.
        strange: of these, dumps that no run can take: without a contract, or with an impossible delivery day.
        open: dumps with work left, oldest first.
    """

    listed: int
    ignored: int
    new: int
    strange: tuple[Dump, ...]
    open: tuple[Dump, ...]


class Flow:
    """The steps, for one run.

    Args:
        services: the database, S3 and keys.
        run_id: noted in ledger and audit with all that is done.
        progress: told of rows done by long steps.
    """

    def __init__(self, services: Services, *, run_id: str, progress: Progress | None = None) -> None:
        self.services = services
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
        feeds = feeds_of(sender.name)
        listed = ignored = 0
        new: list[Dump] = []
        with self.services.database() as connection:
            self._recognise_unknown(connection, sender, feeds)
            for page in s3.list_objects(self.services.s3, self.inbox, sender.prefix):
                listed += len(page)
                dumps = [item for item in page if not names.is_ignored(sender, item.key)]
                ignored += len(page) - len(dumps)
                new += ledger.register(connection, [_arrival(sender, feeds, item) for item in dumps])
            misdated = [_refuse_misdated(connection, dump, sender) for dump in new if dump.is_open]
            known = {feed.dataset for feed in feeds}  # a dataset may have left the contracts: its dumps wait
            open_ = [dump for dump in ledger.open_dumps(connection, sender.name) if dump.dataset in known]
        strange = [dump for dump in new if dump.verdict is DumpVerdict.UNKNOWN]
        strange += [dump for dump in misdated if dump is not None]
        return Discovery(listed, ignored, len(new), tuple(strange), tuple(open_))

    def _recognise_unknown(self, connection: psycopg.Connection, sender: Sender, feeds: Sequence[Feed]) -> None:
        for dump in ledger.unknown_dumps(connection, sender.name):
            item = s3.ListedObject(dump.bucket, dump.key, dump.etag, dump.size_bytes, dump.last_modified)
            arrival = _arrival(sender, feeds, item)
            if arrival.dataset is not None:
                ledger.recognise(connection, arrival)

    def dumps(self, feed: Feed, days: Sequence[dt.date], *, everything: bool) -> list[Dump]:
        """Dumps of a feed's days, oldest stamp first: those with work left, or all that may be in the table."""
        with self.services.database() as connection:
            found = ledger.dumps_of(connection, feed.sender.name, feed.dataset, days)
        if everything:
            return [dump for dump in found if dump.is_open or (dump.archive_key and dump.verdict not in REPEATS)]
        return [dump for dump in found if dump.is_open]

    # ------------------------------------------------------------------------------------------ archive

    def archive(self, dump: Dump, feed: Feed) -> Dump:
        """Copy the dump byte for byte into the raw archive and decide what it is by its content.

        A dump that was archived earlier is read again from the archive, and its SHA-256 compared.
        """
        was_unknown = dump.archive_key is not None and dump.sha256 is None
        if dump.archive_key is not None and not was_unknown:
            return self._verify_archived(dump)
        if dump.size_bytes == 0:
            return self._settle(dump, DumpStatus.SKIPPED, DumpVerdict.EMPTY, "zero bytes")
        try:
            key, copy = self._copy(dump, feed.dataset)
        except BadDump as error:
            return self._settle(dump, DumpStatus.SKIPPED, DumpVerdict.UNREADABLE, str(error))
        intact = checks.intact(listed=dump.size_bytes, archived=copy.size, sha256=copy.sha256)
        with self.services.database() as connection, connection.transaction():
            verdict, same_as = ledger.same_content(connection, dump, copy.sha256)
            ledger.archived(
                connection,
                dump,
                sha256=copy.sha256,
                version_id=copy.version_id,
                archive_key=key,
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
            key, _ = self._copy(dump, UNKNOWN)
            with self.services.database() as connection:
                ledger.kept(connection, dump.dump_id, archive_key=key)

    def _copy(self, dump: Dump, dataset: str) -> tuple[str, s3.ArchivedObject]:
        """Copy a dump into the raw archive, with a note beside it; from where it was kept while it was unknown."""
        key = layout.raw_key(
            sender=dump.sender, dataset=dataset, day=dump.delivery_day, dump_id=dump.dump_id, inbox_key=dump.key
        )
        source = s3.ListedObject(dump.bucket, dump.key, dump.etag, dump.size_bytes, dump.last_modified)
        if dump.archive_key is not None:
            source = s3.head(self.services.s3, bucket=self.archive_bucket, key=dump.archive_key)
        copy = s3.archive_object(self.services.s3, source=source, to_bucket=self.archive_bucket, to_key=key)
        manifest = {
            "dump_id": dump.dump_id, "feed": f"{dump.sender}/{dataset}", "bucket": dump.bucket, "key": dump.key,
            "etag": dump.etag, "version_id": copy.version_id, "size_bytes": copy.size, "sha256": copy.sha256,
            "last_modified": dump.last_modified.isoformat(), "delivery_day": dump.delivery_day.isoformat(),
            "stamp": dump.stamp.isoformat(),
        }  # fmt: skip
        s3.put_bytes(
            self.services.s3,
            bucket=self.archive_bucket,
            key=layout.manifest_key(key),
            body=json.dumps(manifest, indent=1).encode(),
            content_type="application/json",
        )
        return key, copy

    def _verify_archived(self, dump: Dump) -> Dump:
        assert dump.archive_key is not None  # noqa: S101 - the caller looked
        size, sha256 = s3.digest(self.services.s3, bucket=self.archive_bucket, key=dump.archive_key)
        outcome = checks.intact(listed=dump.size_bytes, archived=size, sha256=sha256, known_sha256=dump.sha256)
        with self.services.database() as connection:
            ledger.touch(connection, dump.dump_id, self.run_id)
            ledger.record_check(connection, dump.dump_id, outcome)
            if not outcome.passed:
                ledger.settle(connection, dump.dump_id, DumpStatus.REFUSED, reason=outcome.summary)
            return ledger.get(connection, dump.dump_id)

    # ------------------------------------------------------------------------------------------ validate

    def validate(self, dump: Dump, feed: Feed) -> Dump:
        """Read the archived dump as its contract says, and write validated rows and sealed rejects as Parquet."""
        if dump.archive_key is None or not dump.checks.get(CheckName.INTACT.value, {}).get("passed", True):
            return dump
        with tempfile.TemporaryDirectory(prefix="claims-") as folder:
            rows_path, rejects_path = Path(folder) / "rows.parquet", Path(folder) / "rejects.parquet"
            try:
                with s3.open_object(self.services.s3, bucket=self.archive_bucket, key=dump.archive_key) as body:
                    result = frames.validate_dump(
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
                    )
            except BadDump as error:
                outcome = checks.contract_refused(error.rule, str(error))
                verdict = DumpVerdict.UNREADABLE if error.rule == "dump.unreadable" else None
                return self._settle(dump, DumpStatus.REFUSED, verdict, str(error), outcome)
            if result.read == 0:
                return self._settle(dump, DumpStatus.SKIPPED, DumpVerdict.EMPTY, "no rows")
            key = layout.validated_key(
                sender=dump.sender, dataset=feed.dataset, day=dump.delivery_day, dump_id=dump.dump_id
            )
            for path in (rows_path, rejects_path):
                s3.upload_file(self.services.s3, path, bucket=self.archive_bucket, key=f"{key}/{path.name}")
        return self._validated(dump, feed, key, result)

    def _validated(self, dump: Dump, feed: Feed, key: str, result: frames.Validation) -> Dump:
        now = Delivered(result.columns_seen, result.types)
        with self.services.database() as connection, connection.transaction():
            changes = compare(feed, now, reports.previous_delivery(connection, dump))
            drift = checks.contract(columns=len(now.columns), changes=changes)
            budget = checks.rejects_within_budget(
                feed, read=result.read, rejects=result.rejects, rejected=result.quarantined
            )
            for outcome in (drift, budget):
                ledger.record_check(connection, dump.dump_id, outcome)
            validation = {
                "read": result.read, "filtered": result.filtered, "quarantined": result.quarantined,
                "rejects": result.rejects, "issues": result.issues, "drift": [change.text for change in changes],
                "columns": list(now.columns), "types": dict(now.types), "seconds": result.stages,
            }  # fmt: skip
            ledger.touch(connection, dump.dump_id, self.run_id)
            ledger.validated(connection, dump, validated_key=key, contract=feed.fingerprint, validation=validation)
            moved = any(change.moves for change in changes)
            if changes and feed.drift == "freeze":
                reason = f"the feed's columns are frozen: {drift.summary}"
                ledger.settle(connection, dump.dump_id, DumpStatus.REFUSED, reason=reason)
            elif dump.approved_by is None and (not budget.passed or (moved and feed.drift == "hold")):
                what = budget.summary if not budget.passed else drift.summary
                reason = f"{what}; waits for `claims-pipeline approve {dump.dump_id}` or `reject`"
                ledger.settle(connection, dump.dump_id, DumpStatus.REFUSED, verdict=DumpVerdict.HELD, reason=reason)
            return ledger.get(connection, dump.dump_id)

    # ------------------------------------------------------------------------------------------ load

    def load(self, dump: Dump, feed: Feed) -> Dump:
        """Load the validated dump into its table, in one transaction with history, quarantine, audit and ledger."""
        if dump.status is not DumpStatus.VALIDATED or dump.validation is None:
            return dump
        validation = dump.validation
        keys = self.services.keys
        children = [other for other in feeds_of(dump.sender) if is_child(other, of=feed)]

        def seal(row_number: int, content: bytes) -> tuple[str, bytes]:
            return seal_bytes(content, ring=keys.quarantine, context=f"{feed.name}:{row_number}")

        with tempfile.TemporaryDirectory(prefix="claims-") as folder:
            paths = [Path(folder) / name for name in ("rows.parquet", "rejects.parquet")]
            for path in paths:
                key = f"{dump.validated_key}/{path.name}"
                s3.download_file(self.services.s3, path, bucket=self.archive_bucket, key=key)
            with self.services.database() as connection, connection.transaction():
                done = load.load_dump(
                    connection,
                    feed,
                    dump,
                    rows=self._batches(paths[0]),
                    rejects=self._batches(paths[1]),
                    read=validation["read"],
                    filtered=validation["filtered"],
                    seal=seal,
                    children=children,
                    run_id=self.run_id,
                )
                return self._loaded(connection, dump, feed, done)

    def _loaded(self, connection: psycopg.Connection, dump: Dump, feed: Feed, done: Loaded) -> Dump:
        past = reports.past_volumes(connection, dump)
        for outcome in (
            checks.row_conservation(done.rows),
            checks.key_unique(duplicates=done.rows.duplicate, conflicts=done.conflicts),
            checks.volume_in_range(read=done.rows.read, past=past, tolerance=feed.volume_tolerance),
        ):
            ledger.record_check(connection, dump.dump_id, outcome)
        ledger.touch(connection, dump.dump_id, self.run_id)
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

    def _settle(
        self,
        dump: Dump,
        status: DumpStatus,
        verdict: DumpVerdict | None,
        reason: str,
        outcome: CheckOutcome | None = None,
    ) -> Dump:
        with self.services.database() as connection, connection.transaction():
            ledger.touch(connection, dump.dump_id, self.run_id)
            ledger.settle(connection, dump.dump_id, status, verdict=verdict, reason=reason)
            if outcome is not None:
                ledger.record_check(connection, dump.dump_id, outcome)
            return ledger.get(connection, dump.dump_id)


def family(feed: Feed) -> list[Feed]:
    """The feed, and those whose tables its loads read or change: its parent, and sets that are replaced with it."""
    parent = feed.replaced_set.parent if feed.replaced_set else None
    kin = [f for f in feeds_of(feed.sender.name) if f.dataset == parent or is_child(f, of=feed)]
    return [feed, *kin]


def is_child(other: Feed, *, of: Feed) -> bool:
    """Whether rows of the other feed are replaced as sets with rows of this one."""
    return other.replaced_set is not None and other.replaced_set.parent == of.dataset


def _arrival(sender: Sender, feeds: Sequence[Feed], item: s3.ListedObject) -> Arrival:
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


def _compression(key: str) -> Compression | None:
    suffixes: dict[str, Compression] = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
    return suffixes.get(PurePosixPath(key).suffix)


# ---------------------------------------------------------------------------------------------- without Dagster


def catch_up(flow: Flow, sender: Sender, *, each: Callable[[Dump], None] | None = None) -> list[Dump]:
    """Find and load everything of a sender that is open, one dump after another, oldest first.

    What a sensor and its runs do, in one process: for a CronJob or a terminal. Transient trouble is retried as by
    Dagster's retry policy; a dump that outlasts it stays open, and the next call tries again.

    Args:
        flow: the steps.
        sender: whose inbox.
        each: told of each dump before it is worked on.

    Returns:
        The dumps as they ended, those without a contract included.

    Raises:
        Transient, ClaimsPipelineError: the inbox or the database could not be reached at all.
    """
    feeds: dict[str | None, Feed] = {feed.dataset: feed for feed in feeds_of(sender.name)}
    flow.prepare([])
    found = _patiently(flow.discover, sender)
    _patiently(flow.keep_unknown, found.strange)
    done = list(found.strange)
    with flow.services.database() as connection:
        for dump in found.strange:  # no step takes them in hand, and the run's report is to name them
            ledger.touch(connection, dump.dump_id, flow.run_id)
    ready: list[Feed] = []
    for dump in found.open:
        if each:
            each(dump)
        feed = feeds[dump.dataset]
        try:
            if feed not in ready:
                flow.prepare(family(feed))
                ready.append(feed)
            for step in (flow.archive, flow.validate, flow.load):
                if dump.is_open:
                    dump = _patiently(step, dump, feed)
        except Exception as error:
            reason = f"{safe_text(error)} at {whereabouts(error)}; still open, the next run goes on with it"
            dump = replace(dump, reason=reason)
        done.append(dump)
    return done


_patiently = tenacity.Retrying(
    retry=tenacity.retry_if_exception_type(Transient),
    wait=tenacity.wait_exponential_jitter(multiplier=2, max=30),
    stop=tenacity.stop_after_attempt(5),
    reraise=True,
)
