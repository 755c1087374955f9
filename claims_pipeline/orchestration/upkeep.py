"""Upkeep in Dagster: what every task of the group "upkeep" has in common, and the assets of backup and restore drill.

Belongs here: when tasks run, what they show, and that a failed one is told. Does not belong here: the work (backup.py).
"""

import datetime as dt
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import dagster as dg

from claims_pipeline import auditing, checks
from claims_pipeline.backup import Backups, Restored, describe
from claims_pipeline.errors import ClaimsPipelineError, Transient, safe_text
from claims_pipeline.feeds import all_senders
from claims_pipeline.landing import backups as stored
from claims_pipeline.orchestration import liveness
from claims_pipeline.orchestration.assets import TRANSIENT, safe_failures
from claims_pipeline.orchestration.describe import check_result
from claims_pipeline.orchestration.resources import PipelineResource
from claims_pipeline.reporting import run_url
from claims_pipeline.vocabulary import CheckName
from claims_pipeline.warehouse import backup_log

GROUP = "upkeep"
BACKUP = dg.AssetKey(["ops", "backup"])
RESTORE_DRILL = dg.AssetKey(["ops", "restore_drill"])

AS_OWNER = {
    "dagster-k8s/config": json.dumps(
        {
            "container_config": {"env_from": [{"secret_ref": {"name": "claims-pipeline-owner"}}]},
            "pod_spec_config": {"service_account_name": "claims-pipeline-owner"},
        }
    )
}
"""Tags of runs of upkeep: on Kubernetes they alone get the owner's account and secret (deploy/kubernetes/base). Added
to what the run launcher gives every run; other launchers do not look at it."""

OLDEST_BACKUP = dt.timedelta(days=2)
"""Backups are made daily: one that is older says that a whole day's failed."""


# ---------------------------------------------------------------------------------------------- what tasks share


@dg.failure_hook(required_resource_keys={"pipeline"})
def tell_of_failed_upkeep(context: dg.HookContext) -> None:
    """After a task that failed for good: tell Slack and Datadog."""
    try:
        pipeline: PipelineResource = context.resources.pipeline
        raised = context.op_exception
        pipeline.alerts().upkeep_failed(
            task=context.step_key.rpartition("__")[2],
            error=str(raised.description) if isinstance(raised, dg.Failure) else safe_text(raised) if raised else "",
            run_id=context.run_id,
            run_url=run_url(pipeline.settings.dagster_url, context.run_id),
        )
    except Exception as error:  # a hook that fails must not disturb the run
        context.log.error("the failed task was not told: %s", safe_text(error))


def upkeep_asset(
    key: dg.AssetKey,
    *,
    description: str,
    kinds: set[str],
    deps: Sequence[dg.AssetKey] = (),
    checked: Sequence[tuple[CheckName, str]] = (),
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """An asset of the group: no partitions, one at a time, a failure is told."""
    return dg.asset(
        key=key,
        deps=list(deps),
        group_name=GROUP,
        kinds=kinds,
        owners=sorted({owner for sender in all_senders() for owner in sender.owners}),
        description=description,
        check_specs=[dg.AssetCheckSpec(name.value, asset=key, description=text) for name, text in checked],
        retry_policy=TRANSIENT,
        pool=GROUP,
        hooks={tell_of_failed_upkeep},
        code_version="1",
        output_required=True,
    )


def upkeep_schedule(key: dg.AssetKey, *, cron: str, description: str) -> dg.ScheduleDefinition:
    """A schedule of one task, in UTC, on by default; named like the asset."""
    return dg.ScheduleDefinition(
        name=key.path[-1],
        target=dg.AssetSelection.assets(key),
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=description,
        tags=AS_OWNER,
    )


def tell_killed(pipeline: PipelineResource, run: dg.DagsterRun) -> None:
    """Tell of tasks of upkeep whose run was killed, which no hook has told."""
    for key in sorted(run.asset_selection or (), key=lambda key: key.path):
        if key.path[0] == BACKUP.path[0]:
            pipeline.alerts().upkeep_failed(
                task=key.path[-1],
                error="its process was killed, or never started",
                run_id=run.run_id,
                run_url=run_url(pipeline.settings.dagster_url, run.run_id),
            )


# ---------------------------------------------------------------------------------------------- backup


@upkeep_asset(
    BACKUP,
    description="A consistent pg_dump of the whole warehouse, streamed to S3 with its SHA-256 and the fingerprint of "
    "every table; backups beyond the retention are deleted.",
    kinds={"postgres", "s3"},
)
def backup(context: dg.AssetExecutionContext, pipeline: PipelineResource) -> dg.MaterializeResult[None]:
    """Make a backup, then delete what the retention does not keep."""
    with safe_failures(context):
        backups = _backups(context, pipeline)
        manifest = backups.take()
        plan = backups.retention()
        freed = backups.prune(plan)
        return dg.MaterializeResult(
            metadata={
                "dagster/uri": f"s3://{backups.bucket}/{stored.dump_key(manifest.stamp)}",
                "bytes": manifest.bytes,
                "database_bytes": manifest.database_bytes,
                "seconds": manifest.seconds,
                "tables": len(manifest.tables),
                "rows": manifest.rows,
                "sha256": manifest.sha256,
                "backups_kept": len(plan.kept),
                "backups_deleted": len(plan.old),
                "leftovers_deleted": len(plan.leftovers),
                "bytes_deleted": freed,
            }
        )


@upkeep_asset(
    RESTORE_DRILL,
    description="The newest backup, restored into a scratch database and compared with its manifest, table by table.",
    kinds={"postgres"},
    deps=[BACKUP],
    checked=[
        (
            CheckName.RESTORE_EQUALS_BACKUP,
            "The newest backup is at most 2 days old, and its restore has the same rows in every table.",
        )
    ],
)
def restore_drill(
    context: dg.AssetExecutionContext, pipeline: PipelineResource
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult[None]]:
    """Restore the newest backup beside the warehouse and compare; a drill that does not pass fails its run."""
    with safe_failures(context):
        backups = _backups(context, pipeline)
        try:
            done = backups.drill()
        except Transient:
            raise
        except ClaimsPipelineError as error:
            yield check_result(checks.restore_failed(str(error)))
            raise
        outcome = checks.restore_equals_backup(
            stamp=done.manifest.stamp,
            tables=len(done.manifest.tables),
            rows=done.manifest.rows,
            differences=describe(done.differences),
            now=dt.datetime.now(dt.UTC),
            most_age=OLDEST_BACKUP,
        )
        yield check_result(outcome)
        if not outcome.passed:
            raise ClaimsPipelineError(outcome.summary)
        yield dg.MaterializeResult(metadata=_of_drill(done))


def _of_drill(done: Restored) -> dict[str, dg.MetadataValue]:
    return {
        "backup": dg.MetadataValue.text(done.manifest.name),
        "bytes": dg.MetadataValue.int(done.manifest.bytes),
        "seconds": dg.MetadataValue.float(done.seconds),
        "tables": dg.MetadataValue.int(len(done.manifest.tables)),
        "rows": dg.MetadataValue.int(done.manifest.rows),
    }


def _backups(context: dg.AssetExecutionContext, pipeline: PipelineResource) -> Backups:
    run_id = context.run.run_id
    liveness.hold(run_id, pipeline.settings.run_locks)
    pipeline.flow(run_id).prepare([])
    return Backups(pipeline.services, run_id=run_id)


# ---------------------------------------------------------------------------------------------- schedules


def backup_schedules() -> list[dg.ScheduleDefinition]:
    """Backup daily, drill weekly."""
    return [
        upkeep_schedule(BACKUP, cron="0 2 * * *", description="Backs the warehouse up, daily."),
        upkeep_schedule(
            RESTORE_DRILL, cron="0 4 * * 0", description="Restores the newest backup, weekly, to prove it."
        ),
    ]


def age_schedule() -> dg.ScheduleDefinition:
    """How long ago upkeep succeeded, hourly: nothing else tells of schedules that are off."""

    @dg.schedule(
        name="upkeep_age",
        cron_schedule="30 * * * *",
        execution_timezone="UTC",
        target=dg.AssetSelection.assets(BACKUP),
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Sends the age of the last good backup, restore drill and verification of the audit, which grows "
        "when they stop; starts no run.",
    )
    def upkeep_age(context: dg.ScheduleEvaluationContext, pipeline: PipelineResource) -> dg.SkipReason:
        pipeline.flow("upkeep-age").prepare([])
        with pipeline.services.database() as connection:
            now = backup_log.standing(connection)
        alerts = pipeline.alerts()
        alerts.backups(**asdict(now))
        audit_age = auditing.age(pipeline.services)  # last: asks S3, whose failure is no old backup
        alerts.audit(age=audit_age)
        return dg.SkipReason(
            f"last good backup {now.backup_age / 3600:.1f} h ago, last good drill {now.drill_age / 3600:.1f} h ago, "
            f"audit verified {audit_age / 3600:.1f} h ago"
        )

    return upkeep_age
