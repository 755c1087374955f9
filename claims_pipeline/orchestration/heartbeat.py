"""The sensor `heartbeat`: a sign of life each minute, and how things stand, for monitors.

Belongs here: the face in Dagster. Does not belong here: the figures (`claims_pipeline.pulse`), and what monitors make
of them (`claims_pipeline.monitors`). It starts no run.
"""

import datetime as dt

import dagster as dg

from claims_pipeline import pulse
from claims_pipeline.orchestration.resources import PipelineResource
from claims_pipeline.orchestration.upkeep import GROUP


def heartbeat_sensor(*, seconds: int = 60) -> dg.SensorDefinition:
    """Daemon and code server both take part in a tick: where one is down, the sign does not come."""

    @dg.sensor(
        name="heartbeat",
        # Dagster asks for a target; no run is ever asked for.
        target=dg.AssetSelection.groups(GROUP),
        minimum_interval_seconds=seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Sends a sign of life, and which dumps are held and what is behind, to Datadog; starts no run.",
    )
    def heartbeat(context: dg.SensorEvaluationContext, pipeline: PipelineResource) -> dg.SkipReason:
        alerts = pipeline.alerts()
        alerts.heartbeat()  # first: a database that is down is not a daemon that is down
        if pipeline.settings.datadog_statsd_host is None:
            return dg.SkipReason("Datadog is off")
        pipeline.flow("heartbeat").prepare([])
        now = pulse.take(pipeline.services, now=dt.datetime.now(dt.UTC))
        alerts.pulse(now)
        return dg.SkipReason(
            f"held {sum(now.held.values())}; feeds behind {sum(days > 0 for days in now.days_behind.values())}; "
            f"senders whose reports are behind {sum(now.reports_behind.values())}"
        )

    return heartbeat
