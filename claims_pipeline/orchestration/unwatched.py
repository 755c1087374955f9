"""The sensor `unwatched`: tells of senders into whose inbox nothing looks any more.

Belongs here: a sender that no code location has, a code location that does not load, a sensor that a person switched
off. Does not belong here: a daemon that is down (it runs this sensor, too: Datadog misses its heartbeat), what the
looks find (sensors.py). It starts no run.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

import dagster as dg

from claims_pipeline.feeds import all_senders
from claims_pipeline.orchestration.keys import arrivals_name
from claims_pipeline.orchestration.resources import PipelineResource
from claims_pipeline.orchestration.upkeep import GROUP

PATIENCE = dt.timedelta(minutes=10).total_seconds()
"""Without a look; ticks are 15 s apart, or minutes where there are many senders."""

TASK = "unwatched"


@dataclass(frozen=True)
class Watch:
    """Since when the sensor looks without a pause, and its last look; seconds since 1970."""

    begun: float
    last: float

    @classmethod
    def of(cls, cursor: str | None, now: float) -> "Watch":
        """What the last tick left; a new one after a pause, in which nobody ticked."""
        begun, last = (float(word) for word in cursor.split()) if cursor else (now, now)
        return cls(begun, last) if now - last < PATIENCE / 2 else cls(now, now)

    def newly_unwatched(self, ticks: Mapping[str, float], now: float) -> list[str]:
        """Of the senders whose last tick is given (0: none), those whose patience ended since the last look."""
        ends = {sender: max(tick, self.begun) + PATIENCE for sender, tick in ticks.items()}
        return sorted(sender for sender, end in ends.items() if self.last < end <= now)


def unwatched_sensor(*, seconds: int = 60) -> dg.SensorDefinition:
    """Looks at the ticks of every sender's sensor, in whichever code location it is, and tells once of a silence."""

    @dg.sensor(
        name=TASK,
        # Dagster asks for a target; no run is ever asked for.
        target=dg.AssetSelection.groups(GROUP),
        minimum_interval_seconds=seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells of senders into whose inbox no sensor of any code location looks; starts no run.",
    )
    def unwatched(context: dg.SensorEvaluationContext, pipeline: PipelineResource) -> dg.SkipReason:
        now = dt.datetime.now(dt.UTC).timestamp()
        watch, ticks = Watch.of(context.cursor, now), last_ticks(context.instance)
        if found := watch.newly_unwatched(ticks, now):
            pipeline.alerts().upkeep_failed(
                task=TASK, error=f"no code location has looked into the inbox of {', '.join(found)}", run_id=""
            )
        context.update_cursor(f"{watch.begun} {now}")
        silent = sorted(sender for sender, tick in ticks.items() if tick <= now - PATIENCE)
        return dg.SkipReason(f"no look within {PATIENCE / 60:.0f} minutes: {', '.join(silent) or 'none'}")

    return unwatched


def last_ticks(instance: dg.DagsterInstance) -> dict[str, float]:
    """Of every sender: when a sensor last looked, seconds since 1970; 0 where none ever did."""
    sensors = {arrivals_name(sender): sender.name for sender in all_senders()}
    found = dict.fromkeys(sensors.values(), 0.0)
    for state in instance.all_instigator_state():
        if sender := sensors.get(state.instigator_name):
            tick = getattr(state.instigator_data, "last_tick_timestamp", None) or 0.0
            found[sender] = max(found[sender], tick)
    return found
