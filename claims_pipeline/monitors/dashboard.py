"""The dashboard in Datadog: what on-call people look at, on one page.

Belongs here: its groups and widgets, from the declared metrics and monitors' thresholds. Does not belong here: sending
it (`applying`), and the product's own dashboard for analysts (`claims_pipeline.dashboard`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from claims_pipeline.alerts import metrics
from claims_pipeline.alerts.metrics import Metric
from claims_pipeline.monitors.declared import OURS, SQS_AGE, SQS_VISIBLE

TITLE = "claims_pipeline"
Json = dict[str, Any]


def dashboard() -> Json:
    """The dashboard as Datadog's API takes it; people choose env and sender on it."""
    groups = _groups()
    return {
        "title": TITLE,
        "description": f"Dumps, loads, quarantine, upkeep. {OURS}: changed by `claims-pipeline monitors apply` alone.",
        "layout_type": "ordered",
        "template_variables": [
            {"name": "env", "prefix": "env", "defaults": ["*"]},
            {"name": "sender", "prefix": "sender", "defaults": ["*"]},
        ],
        "widgets": groups + _others(groups),
    }


def _groups() -> list[Json]:
    return [
        _group(
            "Is all well?",
            _monitors(),
            _number("Signs of life in 10 minutes", _count(metrics.HEARTBEAT, sender=False), "sum", span="10m"),
            _number("Catch-ups in a day (lean mode)", _count(metrics.CATCH_UP, sender=False), "sum"),
            _number("Days behind, worst feed", _max(metrics.DAYS_BEHIND), "last"),
            _number("Dumps that wait for a person", _sum(metrics.DUMPS_HELD), "last"),
            _number("Senders whose reports are behind", _sum(metrics.REPORTS_BEHIND), "last"),
        ),
        _group(
            "Dumps and runs",
            _bars("Runs by outcome", _count(metrics.RUNS, "sender,outcome")),
            _bars("Dumps by verdict and status", _count(metrics.DUMPS, "verdict,status")),
            _bars("Missing dumps", _count(metrics.DUMPS_MISSING, "sender,dataset")),
            _lines("Time on one dump, longest", _max(metrics.LOAD_DURATION, "sender,dataset")),
            _lines("Wall time of a run, longest", _max(metrics.RUN_DURATION, "sender")),
            _lines("Size of dumps, largest", _max(metrics.DUMP_BYTES, "sender,dataset")),
        ),
        _group(
            "Rows",
            _bars("Rows by verdict", _count(metrics.ROWS, "verdict")),
            _bars("Quarantined rows by rule", _count(metrics.REJECTS, "sender,dataset,rule")),
            _bars("Values mended or kept with a warning, by rule", _count(metrics.ISSUES, "sender,dataset,rule")),
            _bars("Checks that did not pass", _count(metrics.CHECKS_FAILED, "sender,dataset,check")),
        ),
        _group(
            "Events of the inbox (AWS)",
            _lines("Age of the oldest event", f"max:{SQS_AGE}{{queuename:*-events*}} by {{queuename}}"),
            _lines("Events that wait", f"max:{SQS_VISIBLE}{{queuename:*-events*}} by {{queuename}}"),
        ),
        _group(
            "Upkeep",
            _lines("Age of the last good backup", f"max:{metrics.BACKUP_AGE.name}{{$env}}"),
            _lines("Age of the last good restore drill", f"max:{metrics.DRILL_AGE.name}{{$env}}"),
            _lines("Age of the audit's last verification", f"max:{metrics.AUDIT_AGE.name}{{$env}}"),
            _lines("Size of the last backup", f"max:{metrics.BACKUP_BYTES.name}{{$env}}"),
            _lines("Time of the last backup", f"max:{metrics.BACKUP_DURATION.name}{{$env}}"),
            _bars("Failed tasks", _count(metrics.UPKEEP_FAILED, "task", sender=False)),
        ),
    ]  # fmt: skip


def _others(groups: Sequence[Json]) -> list[Json]:
    """A group of the metrics that no other group shows, so that a new one is seen without a word here."""
    shown = json.dumps(groups)
    left = [metric for metric in metrics.METRICS if f":{metric.name}{{" not in shown]
    return [_group("More", *map(_plain, left))] if left else []


def _plain(metric: Metric) -> Json:
    scope = "$env,$sender" if "sender" in metric.tags else "$env"
    by = f" by {{{','.join(metric.tags)}}}" if metric.tags else ""
    if metric.type == "count":
        return _bars(metric.name, f"sum:{metric.name}{{{scope}}}{by}.as_count()")
    return _lines(metric.name, f"max:{metric.name}{{{scope}}}{by}")


def _count(metric: Metric, by: str = "", *, sender: bool = True) -> str:
    scope = "$env,$sender" if sender else "$env"
    return f"sum:{metric.name}{{{scope}}}" + (f" by {{{by}}}" if by else "") + ".as_count()"


def _max(metric: Metric, by: str = "") -> str:
    return f"max:{metric.name}{{$env,$sender}}" + (f" by {{{by}}}" if by else "")


def _sum(metric: Metric) -> str:
    return f"sum:{metric.name}{{$env,$sender}}"


def _group(title: str, *widgets: Json) -> Json:
    return {"definition": {"type": "group", "layout_type": "ordered", "title": title, "widgets": list(widgets)}}


def _monitors() -> Json:
    return {
        "definition": {
            "type": "manage_status",
            "title": "Monitors",
            "query": f"tag:({OURS})",
            "display_format": "countsAndList",
            "summary_type": "monitors",
            "hide_zero_counts": True,
        }
    }


def _number(title: str, query: str, aggregator: str, *, span: str = "1d") -> Json:
    """One figure; the span of a day holds what the lean mode sends, once a day."""
    request = {
        "response_format": "scalar",
        "queries": [{"data_source": "metrics", "name": "query", "query": query, "aggregator": aggregator}],
        "formulas": [{"formula": "query"}],
    }
    time = {"live_span": span}
    return {"definition": {"type": "query_value", "title": title, "requests": [request], "precision": 0, "time": time}}


def _bars(title: str, query: str) -> Json:
    return _series(title, query, "bars")


def _lines(title: str, query: str) -> Json:
    return _series(title, query, "line")


def _series(title: str, query: str, display: str) -> Json:
    request = {
        "response_format": "timeseries",
        "display_type": display,
        "queries": [{"data_source": "metrics", "name": "query", "query": query}],
        "formulas": [{"formula": "query"}],
    }
    return {"definition": {"type": "timeseries", "title": title, "show_legend": True, "requests": [request]}}
