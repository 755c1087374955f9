"""Telling people about a run: report, alerts, and the note of the message sent. Shared by hooks and sensors."""

from __future__ import annotations

import time

import dagster as dg

from claims_pipeline.alerts import Posted
from claims_pipeline.orchestration.resources import PipelineResource
from claims_pipeline.reporting import run_report
from claims_pipeline.warehouse import reports


def tell_run(pipeline: PipelineResource, instance: dg.DagsterInstance, *, run_id: str, sender: str, error: str) -> None:
    """Send a run's message and metrics; where it has a message already, that is updated."""
    settings = pipeline.settings
    record = instance.get_run_record_by_id(run_id)
    started = record.start_time if record and record.start_time else None
    with pipeline.services.database() as connection:
        report = run_report(
            connection,
            run_id=run_id,
            sender=sender,
            dagster_url=settings.dagster_url,
            error=error,
            seconds=round(time.time() - started, 3) if started else 0.0,
        )
        before = reports.message_of(connection, run_id)
        posted = pipeline.alerts().run_ended(report, Posted(*before) if before else None)
        if posted is not None and before is None:
            reports.remember_message(connection, run_id, channel=posted.channel, ts=posted.ts)
