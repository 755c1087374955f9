"""The second step: an archived dump, read as its contract says, into validated frames and sealed rejects.

Belongs here: where frames are written, and which doubts stop a dump. Does not belong here: reading and judging rows
(frames), deciding checks (checks.py).
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from claims_pipeline import checks, failpoints, frames
from claims_pipeline.errors import BadDump
from claims_pipeline.feeds import Feed
from claims_pipeline.feeds.drift import Delivered, compare
from claims_pipeline.flow.archiving import note_of
from claims_pipeline.flow.step import Step, refuse_pruned, waits
from claims_pipeline.frames.stream import Compression
from claims_pipeline.landing import layout, s3, sidecars
from claims_pipeline.landing.s3_files import object_writer
from claims_pipeline.vocabulary import CheckName, DumpStatus, DumpVerdict
from claims_pipeline.warehouse import ledger, reports
from claims_pipeline.warehouse.ledger import Dump

_MOST_THREADS = 4  # beyond, reading and writing are what takes the time, and memory grows
ROWS, REJECTS = "rows.parquet", "rejects.parquet"


def validate(step: Step, dump: Dump, feed: Feed) -> Dump:
    """See `Flow.validate`."""
    if dump.archive_key is None or not dump.checks.get(CheckName.INTACT.value, {}).get("passed", True):
        return dump
    key = frames_key(step, dump, feed)
    try:
        result = write_frames(step, dump, feed, key)
    except BadDump as error:
        outcome = checks.contract_refused(error.rule, str(error))
        verdict = DumpVerdict.UNREADABLE if error.rule == "dump.unreadable" else None
        return step.settle(dump, DumpStatus.REFUSED, verdict, str(error), outcome)
    failpoints.reach("validate.uploaded")
    if result.read == 0:
        return step.settle(dump, DumpStatus.SKIPPED, DumpVerdict.EMPTY, "no rows")
    validated = _validated(step, dump, feed, key, result)
    failpoints.reach("validate.settled")
    return validated


def frames_key(step: Step, dump: Dump, feed: Feed) -> str:
    """Where the frames of a dump are, validated by the contract of now."""
    return step.frames_prefix + layout.validated_key(
        sender=dump.sender,
        dataset=feed.dataset,
        day=dump.delivery_day,
        dump_id=dump.dump_id,
        contract=feed.fingerprint,
    )


def write_frames(step: Step, dump: Dump, feed: Feed, key: str) -> frames.Validation:
    """Validate a dump and store its frames under a key as they are made; nothing is stored of a dump without rows.

    Raises:
        BadDump: the contract refuses it; nothing is stored.
        Transient, ClaimsPipelineError: S3 failed, or the archive no longer has it.
    """
    bucket, client = step.archive_bucket, step.services.s3
    with (
        object_writer(client, bucket=bucket, key=f"{key}/{ROWS}") as rows,
        object_writer(client, bucket=bucket, key=f"{key}/{REJECTS}") as rejects,
    ):
        result = read(step, dump, feed, cast("BinaryIO", rows), cast("BinaryIO", rejects))
        failpoints.reach("validate.written")
        if result.read == 0:
            rows.discard()
            rejects.discard()
    return result


def read(
    step: Step, dump: Dump, feed: Feed, rows_file: Path | BinaryIO, rejects_file: Path | BinaryIO
) -> frames.Validation:
    """See `Flow.read`."""
    assert dump.archive_key is not None  # noqa: S101 - callers looked
    refuse_pruned(dump)
    told = sidecars.unkept(note_of(step, dump).get("promised", ())) if feed.sidecars.manifest else ()
    settings = step.services.settings
    with s3.open_object(step.services.s3, bucket=step.archive_bucket, key=dump.archive_key) as body:
        return frames.validate_dump(
            body,
            feed=feed,
            compression=_compression(dump.key),
            stamp=dump.stamp,
            delivery_day=dump.delivery_day,
            keys=step.services.keys,
            rows_file=rows_file,
            rejects_file=rejects_file,
            batch_bytes=settings.batch_bytes,
            threads=settings.validation_threads or min(_MOST_THREADS, os.cpu_count() or 1),
            progress=step.progress,
            promises=told,
        )


def _validated(step: Step, dump: Dump, feed: Feed, key: str, result: frames.Validation) -> Dump:
    now = Delivered(result.columns_seen, result.types)
    with step.services.database() as connection, connection.transaction():
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
            "columns": list(now.columns), "types": dict(now.types), "seconds": result.stages, "elapsed": result.elapsed,
        }  # fmt: skip
        ledger.touch(connection, dump.dump_id, step.run_id)
        ledger.validated(connection, dump, validated_key=key, contract=feed.fingerprint, validation=validation)
        asks = outcomes if feed.drift == "hold" else outcomes[1:]  # other drift is told, and no reason to wait
        doubts = [outcome.summary for outcome in asks if not outcome.passed]
        if changes and feed.drift == "freeze":
            reason = f"the feed's columns are frozen: {drift.summary}"
            ledger.settle(connection, dump.dump_id, DumpStatus.REFUSED, reason=reason)
        elif doubts and dump.approved_by is None:
            reason = waits(dump, "; ".join(doubts))
            ledger.settle(connection, dump.dump_id, DumpStatus.REFUSED, verdict=DumpVerdict.HELD, reason=reason)
        return ledger.get(connection, dump.dump_id)


def _compression(key: str) -> Compression | None:
    suffixes: dict[str, Compression] = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
    return suffixes.get(PurePosixPath(key).suffix)
