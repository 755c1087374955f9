"""The asset `ops/audit` and its schedule: the audit's chains are recomputed every day, and their heads kept elsewhere.

Belongs here: the face of `auditing` in Dagster. Does not belong here: the chains, and what tasks of upkeep have in
common (upkeep.py), such as that a failed one is told.
"""

from collections.abc import Iterator

import dagster as dg

from claims_pipeline import auditing, checks
from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.orchestration import liveness
from claims_pipeline.orchestration.assets import safe_failures
from claims_pipeline.orchestration.describe import check_result
from claims_pipeline.orchestration.resources import PipelineResource
from claims_pipeline.orchestration.upkeep import upkeep_asset, upkeep_schedule
from claims_pipeline.vocabulary import CheckName

AUDIT = dg.AssetKey(["ops", "audit"])


@upkeep_asset(
    AUDIT,
    description="The hash chains of the audit, recomputed from its entries and compared with yesterday's heads; "
    "today's are kept in the archive bucket. A broken chain fails the run, and is told.",
    kinds={"postgres", "s3"},
    checked=[(CheckName.AUDIT_UNBROKEN, "No entry of the audit was changed, removed or slipped in.")],
)
def audit_chains(
    context: dg.AssetExecutionContext, pipeline: PipelineResource
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult[None]]:
    """Verify, and keep the heads of an audit that is whole."""
    with safe_failures(context):
        run_id, services = context.run.run_id, pipeline.services
        liveness.hold(run_id, pipeline.settings.run_locks)
        pipeline.flow(run_id).prepare([])
        done = auditing.verify(services)
        outcome = checks.audit_unbroken(done.found.unbroken, done.summary, entries=done.found.entries)
        yield check_result(outcome)
        if not outcome.passed:
            raise ClaimsPipelineError(f"{outcome.summary}. `claims-pipeline audit verify` lists all of them")
        key = auditing.keep(services, done.found.heads)
        yield dg.MaterializeResult(
            metadata={
                "dagster/uri": f"s3://{services.settings.archive_bucket}/{key}",
                "entries": done.found.entries,
                "chains": len(done.found.heads),
                "seconds": done.seconds,
            }
        )


def audit_schedule() -> dg.ScheduleDefinition:
    """Daily, before the backup: what is backed up was verified."""
    return upkeep_schedule(
        AUDIT, cron="30 1 * * *", description="Verifies the audit's hash chains, daily, and keeps their heads."
    )
