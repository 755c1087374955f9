"""What killed runs left behind in S3: copies and frames that no dump needs, uploads that never ended.

Belongs here: comparing the archive with the ledger. Does not belong here: what is old (retention.py), calls of S3.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence

from claims_pipeline.landing import layout, s3, s3_deletion
from claims_pipeline.landing.s3 import ListedObject
from claims_pipeline.upkeep.pruning import LEFTOVER_AGE, Scope, Tally
from claims_pipeline.vocabulary import DumpStatus
from claims_pipeline.warehouse import upkeep as sql
from claims_pipeline.warehouse.ledger import Dump
from claims_pipeline.warehouse.upkeep import Known


def raw(scope: Scope, apply: bool, tally: Tally) -> None:
    """Copies of dumps that are not the one that the ledger names."""
    compare(scope, "raw/", functools.partial(_is_raw_leftover, scope), apply, tally)


def frames(scope: Scope, apply: bool, tally: Tally) -> None:
    """Frames that are neither in effect nor the newest."""
    compare(scope, "validated/", _is_frame_leftover, apply, tally)


def compare(
    scope: Scope, prefix: str, is_leftover: Callable[[ListedObject, Dump, Known], bool], apply: bool, tally: Tally
) -> None:
    """Compare a listing with the ledger, page by page: memory does not grow with the archive.

    Args:
        scope: the archive, and the moment that ages are counted from.
        prefix: what is listed.
        is_leftover: whether an object of a dump that is at rest goes.
        apply: delete; otherwise only count.
        tally: what is counted.
    """
    for page in s3.list_objects(scope.services.s3, scope.bucket, prefix):
        old = [item for item in page if item.last_modified < scope.now - LEFTOVER_AGE]
        numbered = [(item, found[0]) for item in old if (found := layout.dump_folder(item.key)) is not None]
        if foreign := len(old) - len(numbered):
            tally.note("not of this project, kept", foreign)
        keys = [key for item, _ in numbered for key in (item.key, layout.noted(item.key))]
        with scope.services.database() as connection:
            known = sql.known(connection, dump_ids=[number for _, number in numbered], keys=keys)
        gone = []
        for item, number in numbered:
            dump = known.dumps.get(number)
            if dump is None:
                tally.note("unknown to the ledger, kept")
            elif known.is_at_rest(number) and is_leftover(item, dump, known):
                gone.append(item)
        count(gone, tally)
        if apply:
            delete(scope, gone)


def _is_raw_leftover(scope: Scope, item: ListedObject, dump: Dump, known: Known) -> bool:
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
    manifest = _manifest(scope, bytes_key)
    if manifest is None:
        return item.key == bytes_key
    same = (manifest.get("bucket"), manifest.get("key"), manifest.get("etag")) == (dump.bucket, dump.key, dump.etag)
    return same and dump.archive_key is not None and dump.raw_pruned_at is None


def _manifest(scope: Scope, bytes_key: str) -> dict[str, object] | None:
    key = layout.manifest_key(bytes_key)
    if not s3.exists(scope.services.s3, bucket=scope.bucket, key=key):
        return None
    with s3.open_object(scope.services.s3, bucket=scope.bucket, key=key) as body:
        manifest: dict[str, object] = json.load(body)
    return manifest


def uploads(scope: Scope, apply: bool, tally: Tally) -> None:
    """Parts of uploads to the archive and the backups that were begun and never ended."""
    client = scope.services.s3
    for bucket in sorted({scope.bucket, scope.services.settings.backup_bucket or scope.bucket}):
        for page in s3_deletion.incomplete_uploads(client, bucket):
            for upload in page:
                if upload.begun < scope.now - LEFTOVER_AGE:
                    tally.add(at=upload.begun, size=s3_deletion.upload_size(client, upload))
                    if apply:
                        s3_deletion.abort_upload(client, upload)


def delete(scope: Scope, items: Sequence[ListedObject]) -> None:
    """Delete objects of the archive."""
    s3_deletion.delete_objects(scope.services.s3, bucket=scope.bucket, keys=[item.key for item in items])


def count(items: Sequence[ListedObject], tally: Tally) -> None:
    """Add objects to a tally."""
    for item in items:
        tally.add(at=item.last_modified, size=item.size)


def _is_frame_leftover(item: ListedObject, dump: Dump, known: Known) -> bool:
    """Whether neither the frames in effect nor the newest ones are in this folder."""
    del known
    return item.key.rpartition("/")[0] not in (dump.validated_key, dump.loaded_key)
