"""What to say, and to whom: Slack messages and Datadog metrics about loads. Never raises into a load."""

from claims_pipeline.alerts.datadog import DatadogSink
from claims_pipeline.alerts.messages import Message, Posted
from claims_pipeline.alerts.metrics import METRICS, metrics_table
from claims_pipeline.alerts.router import Alerts
from claims_pipeline.alerts.slack import SlackSink

__all__ = ["METRICS", "Alerts", "DatadogSink", "Message", "Posted", "SlackSink", "metrics_table"]
