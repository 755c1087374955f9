"""The first step: a dump's bytes into the raw archive, and what the dump is by them.

Belongs here: copying, comparing with what the sender promises, the verdict by content. Does not belong here: reading
what the bytes say.
"""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Sequence
from typing import Any

from claims_pipeline import arrival, checks, failpoints
from claims_pipeline.errors import BadDump
from claims_pipeline.feeds import Feed, feeds_of
from claims_pipeline.feeds.sidecars import Promise
from claims_pipeline.flow.step import Step, no_rows, refuse_pruned
from claims_pipeline.landing import layout, s3, sidecars
from claims_pipeline.vocabulary import DumpStatus, DumpVerdict
from claims_pipeline.warehouse import effect, ledger
from claims_pipeline.warehouse.ledger import Dump

UNKNOWN = "unknown"
"""Folder of the raw archive where dumps lie that no contract knows."""

REPEATS = (DumpVerdict.RESENT, DumpVerdict.DUPLICATE)


def archive(step: Step, dump: Dump, feed: Feed) -> Dump:
    """See `Flow.archive`."""
    begun = time.perf_counter()
    with step.services.database() as connection:
        now = ledger.get(connection, dump.dump_id)
    if now.status is not dump.status:  # another process has gone on with it
        return now
    was_unknown = dump.archive_key is not None and dump.sha256 is None
    if dump.archive_key is not None and not was_unknown:
        return _verify_archived(step, dump, feed)
    try:
        told = arrival.promises(step.services.s3, inbox=dump.bucket, dump=dump, feed=feed)
        if dump.size_bytes == 0:
            arrival.compare_empty(told)
            return step.settle(dump, DumpStatus.SKIPPED, DumpVerdict.EMPTY, "zero bytes")
        key, copy = _copy(step, dump, feed.dataset, told)
    except BadDump as error:
        if error.rule == "dump.changed":
            return step.settle(dump, DumpStatus.SKIPPED, DumpVerdict.UNREADABLE, str(error))
        # Nothing of it is noted as archived: the same bytes under a mended sidecar are no repetition of these.
        outcome = checks.not_intact(error.rule, str(error))
        return step.settle(dump, DumpStatus.REFUSED, DumpVerdict.UNREADABLE, str(error), outcome)
    failpoints.reach("archive.copied")
    noted = judge(
        step,
        dump,
        archive_key=key,
        size=copy.size,
        sha256=copy.sha256,
        version_id=copy.version_id,
        seconds=time.perf_counter() - begun,
    )
    failpoints.reach("archive.noted")
    return noted


def judge(
    step: Step,
    dump: Dump,
    *,
    archive_key: str,
    size: int,
    sha256: str,
    version_id: str | None,
    seconds: float | None = None,
) -> Dump:
    """See `Flow.judge`."""
    intact = checks.intact(listed=dump.size_bytes, archived=size, sha256=sha256, seconds=seconds)
    feed = next((feed for feed in feeds_of(dump.sender) if feed.dataset == dump.dataset), None)
    with step.services.database() as connection, connection.transaction():
        if not ledger.is_still(connection, dump):
            return ledger.get(connection, dump.dump_id)
        verdict, same_as = effect.same_content(connection, dump, sha256, snapshot=bool(feed and feed.snapshot))
        ledger.archived(
            connection,
            dump,
            sha256=sha256,
            version_id=version_id,
            archive_key=archive_key,
            verdict=verdict,
            same_as=same_as,
            run_id=step.run_id,
        )
        ledger.record_check(connection, dump.dump_id, intact)
        if verdict in REPEATS:
            reason = f"the same bytes as dump {same_as}"
            ledger.settle(connection, dump.dump_id, DumpStatus.SKIPPED, reason=reason)
        elif verdict is DumpVerdict.EMPTY:
            ledger.settle(connection, dump.dump_id, DumpStatus.SKIPPED, reason=no_rows(feed))
        return ledger.get(connection, dump.dump_id)


def keep_unknown(step: Step, dumps: Sequence[Dump], *, most_bytes: int | None = None) -> None:
    """See `Flow.keep_unknown`."""
    for dump in dumps:
        if dump.verdict is not DumpVerdict.UNKNOWN or (most_bytes is not None and dump.size_bytes > most_bytes):
            continue
        try:
            key, _ = _copy(step, dump, UNKNOWN)
        except BadDump:  # overwritten since it was listed: the next look finds the new one
            continue
        with step.services.database() as connection:
            ledger.kept(connection, dump.dump_id, archive_key=key)


def _copy(step: Step, dump: Dump, dataset: str, told: Sequence[Promise] = ()) -> tuple[str, s3.ArchivedObject]:
    """Copy a dump into the raw archive, with a note beside it; from where it was kept while it was unknown."""
    key = layout.raw_key(
        sender=dump.sender, dataset=dataset, day=dump.delivery_day, dump_id=dump.dump_id, inbox_key=dump.key
    )
    source = s3.ListedObject(dump.bucket, dump.key, dump.etag, dump.size_bytes, dump.last_modified)
    if dump.archive_key is not None:
        source = s3.head(step.services.s3, bucket=step.archive_bucket, key=dump.archive_key)
    copy = s3.archive_object(step.services.s3, source=source, to_bucket=step.archive_bucket, to_key=key)
    arrival.compare_bytes(told, copy.sha256)
    manifest = {
        "dump_id": dump.dump_id, "feed": f"{dump.sender}/{dataset}", "bucket": dump.bucket, "key": dump.key,
        "etag": dump.etag, "version_id": copy.version_id, "size_bytes": copy.size, "sha256": copy.sha256,
        "last_modified": dump.last_modified.isoformat(), "delivery_day": dump.delivery_day.isoformat(),
        "stamp": dump.stamp.isoformat(), "arrived_at": dump.arrived_at.isoformat(),
        "archived_at": dt.datetime.now(dt.UTC).isoformat(),
        "promised": sidecars.kept(told),
    }  # fmt: skip
    _put_note(step, key, manifest)
    return key, copy


def _verify_archived(step: Step, dump: Dump, feed: Feed) -> Dump:
    assert dump.archive_key is not None  # noqa: S101 - the caller looked
    refuse_pruned(dump)
    size, sha256 = s3.digest(step.services.s3, bucket=step.archive_bucket, key=dump.archive_key)
    outcome = checks.intact(listed=dump.size_bytes, archived=size, sha256=sha256, known_sha256=dump.sha256)
    if outcome.passed and dump.loaded_key is None:
        try:
            _note_promises(step, dump, arrival.promises(step.services.s3, inbox=dump.bucket, dump=dump, feed=feed))
        except BadDump as error:
            outcome = checks.not_intact(error.rule, str(error))
    with step.services.database() as connection:
        ledger.touch(connection, dump.dump_id, step.run_id)
        ledger.record_check(connection, dump.dump_id, outcome)
        if not outcome.passed:
            ledger.settle(connection, dump.dump_id, DumpStatus.REFUSED, reason=outcome.summary)
        return ledger.get(connection, dump.dump_id)


def _note_promises(step: Step, dump: Dump, told: Sequence[Promise]) -> None:
    """Keep what sidecars promise that came, or were mended, after the dump was archived.

    Raises:
        BadDump: dump.checksum.
    """
    assert dump.archive_key is not None and dump.sha256 is not None  # noqa: S101, PT018 - it is archived
    arrival.compare_bytes(told, dump.sha256)
    if told and (note := note_of(step, dump)).get("promised") != sidecars.kept(told):
        _put_note(step, dump.archive_key, {**note, "promised": sidecars.kept(told)})


def note_of(step: Step, dump: Dump) -> dict[str, Any]:
    """The note beside an archived dump."""
    assert dump.archive_key is not None  # noqa: S101 - the caller looked
    with s3.open_object(
        step.services.s3, bucket=step.archive_bucket, key=layout.manifest_key(dump.archive_key)
    ) as body:
        note: dict[str, Any] = json.loads(body.read())
    return note


def _put_note(step: Step, archive_key: str, note: dict[str, Any]) -> None:
    s3.put_bytes(
        step.services.s3,
        bucket=step.archive_bucket,
        key=layout.manifest_key(archive_key),
        body=json.dumps(note, indent=1).encode(),
        content_type="application/json",
    )
