"""What machines are told while work goes on: structured logs, traces, lineage. Never a value of a record."""

from claims_pipeline.telemetry.logs import event, set_up

__all__ = ["event", "set_up"]
