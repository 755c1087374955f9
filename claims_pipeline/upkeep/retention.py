"""What a contract's retention lets go: validated frames, raw bytes, what quarantined rows say.

Belongs here: which dumps are old enough, and what of them goes. Does not belong here: what no dump names (leftovers).
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Sequence

from claims_pipeline.feeds import Feed
from claims_pipeline.landing import layout, s3, s3_deletion
from claims_pipeline.landing.s3 import ListedObject
from claims_pipeline.upkeep import leftovers
from claims_pipeline.upkeep.pruning import Scope, Tally
from claims_pipeline.vocabulary import DumpVerdict
from claims_pipeline.warehouse import upkeep as sql
from claims_pipeline.warehouse.ledger import Dump
from claims_pipeline.warehouse.upkeep import Known, Layer

_DUMPS_AT_ONCE = 200


def validated_frames(scope: Scope, apply: bool, tally: Tally) -> None:
    """Frames of dumps that were settled long enough ago; they can be made again from the raw bytes."""

    def batch(dumps: Sequence[Dump]) -> None:
        found = [item for dump in dumps for item in _frames_of(scope, dump)]
        leftovers.count(found, tally)
        if apply:
            leftovers.delete(scope, found)

    for feed in scope.feeds:
        _past_retention(scope, feed, "validated", feed.retention.frames, apply, batch)


def raw_bytes(scope: Scope, apply: bool, tally: Tally) -> None:
    """Bytes of dumps that were settled long enough ago, where a contract lets them go at all."""

    def batch(dumps: Sequence[Dump]) -> None:
        for dump in dumps:
            tally.add(at=dump.settled_at, size=dump.size_bytes)
        if apply:
            _delete_raw(scope, dumps)

    for feed in scope.feeds:
        _past_retention(scope, feed, "raw", feed.retention.raw, apply, batch)


def _past_retention(
    scope: Scope, feed: Feed, layer: Layer, days: int | None, apply: bool, batch: Callable[[Sequence[Dump]], None]
) -> None:
    """Hand out dumps in batches; where objects are to be deleted, each is locked meanwhile, and marked afterwards.

    Deleted first and marked then: a prune that is killed in between does both again, and nothing stays that the
    ledger holds to be gone.
    """
    if days is None:
        return
    before, after = scope.now - dt.timedelta(days=days), 0
    while True:
        with scope.services.database() as connection, connection.transaction():
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


def _frames_of(scope: Scope, dump: Dump) -> list[ListedObject]:
    folders = {
        found[1]
        for key in (dump.validated_key, dump.loaded_key)
        if key is not None and (found := layout.dump_folder(key)) is not None
    }
    return [
        item
        for folder in sorted(folders)
        for page in s3.list_objects(scope.services.s3, scope.bucket, folder)
        for item in page
    ]


def _delete_raw(scope: Scope, dumps: Sequence[Dump]) -> None:
    """Delete the bytes and keep the notes beside them, with one more that says so: a rebuild reads no ledger."""
    keys = [dump.archive_key for dump in dumps if dump.archive_key is not None]
    note = {"pruned_at": scope.now.isoformat(), "by": "retention"}
    for key in keys:
        s3.put_bytes(
            scope.services.s3,
            bucket=scope.bucket,
            key=layout.pruned_key(key),
            body=json.dumps(note).encode(),
            content_type="application/json",
        )
    s3_deletion.delete_objects(scope.services.s3, bucket=scope.bucket, keys=keys)


def quarantine(scope: Scope, apply: bool, tally: Tally) -> None:
    """Empty old sealed rows, and delete the files of rejects that are as old. Places, columns and rules stay."""
    until = {
        feed.name: scope.now - dt.timedelta(days=feed.retention.quarantine)
        for feed in scope.feeds
        if feed.retention.quarantine is not None
    }
    for feed, before in until.items():
        with scope.services.database() as connection:
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
        leftovers.compare(scope, "validated/", is_old, apply, tally)
