"""The second step: an archived dump, read as its contract says, into validated frames and sealed rejects.

Belongs here: where frames are written, and which doubts stop a dump. Does not belong here: reading and judging rows
(frames), deciding checks (checks.py).
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from claims_pipeline import checks, failpoints, frames
from claims_pipeline.errors import BadDump, Transient
from claims_pipeline.feeds import Feed, feeds_of
from claims_pipeline.feeds.drift import Delivered, compare
from claims_pipeline.flow.archiving import note_of
from claims_pipeline.flow.step import Step, no_rows, refuse_pruned, waits
from claims_pipeline.frames.stream import Compression
from claims_pipeline.landing import layout, s3, sidecars
from claims_pipeline.landing.s3_files import object_writer
from claims_pipeline.vocabulary import CheckName, DumpStatus, DumpVerdict
from claims_pipeline.warehouse import erasure, ledger, reports, withheld
from claims_pipeline.warehouse.ledger import Dump
from claims_pipeline.warehouse.withheld import Register

_MOST_THREADS = 4  # beyond, reading and writing are what takes the time, and memory grows
ROWS, REJECTS = "rows.parquet", "rejects.parquet"


def validate(step: Step, dump: Dump, feed: Feed) -> Dump:
    """See `Flow.validate`."""
    if dump.archive_key is None or not dump.checks.get(CheckName.INTACT.value, {}).get("passed", True):
        return dump
    register = register_of(step, feed)
    key = frames_key(step, dump, feed, register)
    try:
        result = write_frames(step, dump, feed, key, register)
    except BadDump as error:
        outcome = checks.contract_refused(error.rule, str(error))
        verdict = DumpVerdict.UNREADABLE if error.rule == "dump.unreadable" else None
        return step.settle(dump, DumpStatus.REFUSED, verdict, str(error), outcome)
    failpoints.reach("validate.uploaded")
    if result.read == 0:
        return step.settle(dump, DumpStatus.SKIPPED, DumpVerdict.EMPTY, no_rows(feed))
    validated = _validated(step, dump, feed, key, result, register)
    failpoints.reach("validate.settled")
    return validated


def register_of(step: Step, feed: Feed) -> Register:
    """The register of erased persons, as far as it concerns a feed."""
    if feed.subject is None:
        return Register()
    with step.services.database() as connection:
        return withheld.of_feed(connection, feed)


def frames_key(step: Step, dump: Dump, feed: Feed, register: Register | None = None) -> str:
    """Where the frames of a dump are, validated by the contract of now and the register of now, if none is given."""
    register = register_of(step, feed) if register is None else register
    return step.frames_prefix + layout.validated_key(
        sender=dump.sender,
        dataset=feed.dataset,
        day=dump.delivery_day,
        dump_id=dump.dump_id,
        contract=feed.fingerprint,
        generation=register.generation,
        token_key=token_key(step, feed),
    )


def token_key(step: Step, feed: Feed) -> str:
    """Version of the key that makes a feed's tokens now; "" for a feed without tokens."""
    return step.services.keys.token.current[0] if feed.token_columns else ""


def write_frames(step: Step, dump: Dump, feed: Feed, key: str, register: Register | None = None) -> frames.Validation:
    """Validate a dump and store its frames under a key as they are made; nothing is stored of a dump without rows.

    What the dump tells of erased persons that the register does not know yet is added to it.

    Raises:
        BadDump: the contract refuses it; nothing is stored.
        Transient, ClaimsPipelineError: S3 failed, or the archive no longer has it.
    """
    bucket, client = step.archive_bucket, step.services.s3
    with (
        object_writer(client, bucket=bucket, key=f"{key}/{ROWS}") as rows,
        object_writer(client, bucket=bucket, key=f"{key}/{REJECTS}") as rejects,
    ):
        result = read(step, dump, feed, cast("BinaryIO", rows), cast("BinaryIO", rejects), register)
        failpoints.reach("validate.written")
        if result.read == 0:
            rows.discard()
            rejects.discard()
    if result.erased_keys or result.erased_tokens:
        with step.services.database() as connection:
            keys = {feed.dataset: result.erased_keys}
            withheld.add(connection, feed.sender.name, tokens=result.erased_tokens, keys=keys)
    return result


def read(
    step: Step,
    dump: Dump,
    feed: Feed,
    rows_file: Path | BinaryIO,
    rejects_file: Path | BinaryIO,
    register: Register | None = None,
) -> frames.Validation:
    """See `Flow.read`."""
    register = register_of(step, feed) if register is None else register
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
            withheld=withheld_from(register, feed),
        )


def withheld_from(register: Register, feed: Feed) -> frames.Withheld:
    """What a feed's rows are compared with."""
    subject = feed.subject
    if subject is None or not register:
        return frames.Withheld()
    parents: frozenset[tuple[str, ...]] = frozenset()
    if subject.of and (keys := register.keys.get(subject.of)):
        order = next((f.key for f in feeds_of(feed.sender.name) if f.dataset == subject.of), subject.key)
        places = [order.index(name) for name in subject.key]  # as this feed names them
        parents = frozenset(tuple(key[place] for place in places) for key in keys)
    own = register.keys.get(feed.dataset, frozenset())
    return frames.Withheld(register.tokens if subject.tokens else {}, own, parents)


def _validated(step: Step, dump: Dump, feed: Feed, key: str, result: frames.Validation, register: Register) -> Dump:
    now = Delivered(result.columns_seen, result.types)
    with step.services.database() as connection, connection.transaction():
        # Before the ledger's row is locked: an erasure locks them in this order.
        if feed.subject and not withheld.is_still(connection, feed.sender.name, register.generation):
            _to_be_deleted(step, feed, key)
            raise Transient(f"a person was erased while dump {dump.dump_id} was validated: it is to be validated again")
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
            "erased": len(result.erased),
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


def _to_be_deleted(step: Step, feed: Feed, key: str) -> None:
    """Have frames that may hold a person who was erased meanwhile deleted for good, by the next erasure or prune."""
    with step.services.database() as connection:
        latest = withheld.generation(connection, feed.sender.name)
        erasure.to_be_deleted(connection, latest, [key])


def _compression(key: str) -> Compression | None:
    suffixes: dict[str, Compression] = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
    return suffixes.get(PurePosixPath(key).suffix)
