"""A prune: chores one after another, each counted, and audited in `ops.upkeep`.

Belongs here: what a chore is, and doing chores. Does not belong here: which there are (chores.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from claims_pipeline.errors import safe_text, whereabouts
from claims_pipeline.feeds import Feed
from claims_pipeline.services import Services
from claims_pipeline.warehouse import upkeep as sql

LEFTOVER_AGE = dt.timedelta(days=1)
"""How old a leftover must be: no step of a dump takes a day, so nothing that is in use is that old."""


class Kind(StrEnum):
    """What a chore prunes; the name in the audit."""

    VALIDATED_FRAMES = "validated_frames"
    RAW_BYTES = "raw_bytes"
    RAW_LEFTOVERS = "raw_leftovers"
    FRAME_LEFTOVERS = "frame_leftovers"
    UPLOADS = "incomplete_uploads"
    TEMP_FOLDERS = "temp_folders"
    SCRATCH_DATABASES = "scratch_databases"
    MESSAGES = "messages"
    QUARANTINE = "quarantine"
    ERASED = "erased_persons"
    DAGSTER_RUNS = "dagster_runs"
    COMPUTE_LOGS = "compute_logs"


@dataclass
class Tally:
    """What a chore has counted so far.

    Attributes:
        items: things deleted, or that would be.
        bytes: their size; None where it is not known.
        oldest: time stamp of the oldest, UTC.
        detail: further counts, names of databases; no value of a record.
    """

    items: int = 0
    bytes: int | None = 0
    oldest: dt.datetime | None = None
    detail: dict[str, object] = field(default_factory=dict)

    def add(self, *, at: dt.datetime | None, size: int | None = 0, items: int = 1) -> None:
        """Count something of a size, in bytes, and an age."""
        self.items += items
        self.bytes = None if self.bytes is None or size is None else self.bytes + size
        self.oldest = min((moment for moment in (self.oldest, at) if moment is not None), default=None)

    def note(self, name: str, count: int = 1) -> None:
        """Count something else, by name."""
        before = self.detail.get(name, 0)
        self.detail[name] = (before if isinstance(before, int) else 0) + count


Work = Callable[[bool, Tally], None]
"""Counts what goes, and deletes it where the first argument says so."""


@dataclass(frozen=True)
class Chore:
    """One kind of things to prune.

    Attributes:
        kind: its name in the audit.
        what: in words, for the table that people read.
        work: see `Work`.
    """

    kind: Kind
    what: str
    work: Work


@dataclass(frozen=True)
class Pruned:
    """What one chore did, or would have done; figures as in `Tally`.

    Attributes:
        kind: the chore's.
        what: in words.
        dry_run: whether nothing was deleted.
        items: things deleted, or that would be.
        bytes: their size; None where it is not known.
        oldest: time stamp of the oldest, UTC.
        detail: further counts.
        error: why it ended early, free of values; empty when it did not.
    """

    kind: Kind
    what: str
    dry_run: bool
    items: int
    bytes: int | None
    oldest: dt.datetime | None
    detail: dict[str, object]
    error: str

    @property
    def besides(self) -> str:
        """The further counts in words; empty for none."""
        return ", ".join(f"{count:,} {name}" for name, count in self.detail.items() if isinstance(count, int))


def prune(
    services: Services,
    chores: Sequence[Chore],
    *,
    apply: bool,
    run_id: str,
    requested_by: str,
    each: Callable[[Chore], None] | None = None,
) -> list[Pruned]:
    """Do the chores one after another, each with a row in `ops.upkeep`. One that fails does not stop the others.

    Args:
        services: the database.
        chores: see `chores_of`.
        apply: delete; otherwise only count.
        run_id: noted in the audit.
        requested_by: who or what asked, noted in the audit.
        each: told of each chore before it begins.

    Raises:
        Transient: the audit cannot be written.
    """
    done = []
    for chore in chores:
        if each:
            each(chore)
        tally, error, started = Tally(), "", dt.datetime.now(dt.UTC)
        try:
            chore.work(apply, tally)
        except Exception as failure:  # the others have nothing to do with it, and what it did is audited first
            error = f"{safe_text(failure)} at {whereabouts(failure)}"
        with services.database() as connection:
            sql.record(
                connection,
                kind=chore.kind.value,
                dry_run=not apply,
                items=tally.items,
                bytes_=tally.bytes,
                oldest=tally.oldest,
                detail=tally.detail,
                error=error,
                run_id=run_id,
                requested_by=requested_by,
                started_at=started,
            )
        done.append(
            Pruned(chore.kind, chore.what, not apply, tally.items, tally.bytes, tally.oldest, tally.detail, error)
        )
    return done


@dataclass(frozen=True)
class Scope:
    """What chores look at.

    Attributes:
        services: the parts to prune.
        now: the moment that ages are counted from; UTC.
        feeds: whose retention counts.
    """

    services: Services
    now: dt.datetime
    feeds: Sequence[Feed]

    @property
    def bucket(self) -> str:
        """The archive's."""
        return self.services.settings.archive_bucket
