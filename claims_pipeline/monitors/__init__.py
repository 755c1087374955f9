"""Datadog's monitors and dashboard, declared once, written to deploy/datadog, and applied by a command."""

from claims_pipeline.monitors.applying import Change, apply, delete, plan
from claims_pipeline.monitors.dashboard import dashboard
from claims_pipeline.monitors.declared import Monitor, Target, declared_for, monitors
from claims_pipeline.monitors.http_api import DatadogApi

__all__ = [
    "Change",
    "DatadogApi",
    "Monitor",
    "Target",
    "apply",
    "dashboard",
    "declared_for",
    "delete",
    "monitors",
    "plan",
]
