"""The code location: assembles what the rooms make, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from claims_pipeline.feeds import all_feeds, all_senders
from claims_pipeline.orchestration.assets import feed_assets
from claims_pipeline.orchestration.audit import audit_chains, audit_schedule
from claims_pipeline.orchestration.bi import report_assets, reports_sensor
from claims_pipeline.orchestration.heartbeat import heartbeat_sensor
from claims_pipeline.orchestration.prune import prune_asset, prune_schedule
from claims_pipeline.orchestration.quarantine_jobs import decide_held, replay_quarantine
from claims_pipeline.orchestration.rebuild_drill import rebuild_drill, rebuild_drill_schedule
from claims_pipeline.orchestration.resources import InboxS3, PipelineResource
from claims_pipeline.orchestration.sensors import (
    arrivals_sensor,
    digest_schedule,
    killed_runs_sensor,
    missing_schedule,
)
from claims_pipeline.orchestration.upkeep import backup, backup_schedules, restore_drill


def build_definitions(resources: Mapping[str, object] | None = None) -> dg.Definitions:
    """A fresh code location; `resources` replaces the default ones by key."""
    s3 = InboxS3()
    return dg.Definitions(
        assets=[
            *(asset for feed in all_feeds() for asset in feed_assets(feed)),
            *report_assets(),
            prune_asset,
            audit_chains,
            backup,
            restore_drill,
            rebuild_drill,
        ],
        sensors=[
            *(arrivals_sensor(sender) for sender in all_senders()),
            reports_sensor(),
            killed_runs_sensor(),
            heartbeat_sensor(),
        ],
        schedules=[
            *(missing_schedule(sender) for sender in all_senders()),
            digest_schedule(),
            prune_schedule(),
            audit_schedule(),
            *backup_schedules(),
            rebuild_drill_schedule(),
        ],
        jobs=[decide_held, replay_quarantine],
        resources={"s3": s3, "pipeline": PipelineResource(s3=s3), **(resources or {})},
        # One process a run: starting a process costs seconds, a small dump milliseconds (stack.md).
        executor=dg.in_process_executor,
    )


defs = build_definitions()
