"""Proving that the audit is what was written: its chains recomputed, and compared with heads kept in the archive.

Belongs here: where heads are kept, and which of them count. Does not belong here: the chains (warehouse/audit.py).

Whoever owns the database can write the audit anew, chains included. Heads are therefore kept below `audit/` in the
archive bucket, one object a day, where versioning or object lock protect them; every verification compares with the
newest. Heads of an audit that is broken are never kept by themselves: a person who knows why keeps them by hand.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace

from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.landing import s3
from claims_pipeline.landing.s3 import ListedObject
from claims_pipeline.services import Services
from claims_pipeline.warehouse import audit
from claims_pipeline.warehouse.audit import Break, Damage, Head, Verified
from claims_pipeline.warehouse.migrate import set_up_at

PREFIX = "audit/"
MOST_DAYS_WITHOUT_HEADS = 2
"""Heads are kept daily: an older audit without any has lost them, and could have been written anew unnoticed."""

_KEY = re.compile(rf"{PREFIX}heads-\d{{8}}T\d{{6}}Z\.json")


@dataclass(frozen=True)
class Outcome:
    """A verification of the audit.

    Attributes:
        found: chains, entries and what is broken.
        compared_with: the kept heads that history was compared with: a key of the archive bucket, or a file's name;
            empty for none.
        seconds: that it took.
    """

    found: Verified
    compared_with: str
    seconds: float

    @property
    def summary(self) -> str:
        """What was found, in a line."""
        if self.found.unbroken:
            against = f", unchanged since {self.compared_with}" if self.compared_with else "; no heads are kept yet"
            return f"{self.found.entries:,} entries in {len(self.found.heads)} chains are what was written{against}"
        first = self.found.breaks[0]
        entry = f" entry {first.entry_id}" if first.entry_id is not None else ""
        return (
            f"{len(self.found.breaks)} breaks in the audit; first: chain {first.chain!r}, {first.table}{entry} "
            f"{first.what}: {first.note}"
        )


def verify(
    services: Services,
    *,
    heads: Mapping[str, Head] | None = None,
    named: str = "",
    progress: Callable[[int], None] | None = None,
) -> Outcome:
    """Recompute all chains, and compare with kept heads.

    Args:
        services: the database and S3.
        heads: what to compare with; None: the newest heads of the archive. That there are none is a break once the
            audit is older than `MOST_DAYS_WITHOUT_HEADS`.
        named: what these heads are called.
        progress: told of links read since it was told last.

    Raises:
        ClaimsPipelineError: the kept heads cannot be read.
        Transient: S3 or the database failed.
    """
    begun = time.perf_counter()
    if heads is None:
        heads, named = newest_kept(services)
    with services.owner_database() as connection:  # runs may append to the audit, and not read all of it
        found = audit.verify(connection, kept=heads, progress=progress)
        if not heads and not named and (days := audit.days_old(connection)) > MOST_DAYS_WITHOUT_HEADS:
            note = f"no heads are kept, and the audit is {days} days old; if you know why: `audit heads --keep`"
            found = replace(
                found, breaks=(*found.breaks, Break("-", Damage.MISSING, f"archive: {PREFIX}", None, None, note))
            )
    return Outcome(found, named, round(time.perf_counter() - begun, 3))


def newest_kept(services: Services) -> tuple[dict[str, Head], str]:
    """The newest heads in the archive, and their key; none and "" where none are kept.

    Raises:
        ClaimsPipelineError: they cannot be read.
        Transient: S3 failed.
    """
    newest = max((item.key for item in _kept(services)), default="")
    if not newest:
        return {}, ""
    with s3.open_object(services.s3, bucket=services.settings.archive_bucket, key=newest) as body:
        return read_heads(body.read(), newest), newest


def _kept(services: Services) -> Iterator[ListedObject]:
    """The kept heads, as a listing of the archive shows them."""
    for page in s3.list_objects(services.s3, services.settings.archive_bucket, PREFIX):
        yield from (item for item in page if _KEY.fullmatch(item.key))


def age(services: Services) -> float:
    """Seconds since heads were kept last: verifications that find the audit unbroken do it. Tells when they stop.

    Heads that a person keeps by hand count, too. Without any: seconds since the database was set up.

    Args:
        services: as the loader, who may list heads and not write them, so that a loader in wrong hands cannot hide
            that nothing is verified.

    Raises:
        Transient, ClaimsPipelineError: S3 or the database failed.
    """
    kept = max((item.last_modified for item in _kept(services)), default=None)
    if kept is None:
        with services.database() as connection:
            kept = set_up_at(connection)
    return (dt.datetime.now(dt.UTC) - kept).total_seconds()


def keep(services: Services, heads: Mapping[str, Head]) -> str:
    """Keep heads in the archive, as the ones that later verifications compare with; returns their key.

    Raises:
        Transient, ClaimsPipelineError: S3 failed or refused.
    """
    key = f"{PREFIX}heads-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%SZ}.json"
    s3.put_bytes(
        services.s3,
        bucket=services.settings.archive_bucket,
        key=key,
        body=write_heads(heads).encode(),
        content_type="application/json",
    )
    return key


def write_heads(heads: Mapping[str, Head]) -> str:
    """Heads as JSON: {"chain": {"entries": 12, "hash": "..."}}."""
    return json.dumps({chain: asdict(head) for chain, head in sorted(heads.items())}, indent=1)


def read_heads(text: str | bytes, name: str) -> dict[str, Head]:
    """Heads from their JSON.

    Raises:
        ClaimsPipelineError: they are none; it says which by `name`.
    """
    try:
        return {str(chain): Head(int(head["entries"]), str(head["hash"])) for chain, head in json.loads(text).items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ClaimsPipelineError(f"{name} does not hold the heads of an audit, as `audit heads` prints them") from None
