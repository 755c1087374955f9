"""Alerts as the settings ask for them, for Dagster's processes and for the command line, which does without Dagster.

Belongs here: choosing the sinks. Does not belong here: what is said, and how it is sent (`alerts`).
"""

from __future__ import annotations

from claims_pipeline.alerts import Alerts, DatadogSink, SlackSink
from claims_pipeline.feeds import all_senders
from claims_pipeline.settings import Settings


def make_alerts(settings: Settings) -> Alerts:
    """Slack and Datadog; without a token or host the sinks say so once and stay silent."""
    token = settings.slack_token.get_secret_value() if settings.slack_token else None
    return Alerts(
        slack=SlackSink(token, settings.slack_channel, base_url=settings.slack_base_url),
        datadog=DatadogSink(
            settings.datadog_statsd_host, settings.datadog_statsd_port, tags=[f"env:{settings.datadog_env}"]
        ),
        quiet=settings.slack_quiet,
        runbooks=settings.runbooks_url,
        titles={sender.name: sender.title for sender in all_senders()},
    )
