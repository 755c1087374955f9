"""What the raw archive says of its dumps: the manifests and notes beside them.

Belongs here: reading them. Does not belong here: what is made of them.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.feeds import Feed
from claims_pipeline.flow import UNKNOWN
from claims_pipeline.landing import layout, s3
from claims_pipeline.services import Services
from claims_pipeline.warehouse.rebuilt import Entry

_READERS = 8  # threads that read manifests: each waits for S3, not for the processor


@dataclass(frozen=True)
class Archived:
    """A dump as the raw archive knows it.

    Attributes:
        entry: what its manifest says.
        sha256: of its bytes, hex, as they were archived.
        at: when that was, UTC, just before it was decided what it is.
        present: whether its bytes are still there.
        decided: whether notes of decisions lie beside it.
    """

    entry: Entry
    sha256: str
    at: dt.datetime
    present: bool
    decided: bool


def archived_dumps(services: Services, feeds: Sequence[Feed] | None = None) -> list[Archived]:
    """Every dump that the raw archive holds a manifest of, in the order of arrival.

    Args:
        services: whose archive.
        feeds: only these; None for all, those included that no contract knows.

    Raises:
        ClaimsPipelineError: a manifest cannot be understood.
        Transient: S3 failed.
    """
    bucket = services.settings.archive_bucket
    prefixes = ["raw/"] if feeds is None else [layout.raw_prefix(feed.sender.name, feed.dataset) for feed in feeds]
    keys = {item.key for prefix in prefixes for page in s3.list_objects(services.s3, bucket, prefix) for item in page}
    suffix = layout.manifest_key("")
    # A file of a sender may itself be named like a manifest: then it has one.
    raw = [key.removesuffix(suffix) for key in keys if key.endswith(suffix) and layout.manifest_key(key) not in keys]
    decided = {match[1] for key in keys if (match := _DECISION.fullmatch(key))}

    def understood(key: str) -> Archived:
        with s3.open_object(services.s3, bucket=bucket, key=layout.manifest_key(key)) as body:
            return _understood(body.read(), key, present=key in keys, decided=key in decided)

    with ThreadPoolExecutor(_READERS) as pool:
        found = list(pool.map(understood, sorted(raw)))
    # A dump that was unknown at first lies in the archive twice: what it was recognised as, the later one here, counts.
    found.sort(key=lambda dump: (dump.entry.dump_id, dump.entry.dataset is not None))
    return list({dump.entry.dump_id: dump for dump in found}.values())


_DECISION = re.compile(r"(.+)\.decision\.[0-9]+\.json")


def _understood(body: bytes, key: str, *, present: bool, decided: bool) -> Archived:
    try:
        said = json.loads(body)
        sender, _, dataset = said["feed"].partition("/")
        modified = dt.datetime.fromisoformat(said["last_modified"])
        entry = Entry(
            dump_id=int(said["dump_id"]),
            sender=sender,
            dataset=None if dataset == UNKNOWN else dataset,
            bucket=said["bucket"],
            key=said["key"],
            etag=said["etag"],
            version_id=said["version_id"],
            size_bytes=int(said["size_bytes"]),
            last_modified=modified,
            delivery_day=dt.date.fromisoformat(said["delivery_day"]),
            stamp=dt.datetime.fromisoformat(said["stamp"]),
            # Manifests of the first version do not tell when their dump was found, and when archived.
            arrived_at=dt.datetime.fromisoformat(said["arrived_at"]) if "arrived_at" in said else modified,
            archive_key=key,
        )
        at = dt.datetime.fromisoformat(said["archived_at"]) if "archived_at" in said else modified
        return Archived(entry, said["sha256"], at, present, decided)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ClaimsPipelineError(f"the archive's manifest {layout.manifest_key(key)} cannot be understood") from None
