"""Backups as they lie in S3: their keys, the manifest beside each dump, which there are, and which are kept.

Belongs here: the form of a backup in the bucket, and the rule of retention. Does not belong here: making and restoring
dumps (warehouse.pgdump), and when that happens (backup.py).

    backups/20261122T020000Z/warehouse.dump    pg_dump's custom format
    backups/20261122T020000Z/manifest.json     written last: without it there is no backup, only a leftover
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.landing import s3

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PREFIX = "backups/"
_STAMP = "%Y%m%dT%H%M%SZ"
_KEY = re.compile(rf"^{PREFIX}(?P<stamp>\d{{8}}T\d{{6}}Z)/(?P<file>[^/]+)$")
_FORM = 1


@dataclass(frozen=True)
class TableContent:
    """A table as it was at the backup's snapshot: how many rows, and their fingerprint."""

    schema: str
    table: str
    rows: int
    digest: str


@dataclass(frozen=True)
class Manifest:
    """What a backup holds, and how it is known to be whole.

    Attributes:
        stamp: UTC, to the second: when it was begun, and its name.
        bytes: compressed size of the dump.
        sha256: hex, of the dump.
        seconds: that the dump and the fingerprints took.
        database_bytes: size of the database, indexes included.
        server_version: of the server that was dumped.
        pg_dump_version: of the program.
        migrations: files applied to the database.
        tables: all of the database, as of the dump's own snapshot.
    """

    stamp: dt.datetime
    bytes: int
    sha256: str
    seconds: float
    database_bytes: int
    server_version: str
    pg_dump_version: str
    migrations: tuple[str, ...]
    tables: tuple[TableContent, ...]

    @property
    def name(self) -> str:
        """How people call it: its stamp."""
        return stamp_name(self.stamp)

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(table.rows for table in self.tables)


@dataclass(frozen=True)
class Stored:
    """What lies below one stamp: whole if there is a manifest."""

    stamp: dt.datetime
    whole: bool
    keys: tuple[str, ...]
    bytes: int


def stamp_name(stamp: dt.datetime) -> str:
    """A stamp as it stands in keys."""
    return stamp.astimezone(dt.UTC).strftime(_STAMP)


def dump_key(stamp: dt.datetime) -> str:
    """Key of a backup's dump."""
    return f"{PREFIX}{stamp_name(stamp)}/warehouse.dump"


def manifest_key(stamp: dt.datetime) -> str:
    """Key of a backup's manifest."""
    return f"{PREFIX}{stamp_name(stamp)}/manifest.json"


def stored(client: S3Client, bucket: str) -> list[Stored]:
    """Everything below `backups/`, by stamp, newest first. Other keys are none of ours and are left out.

    Raises:
        Transient, ClaimsPipelineError: see `s3.s3_errors`.
    """
    found: dict[str, list[s3.ListedObject]] = {}
    for page in s3.list_objects(client, bucket, PREFIX):
        for item in page:
            if match := _KEY.match(item.key):
                found.setdefault(match["stamp"], []).append(item)
    return [
        Stored(
            stamp := dt.datetime.strptime(name, _STAMP).replace(tzinfo=dt.UTC),
            whole=any(item.key == manifest_key(stamp) for item in items),
            keys=tuple(item.key for item in items),
            bytes=sum(item.size for item in items),
        )
        for name, items in sorted(found.items(), reverse=True)
    ]


def write_manifest(client: S3Client, bucket: str, manifest: Manifest) -> None:
    """Write the manifest, which makes the backup exist.

    Raises:
        Transient, ClaimsPipelineError: see `s3.s3_errors`.
    """
    body = {"form": _FORM, **asdict(manifest), "stamp": manifest.stamp.isoformat()}
    s3.put_bytes(
        client,
        bucket=bucket,
        key=manifest_key(manifest.stamp),
        body=json.dumps(body, indent=2).encode(),
        content_type="application/json",
    )


def read_manifest(client: S3Client, bucket: str, stamp: dt.datetime) -> Manifest:
    """The manifest of a backup.

    Raises:
        Transient, ClaimsPipelineError: see `s3.s3_errors`; or it is not of a form that this version knows.
    """
    key = manifest_key(stamp)
    with s3.open_object(client, bucket=bucket, key=key) as stream:
        body = stream.read()
    try:
        found = json.loads(body)
        if found.pop("form") != _FORM:
            raise ClaimsPipelineError(f"s3://{bucket}/{key} is of another version of claims_pipeline: use that one")
        found |= {
            "stamp": dt.datetime.fromisoformat(found["stamp"]),
            "migrations": tuple(found["migrations"]),
            "tables": tuple(TableContent(**table) for table in found["tables"]),
        }
        return Manifest(**found)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ClaimsPipelineError(f"s3://{bucket}/{key} is no manifest: it was changed after it was written") from None


def delete(client: S3Client, bucket: str, item: Stored) -> None:
    """Delete one backup, its manifest first: a deletion that breaks off leaves no backup that only looks whole.

    Raises:
        Transient, ClaimsPipelineError: see `s3.s3_errors`.
    """
    for key in sorted(item.keys, key=lambda key: key != manifest_key(item.stamp)):
        with s3.s3_errors(f"deleting s3://{bucket}/{key}"):
            client.delete_object(Bucket=bucket, Key=key)


def retained(stamps: Iterable[dt.datetime], *, days: int, weeks: int, months: int) -> set[dt.datetime]:
    """Which backups are kept: the newest of each of the last days, ISO weeks and months that have one (UTC). Pure.

    Periods without a backup do not count, so that nothing is deleted for the mere passing of time. The newest backup of
    all is always kept.

    Args:
        stamps: of whole backups, aware.
        days: of how many days.
        weeks: of how many weeks.
        months: of how many months.
    """
    newest_first = sorted((stamp.astimezone(dt.UTC) for stamp in stamps), reverse=True)
    kept = set(newest_first[:1])
    kept |= _newest_of(newest_first, days, lambda stamp: stamp.date())
    kept |= _newest_of(newest_first, weeks, lambda stamp: stamp.isocalendar()[:2])
    kept |= _newest_of(newest_first, months, lambda stamp: (stamp.year, stamp.month))
    return kept


def days_left(
    stamps: Iterable[dt.datetime], *, today: dt.date, days: int, weeks: int, months: int
) -> dict[dt.datetime, dt.date | None]:
    """The day on which each backup is deleted if one is made every day from now on; None: not foreseen. Pure.

    Args:
        stamps: of whole backups, aware.
        today: UTC.
        days: see `retained`, like the others.
        weeks: see there.
        months: see there.
    """
    there = list(stamps)
    left: dict[dt.datetime, dt.date | None] = dict.fromkeys(there)
    made: list[dt.datetime] = []
    for ahead in range(1, days + 7 * weeks + 31 * months + 32):
        day = today + dt.timedelta(days=ahead)
        made.append(dt.datetime.combine(day, dt.time(2), dt.UTC))
        kept = retained([*there, *made], days=days, weeks=weeks, months=months)
        for stamp in [stamp for stamp in there if stamp not in kept]:
            left[stamp] = day
            there.remove(stamp)
        made = [stamp for stamp in made if stamp in kept]
        if not there:
            break
    return left


def _newest_of(
    newest_first: Sequence[dt.datetime], periods: int, period_of: Callable[[dt.datetime], object]
) -> set[dt.datetime]:
    newest: dict[object, dt.datetime] = {}
    for stamp in newest_first:
        newest.setdefault(period_of(stamp), stamp)
    return set(list(newest.values())[:periods])
