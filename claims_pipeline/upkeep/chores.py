"""The chores of a prune, in their order, and those that are neither retention nor leftovers in S3.

Belongs here: the list. Does not belong here: chores of Dagster's storage (orchestration/event_log.py brings them).
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Sequence

from claims_pipeline import erasure
from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.feeds import Feed, all_feeds
from claims_pipeline.flow import Flow
from claims_pipeline.services import Services
from claims_pipeline.upkeep import leftovers, retention, temp_folders
from claims_pipeline.upkeep.pruning import LEFTOVER_AGE, Chore, Kind, Scope, Tally
from claims_pipeline.warehouse import upkeep as sql


def chores_of(
    services: Services, *, now: dt.datetime | None = None, feeds: Sequence[Feed] | None = None
) -> list[Chore]:
    """All chores but those of Dagster's storage, in their order.

    Args:
        services: the parts to prune.
        now: the moment that ages are counted from; UTC.
        feeds: whose retention counts; all that there are.
    """
    scope = Scope(services, now or dt.datetime.now(dt.UTC), all_feeds() if feeds is None else feeds)
    keep = services.settings.dagster_run_days
    works: list[tuple[Kind, str, Callable[[Scope, bool, Tally], None]]] = [
        (Kind.VALIDATED_FRAMES, "validated frames past their feed's retention", retention.validated_frames),
        (Kind.RAW_BYTES, "raw dumps past their feed's retention", retention.raw_bytes),
        (Kind.RAW_LEFTOVERS, "copies in the raw archive that no dump needs", leftovers.raw),
        (Kind.FRAME_LEFTOVERS, "validated frames that no dump names", leftovers.frames),
        (Kind.QUARANTINE, "what quarantined rows say, past their feed's retention", retention.quarantine),
        (Kind.ERASED, "rows of erased persons that are there again", _erased),
        (Kind.UPLOADS, "uploads to the archive that never ended", leftovers.uploads),
        (Kind.TEMP_FOLDERS, "temporary folders of dead processes here", temp_folders.folders),
        (Kind.SCRATCH_DATABASES, "scratch databases of dead drills", _scratch_databases),
    ]
    if keep:
        works.append((Kind.MESSAGES, f"notes of Slack messages older than {keep} days", _messages))
    return [Chore(kind, what, functools.partial(work, scope)) for kind, what, work in works]


def _erased(scope: Scope, apply: bool, tally: Tally) -> None:
    """Finish erasures that broke off, and apply the register to rows that came in another way."""
    flow = Flow(scope.services, run_id="prune")
    tally.bytes = None
    finished = erasure.finish(scope.services, apply=apply)
    tally.items += len(finished.deleted)
    for done in erasure.erase_again(flow, by="prune", dry_run=not apply):
        tally.items += sum(done.rows.values())
    if finished.undeleted:
        raise ClaimsPipelineError(
            f"{len(finished.undeleted)} folders of frames from before erasures are still there: {finished.why}"
        )


def _scratch_databases(scope: Scope, apply: bool, tally: Tally) -> None:
    """Databases that a prune has found a day ago and nobody is connected to: drills drop theirs when they end."""
    with scope.services.owner_database() as connection:
        databases = sql.scratch_databases(connection, kind=Kind.SCRATCH_DATABASES.value)
        tally.detail["found"] = [database.name for database in databases]
        for database in databases:
            if database.in_use or database.seen is None or database.seen > scope.now - LEFTOVER_AGE:
                continue
            tally.add(at=database.seen, size=database.bytes)
            if apply:
                sql.drop_scratch(connection, database.name)


def _messages(scope: Scope, apply: bool, tally: Tally) -> None:
    before = scope.now - dt.timedelta(days=scope.services.settings.dagster_run_days)
    with scope.services.database() as connection:
        count, oldest = sql.old_messages(connection, sent_before=before, delete=apply)
    tally.add(at=oldest, items=count, size=None)
