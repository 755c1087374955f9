"""The code location: assembles what the rooms make, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from claims_pipeline.feeds import all_feeds, all_senders
from claims_pipeline.orchestration.assets import feed_assets
from claims_pipeline.orchestration.resources import InboxS3, PipelineResource
from claims_pipeline.orchestration.sensors import (
    arrivals_sensor,
    digest_schedule,
    killed_runs_sensor,
    missing_schedule,
)


def build_definitions(resources: Mapping[str, object] | None = None) -> dg.Definitions:
    """A fresh code location; `resources` replaces the default ones by key."""
    s3 = InboxS3()
    return dg.Definitions(
        assets=[asset for feed in all_feeds() for asset in feed_assets(feed)],
        sensors=[*(arrivals_sensor(sender) for sender in all_senders()), killed_runs_sensor()],
        schedules=[*(missing_schedule(sender) for sender in all_senders()), digest_schedule()],
        resources={"s3": s3, "pipeline": PipelineResource(s3=s3), **(resources or {})},
        # One process a run: starting a process costs seconds, a small dump milliseconds (stack.md).
        executor=dg.in_process_executor,
    )


defs = build_definitions()
