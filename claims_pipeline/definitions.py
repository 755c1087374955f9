"""The code location: assembles what the rooms make, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import dagster as dg

from claims_pipeline.feeds import Sender, feeds_of
from claims_pipeline.orchestration.assets import feed_assets
from claims_pipeline.orchestration.audit import audit_chains, audit_schedule
from claims_pipeline.orchestration.bi import report_assets, reports_sensors
from claims_pipeline.orchestration.heartbeat import heartbeat_sensor
from claims_pipeline.orchestration.prune import prune_asset, prune_schedule
from claims_pipeline.orchestration.quarantine_jobs import decide_held, replay_quarantine
from claims_pipeline.orchestration.rebuild_drill import rebuild_drill, rebuild_drill_schedule
from claims_pipeline.orchestration.resources import InboxS3, PipelineResource
from claims_pipeline.orchestration.scope import Scope, everything, scope_of
from claims_pipeline.orchestration.sensors import (
    arrivals_sensor,
    digest_schedule,
    killed_runs_sensor,
    missing_schedule,
)
from claims_pipeline.orchestration.unwatched import unwatched_sensor
from claims_pipeline.orchestration.upkeep import age_schedule, backup, backup_schedules, restore_drill
from claims_pipeline.settings import Settings


def build_definitions(resources: Mapping[str, object] | None = None, *, scope: Scope | None = None) -> dg.Definitions:
    """A fresh code location.

    Args:
        resources: replace the default ones by key.
        scope: which senders it holds, and whether upkeep; None for everything.
    """
    scope = scope or everything()
    s3 = InboxS3()
    shared = dg.Definitions(
        # Each location's own: Dagster tells a location of its own runs alone.
        sensors=[killed_runs_sensor()],
        resources={"s3": s3, "pipeline": PipelineResource(s3=s3), **(resources or {})},
        # One process a run: starting a process costs seconds, a small dump milliseconds (stack.md).
        executor=dg.in_process_executor,
    )
    parts = [shared, _of_senders(scope.senders), *([_once()] if scope.upkeep else [])]
    return dg.Definitions.merge(*parts)


def _of_senders(senders: Sequence[Sender]) -> dg.Definitions:
    return dg.Definitions(
        assets=[
            *(asset for sender in senders for feed in feeds_of(sender.name) for asset in feed_assets(feed)),
            *report_assets(senders),
        ],
        sensors=[*(arrivals_sensor(sender) for sender in senders), *reports_sensors(senders)],
        schedules=[missing_schedule(sender) for sender in senders],
    )


def _once() -> dg.Definitions:
    """What an installation has once, however many code locations it has."""
    return dg.Definitions(
        assets=[prune_asset, audit_chains, backup, restore_drill, rebuild_drill],
        sensors=[heartbeat_sensor(), unwatched_sensor()],
        schedules=[
            digest_schedule(),
            prune_schedule(),
            audit_schedule(),
            *backup_schedules(),
            rebuild_drill_schedule(),
            age_schedule(),
        ],
        jobs=[decide_held, replay_quarantine],
    )


defs = build_definitions(scope=scope_of(Settings()))
