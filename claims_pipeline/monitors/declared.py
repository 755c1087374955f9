"""What is watched in Datadog: every monitor, its query, its thresholds, and the runbook that it leads to.

Belongs here: the declaration, and how it reads as Datadog's JSON. Does not belong here: sending it (`applying`), the
metrics themselves (`alerts.metrics`), what to do about an alert (docs/runbooks).

Counts are wrapped in default_zero: without points a monitor would stay as it was, so an alert would not end, and a sign
of life that stops would not alert. Windows of what is told once a day are half a day: an alert that lasted until the
next morning would swallow the next morning's. Gauges have no default: a monitor keeps what the last one made of it,
which in the lean mode is this morning's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from claims_pipeline.alerts import metrics
from claims_pipeline.alerts.messages import task_title
from claims_pipeline.alerts.metrics import Metric
from claims_pipeline.alerts.runbooks import OF_TASK, Runbook
from claims_pipeline.vocabulary import CheckName

OURS = "managed-by:claims_pipeline"
"""Tag on every monitor of ours; what lacks it is never touched."""

SQS_AGE = "aws.sqs.approximate_age_of_oldest_message"
SQS_VISIBLE = "aws.sqs.approximate_number_of_messages_visible"
FOREIGN = (SQS_AGE, SQS_VISIBLE)
"""Metrics of Datadog's AWS integration: CloudWatch's of the queue. All others are in docs/metrics.md."""

_HOUR = 3600
_DAY = 24 * _HOUR

AWS_DELAY = 900
"""Seconds by which Datadog has CloudWatch's metrics later than its own: without a delay windows would be empty."""


@dataclass(frozen=True)
class Target:
    """For which installation monitors are declared.

    Attributes:
        env: value of the tag env on its metrics (CLAIMS_DATADOG_ENV).
        runbooks: folder of the runbooks, URL or path.
        notify: Datadog's handles of whom to tell; empty for nobody: monitors then only show.
        queue: name of the SQS queue for events; that of dead letters is named the same and "-dead" (deploy/aws).
        lean: CronJobs do the work, there is no daemon (CLAIMS_DATADOG_LEAN).
    """

    env: str
    runbooks: str
    notify: str = ""
    queue: str = "claims-events"
    lean: bool = False


@dataclass(frozen=True)
class Monitor:
    """One monitor.

    Attributes:
        key: its identity, which outlives its name: the tag `claims_monitor:<key>`.
        name: as people see it.
        meaning: one or two sentences for who is woken.
        runbook: what to do.
        query: Datadog's, without the comparison; `<env>` and `<queue>` are filled in.
        above: alerts above it; in the metric's unit.
        lean_above: alerts above it in the lean mode, where that differs.
        below: alerts below it instead.
        warn_above: warns above it.
        only: the mode that it is declared for; None: both.
        delay_seconds: by which its metric is late.
        priority: 1 (somebody gets up) to 5.
        silence_minutes: alerts after so long without any data; None: no data is no news.
        every_minutes: tells again so often while it lasts; None: once.
    """

    key: str
    name: str
    meaning: str
    runbook: Runbook
    query: str
    above: float | None = None
    lean_above: float | None = None
    below: float | None = None
    warn_above: float | None = None
    only: Literal["daemon", "lean"] | None = None
    delay_seconds: int = 0
    priority: int = 3
    silence_minutes: int | None = None
    every_minutes: int | None = None


def _counted(window: str, metric: Metric, where: str = "", by: str = "") -> str:
    """The sum of a sparse count over a window."""
    scope = "env:<env>" + (f" AND {where}" if where else "")
    grouped = f" by {{{by}}}" if by else ""
    return f"sum(last_{window}):default_zero(sum:{metric.name}{{{scope}}}{grouped}.as_count())"


def _gauge(window: str, metric: Metric, by: str = "") -> str:
    """The least of a gauge over a window: it was above the threshold all the time."""
    return f"min(last_{window}):max:{metric.name}{{env:<env>}}" + (f" by {{{by}}}" if by else "")


_FEED = "sender,dataset"
_OWN_PAGE = ", ".join(sorted(OF_TASK))

MONITORS = (
    Monitor(
        "missing_dump", "No dump arrived", "A dump was due and is not in the inbox.", Runbook.MISSING_DUMP,
        _counted("12h", metrics.DUMPS_MISSING, by=_FEED), above=0, priority=3,
    ),
    Monitor(
        "unexpected_delivery", "A delivery came late, early or twice", "A sender delivered otherwise than agreed.",
        Runbook.UNEXPECTED_DELIVERY,
        _counted("12h", metrics.DELIVERIES, "news NOT IN (recovered)", f"{_FEED},news"), above=0, priority=5,
    ),
    Monitor(
        "feed_behind", "A feed is behind",
        "A delivery day that was due more than an hour ago is not in the table: missing, held, refused or failed.",
        Runbook.FEED_BEHIND, _gauge("1h", metrics.DAYS_BEHIND, by=_FEED), above=1, warn_above=0, priority=3,
    ),
    Monitor(
        "failed_load", "A run failed", "A run ended in failure, or was killed. Nothing is half loaded.",
        Runbook.FAILED_LOAD, _counted("30m", metrics.RUNS, "outcome IN (failure, crash)", "sender"),
        above=0, priority=2,
    ),
    Monitor(
        "given_up_dump", "A dump was given up",
        "Every attempt to load a dump failed; it is tried again when the sender's next dumps are due.",
        Runbook.FAILED_LOAD, _counted("1h", metrics.DUMPS, "status:failed", _FEED), above=0, priority=2,
    ),
    Monitor(
        "held_dump", "A dump waits for a person", "A check held a dump back; a person must approve or reject it.",
        Runbook.HELD_DUMP, _gauge("10m", metrics.DUMPS_HELD, by=_FEED), above=0, priority=3, every_minutes=1440,
    ),
    Monitor(
        "refused_dump", "A dump was refused", "The contract refuses a dump: it is unreadable, or lacks columns.",
        Runbook.REFUSED_DUMP, _counted("1h", metrics.DUMPS, "status:refused AND verdict NOT IN (held)", _FEED),
        above=0, priority=3,
    ),
    Monitor(
        "unknown_dump", "A dump that no contract knows", "An object lies in the inbox whose name fits no feed.",
        Runbook.UNKNOWN_DUMP, _counted("1h", metrics.DUMPS, "verdict:unknown", "sender"), above=0, priority=4,
    ),
    Monitor(
        "quarantine_above_budget", "Quarantine above budget", "More rows broke a rule than the feed's budget allows.",
        Runbook.QUARANTINE_ABOVE_BUDGET,
        _counted("1h", metrics.CHECKS_FAILED, f"check:{CheckName.REJECTS_WITHIN_BUDGET.value}", _FEED),
        above=0, priority=3,
    ),
    Monitor(
        "check_failed", "A check did not pass", "A check marked figures of a load for a person to judge.",
        Runbook.CHECK_FAILED,
        _counted(
            "1h", metrics.CHECKS_FAILED, f"check NOT IN ({CheckName.REJECTS_WITHIN_BUDGET.value})", f"{_FEED},check"
        ),
        above=0, priority=4,
    ),
    Monitor(
        "no_heartbeat", "No heartbeat of the daemon",
        "No sign of life for ten minutes: daemon, code server or the Datadog agent is down. Nothing is loaded.",
        Runbook.NO_HEARTBEAT, _counted("10m", metrics.HEARTBEAT),
        below=1, priority=1, silence_minutes=20, every_minutes=60, only="daemon",
    ),
    Monitor(
        "no_catch_up", "No catch-up for a day",
        "`claims-pipeline catch-up` did not come to its end for 26 hours. Nothing is found or loaded meanwhile.",
        Runbook.NO_CATCH_UP, _counted("26h", metrics.CATCH_UP),
        below=1, priority=2, silence_minutes=2 * 26 * 60, every_minutes=1440, only="lean",
    ),
    Monitor(
        "queue_behind", "Events of the inbox are not read", "The oldest S3 event waits for longer than it should.",
        Runbook.QUEUE_BEHIND, f"min(last_30m):max:{SQS_AGE}{{queuename:<queue>}}",
        above=900, lean_above=26 * _HOUR, priority=3, delay_seconds=AWS_DELAY,
    ),
    Monitor(
        "queue_unreadable", "The queue of events cannot be read",
        "Ticks could not read the queue; listing finds dumps all the same, later.", Runbook.QUEUE_BEHIND,
        _counted("30m", metrics.EVENTS, "kind:unheard"), above=3, lean_above=0, priority=3,
    ),
    Monitor(
        "dead_letters", "Events in the dead-letter queue",
        "An S3 event could not be understood. Listing finds its dump all the same.", Runbook.DEAD_LETTERS,
        f"max(last_30m):max:{SQS_VISIBLE}{{queuename:<queue>-dead}}",
        above=0, priority=4, delay_seconds=AWS_DELAY,
    ),
    Monitor(
        "reports_behind", "Reports are out of date", "For two hours reports lack what the tables hold.",
        Runbook.REPORTS_BEHIND, _gauge("2h", metrics.REPORTS_BEHIND, by="sender"), above=0, priority=4,
    ),
    Monitor(
        "backup_too_old", "The last backup is too old", "No good backup was begun for two days.", Runbook.BACKUP,
        _gauge("2h", metrics.BACKUP_AGE), above=2 * _DAY, warn_above=26 * _HOUR, priority=2, every_minutes=1440,
    ),
    Monitor(
        "restore_drill_too_old", "The last restore drill is too old",
        "No backup was proven by restoring it for 15 days; drills are weekly.", Runbook.RESTORE_DRILL,
        _gauge("2h", metrics.DRILL_AGE), above=15 * _DAY, warn_above=8 * _DAY, priority=3, every_minutes=1440,
    ),
    Monitor(
        "audit_broken", "The audit is broken, or was not verified",
        "The daily look at the audit's chains found a broken one, or could not be made.", Runbook.AUDIT_BROKEN,
        _counted("12h", metrics.UPKEEP_FAILED, "task:audit"), above=0, priority=1,
    ),
    Monitor(
        "audit_too_old", "The last verification of the audit is too old",
        "For two days no verification found the audit unbroken: none was started, or each failed.",
        Runbook.AUDIT_BROKEN,
        _gauge("2h", metrics.AUDIT_AGE), above=2 * _DAY, warn_above=26 * _HOUR, priority=2, every_minutes=1440,
    ),
    *(
        Monitor(
            f"{task}_failed", f"Upkeep: {task_title(task)} failed", "A task failed; Slack and its run say why.", page,
            _counted("12h", metrics.UPKEEP_FAILED, f"task:{task}"), above=0, priority=2,
        )
        for task, page in OF_TASK.items()
        if task != "audit"
    ),
    Monitor(
        "upkeep_failed", "Upkeep failed", "A task of upkeep failed, such as the prune or the reports; see its run.",
        Runbook.UPKEEP_FAILED, _counted("12h", metrics.UPKEEP_FAILED, f"task NOT IN ({_OWN_PAGE})", "task"),
        above=0, priority=4,
    ),
)  # fmt: skip


def monitors(target: Target) -> list[dict[str, Any]]:
    """The monitors of a target as Datadog's API takes them, in the order of `declared_for`."""
    return [_as_json(monitor, target) for monitor in declared_for(target)]


def declared_for(target: Target) -> list[Monitor]:
    """The monitors that are declared for a target's mode."""
    return [monitor for monitor in MONITORS if monitor.only in (None, "lean" if target.lean else "daemon")]


def key_tag(key: str) -> str:
    """The tag that says which monitor of ours one is."""
    return f"claims_monitor:{key}"


def _filled(query: str, target: Target) -> str:
    return query.replace("<env>", target.env).replace("<queue>", target.queue)


_COUNTED_OFF = (
    "{{#is_recovery}}Recovered: no more were counted lately, which says nothing of the cause.{{/is_recovery}}"
)
"""In the message of monitors of counts, whose alerts end by time."""


def _as_json(monitor: Monitor, target: Target) -> dict[str, Any]:
    above = monitor.lean_above if target.lean and monitor.lean_above is not None else monitor.above
    critical = monitor.below if monitor.below is not None else above or 0
    thresholds = {"critical": float(critical)}
    if monitor.warn_above is not None:
        thresholds["warning"] = float(monitor.warn_above)
    ends_by_time = monitor.below is None and monitor.query.startswith("sum(")
    text = [
        monitor.meaning,
        f"What to do: {monitor.runbook.at(target.runbooks)}",
        _COUNTED_OFF if ends_by_time else "",
        target.notify,
    ]
    return {
        "name": f"[claims_pipeline {target.env}] {monitor.name}",
        "type": "query alert",
        "query": f"{_filled(monitor.query, target)} {'<' if monitor.below is not None else '>'} {critical:.0f}",
        "message": "\n\n".join(filter(None, text)),
        "tags": [OURS, key_tag(monitor.key), f"env:{target.env}"],
        "priority": monitor.priority,
        "options": {
            "thresholds": thresholds,
            "include_tags": True,
            "notify_audit": False,
            "require_full_window": False,
            "notify_no_data": monitor.silence_minutes is not None,
            **({"no_data_timeframe": monitor.silence_minutes} if monitor.silence_minutes is not None else {}),
            "renotify_interval": monitor.every_minutes or 0,
            "evaluation_delay": monitor.delay_seconds,
        },
    }
