"""The asset `ops/prune` and its schedule: what may be pruned is listed, and deleted if the settings say so.

Belongs here: the face of `upkeep.prune` in Dagster. Does not belong here: what may go (upkeep, event_log.py).
"""

from collections.abc import Sequence

import dagster as dg

from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.orchestration import liveness
from claims_pipeline.orchestration.assets import safe_failures
from claims_pipeline.orchestration.event_log import dagster_chores
from claims_pipeline.orchestration.resources import PipelineResource
from claims_pipeline.orchestration.upkeep import upkeep_asset, upkeep_schedule
from claims_pipeline.upkeep import Pruned, chores_of, prune

PRUNE = dg.AssetKey(["ops", "prune"])


@upkeep_asset(
    PRUNE,
    description="Deletes leftovers of killed runs, Dagster's old runs and logs, and objects past the retention of "
    "their contract; audited in ops.upkeep. With CLAIMS_PRUNE=dry-run it only lists them.",
    kinds={"postgres", "s3"},
)
def prune_asset(context: dg.AssetExecutionContext, pipeline: PipelineResource) -> dg.MaterializeResult[None]:
    """List what would go, then delete it unless the settings say dry-run; `ops.upkeep` remembers both."""
    with safe_failures(context):
        run_id, services, settings = context.run.run_id, pipeline.services, pipeline.settings
        liveness.hold(run_id, settings.run_locks)
        pipeline.flow(run_id).prepare([])
        chores = [*chores_of(services), *dagster_chores(context.instance, settings)]
        done: list[Pruned] = []
        for apply in (False, True) if settings.prune == "apply" else (False,):
            done = prune(services, chores, apply=apply, run_id=run_id, requested_by="ops/prune")
            for one in done:
                said = "gone" if apply else "would go"
                context.log.info("%s %s: %s, %s bytes %s", one.items, said, one.what, one.bytes, one.error)
        if failed := [f"{one.what}: {one.error}" for one in done if one.error]:
            raise ClaimsPipelineError(f"{len(failed)} of {len(done)} kinds were not pruned: {'; '.join(failed)}")
        return dg.MaterializeResult(
            metadata={
                "dry_run": settings.prune != "apply",
                "items": sum(one.items for one in done),
                "bytes": sum(one.bytes or 0 for one in done),
                "pruned": dg.MetadataValue.md(_table(done)),
            }
        )


def prune_schedule() -> dg.ScheduleDefinition:
    """Daily, after the backup: what goes is in it."""
    return upkeep_schedule(
        PRUNE, cron="0 3 * * *", description="Prunes what has no use any more, daily; CLAIMS_PRUNE=dry-run only lists."
    )


def _table(done: Sequence[Pruned]) -> str:
    lines = ["| what | items | bytes | oldest | besides |", "| --- | ---: | ---: | --- | --- |"]
    for one in done:
        size = "-" if one.bytes is None else f"{one.bytes:,}"
        oldest = f"{one.oldest:%Y-%m-%d}" if one.oldest else "-"
        lines.append(f"| {one.what} | {one.items:,} | {size} | {oldest} | {one.besides} |")
    return "\n".join(lines)
