"""The third step: validated frames into the table.

Belongs here: where the frames of a dump are found, and what the ledger is told. Does not belong here: the transaction
(warehouse).
"""

from __future__ import annotations

from typing import BinaryIO

import psycopg

from claims_pipeline import checks
from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.feeds import Feed, children_of
from claims_pipeline.flow.step import Step
from claims_pipeline.flow.validating import (
    REJECTS,
    ROWS,
    frames_key,
    register_of,
    token_key,
    validate,
    write_frames,
)
from claims_pipeline.frames import ValidatedRows, rejects_in, rows_schema
from claims_pipeline.frames import seal as seal_bytes
from claims_pipeline.landing import layout, s3
from claims_pipeline.landing.s3_files import object_reader
from claims_pipeline.vocabulary import CheckName, DumpStatus
from claims_pipeline.warehouse import ledger, reports
from claims_pipeline.warehouse import load as warehouse_load
from claims_pipeline.warehouse.apart import Seal
from claims_pipeline.warehouse.ledger import Dump
from claims_pipeline.warehouse.load import Loaded, TooManyDeletedError


def load(step: Step, dump: Dump, feed: Feed) -> Dump:
    """See `Flow.load`."""
    if dump.status is DumpStatus.VALIDATED and layout.token_key_of(dump.validated_key or "") != token_key(step, feed):
        dump = validate(step, dump, feed)  # another key is in use since
    if dump.status is not DumpStatus.VALIDATED or dump.validation is None or dump.validated_key is None:
        return dump
    validation = dump.validation
    try:
        rows = _stored(step, f"{dump.validated_key}/{ROWS}")
        rejects = rejects_in(_open(step, f"{dump.validated_key}/{REJECTS}"))
    except ClaimsPipelineError:
        with step.services.database() as connection:
            now = ledger.get(connection, dump.dump_id)
        if now.validated_key != dump.validated_key:  # written again without an erased person: the next run takes those
            return now
        raise
    try:
        with step.services.database() as connection, connection.transaction():
            done = warehouse_load.load_dump(
                connection,
                feed,
                dump,
                rows=rows,
                rejects=rejects,
                read=validation["read"],
                filtered=validation["filtered"],
                seal=sealer(step, feed),
                frames=lambda feed, dump: frames_in_effect(step, feed, dump),
                children=children_of(feed),
                run_id=step.run_id,
                spent=_spent(dump),
            )
            return _loaded(step, connection, dump, feed, done)
    except TooManyDeletedError as error:
        outcome = checks.deletions_within_budget(feed, deleted=error.deleted, stored=error.stored)
        return step.hold(dump, outcome)


def sealer(step: Step, feed: Feed) -> Seal:
    """Seals rows that turn out to belong into quarantine when they meet the table."""
    ring = step.services.keys.quarantine
    return lambda row_number, content: seal_bytes(content, ring=ring, context=f"{feed.name}:{row_number}")


def frames_in_effect(step: Step, feed: Feed, dump: Dump) -> ValidatedRows:
    """See `Flow.frames_in_effect`."""
    if dump.loaded_key is not None and s3.exists(
        step.services.s3, bucket=step.archive_bucket, key=f"{dump.loaded_key}/{ROWS}"
    ):
        rows = _stored(step, f"{dump.loaded_key}/{ROWS}")
        if rows.schema.equals(rows_schema(feed)):
            return rows
    if dump.archive_key is None or not s3.exists(step.services.s3, bucket=step.archive_bucket, key=dump.archive_key):
        raise ClaimsPipelineError(
            f"dump {dump.dump_id} ({feed.name}, {dump.delivery_day}) must be merged again after an earlier "
            "one, but neither its validated rows nor its raw bytes are in the archive: retention took them"
        )
    register = register_of(step, feed)
    key = frames_key(step, dump, feed, register)
    write_frames(step, dump, feed, key, register)
    return _stored(step, f"{key}/{ROWS}")


def _stored(step: Step, key: str) -> ValidatedRows:
    return ValidatedRows(_open(step, key), progress=step.progress)


def _open(step: Step, key: str) -> BinaryIO:
    return object_reader(step.services.s3, bucket=step.archive_bucket, key=key)


def _spent(dump: Dump) -> dict[str, float]:
    """Seconds by stage of the steps before the load, for the audit."""
    archived = dump.checks.get(CheckName.INTACT.value, {}).get("figures", {})
    found: dict[str, float] = {"archive": archived["seconds"]} if "seconds" in archived else {}
    validation = dump.validation or {}
    if "elapsed" in validation:
        found["validation"] = validation["elapsed"]
    found |= validation.get("seconds", {})
    return found


def _loaded(step: Step, connection: psycopg.Connection, dump: Dump, feed: Feed, done: Loaded | None) -> Dump:
    ledger.touch(connection, dump.dump_id, step.run_id)
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
