"""Every metric that is sent, as it is documented (docs/metrics.md) and watched (monitors).

Belongs here: names, types, units, tags, meanings. Does not belong here: which report becomes which figure (`datadog`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """A metric as Datadog shows it.

    Attributes:
        name: its full name.
        type: "count" (summed over time), "distribution" (one value each time, percentiles by Datadog) or "gauge" (the
            latest value).
        unit: Datadog's name of the unit.
        tags: names of its tags, besides the constant ones.
        meaning: what one reads off it.
    """

    name: str
    type: Literal["count", "distribution", "gauge"]
    unit: str
    tags: tuple[str, ...]
    meaning: str


RUNS = Metric(
    "claims.runs",
    "count",
    "run",
    ("sender", "outcome"),
    "Runs ended, by outcome: success, attention (a dump was refused or a check failed), failure, crash (killed).",
)
RUN_DURATION = Metric(
    "claims.run.duration", "distribution", "second", ("sender", "outcome"), "Wall time of a run that ended by itself."
)
DUMPS = Metric(
    "claims.dumps",
    "count",
    "file",
    ("sender", "dataset", "verdict", "status"),
    "Dumps handled, by what they are and how far they came; verdict not_read where a dump was not read.",
)
DUMPS_MISSING = Metric(
    "claims.dumps.missing", "count", "file", ("sender", "dataset"), "Dumps that were due and are not in the inbox."
)
DELIVERIES = Metric(
    "claims.deliveries",
    "count",
    "file",
    ("sender", "dataset", "news"),
    "Deliveries that came otherwise than the calendar says, once each: late, recovered (had been missing), early, "
    "double (more dumps than are due).",
)
LATENESS = Metric(
    "claims.delivery.lateness",
    "distribution",
    "second",
    ("sender", "dataset"),
    "How much after the time that it was due a late delivery was complete.",
)
DUMP_BYTES = Metric("claims.dump.bytes", "distribution", "byte", ("sender", "dataset"), "Size of a dump.")
LOAD_DURATION = Metric(
    "claims.load.duration", "distribution", "second", ("sender", "dataset", "status"), "Time spent on one dump."
)
ROWS = Metric(
    "claims.rows",
    "count",
    "row",
    ("sender", "dataset", "verdict"),
    "Rows by verdict; all but deleted add up to the rows read.",
)
REJECTS = Metric("claims.rejects", "count", "row", ("sender", "dataset", "rule"), "Quarantined rows by rule.")
ISSUES = Metric(
    "claims.issues",
    "count",
    "value",
    ("sender", "dataset", "rule"),
    "Values set to NULL or kept with a warning, by rule; their rows are loaded.",
)
CHECKS_FAILED = Metric(
    "claims.checks.failed", "count", "check", ("sender", "dataset", "check"), "Asset checks that did not pass."
)
UPKEEP_FAILED = Metric(
    "claims.upkeep.failed", "count", "task", ("task",), "Tasks of upkeep that failed, such as backup, restore_drill."
)
BACKUP_AGE = Metric(
    "claims.backup.age",
    "gauge",
    "second",
    (),
    "Time since the last good backup was begun; since the database was set up, where there is none. Sent hourly, "
    "and by `catch-up`.",
)
DRILL_AGE = Metric(
    "claims.backup.drill.age",
    "gauge",
    "second",
    (),
    "Time since the last good restore drill; since the database was set up, where there is none. Sent hourly, and by "
    "`catch-up`.",
)
AUDIT_AGE = Metric(
    "claims.audit.age",
    "gauge",
    "second",
    (),
    "Time since the audit's heads were kept last, which a verification does that found it unbroken; since the database "
    "was set up, where there are none. Sent hourly, and by `catch-up`.",
)
EVENTS = Metric(
    "claims.events",
    "count",
    "event",
    ("kind",),
    "Events of S3 heard: new, known (told twice, or listed before), gone, no_dump, elsewhere (no sender's), other (not "
    "of a written object), not_understood (each time it is received); unheard: a tick that could not read the queue.",
)
EVENTS_AGE = Metric(
    "claims.events.age",
    "gauge",
    "second",
    (),
    "Time that the oldest message heard at a tick had waited in the queue; 0 where there was none.",
)
BACKUP_BYTES = Metric("claims.backup.bytes", "gauge", "byte", (), "Compressed size of the last good backup.")
BACKUP_DURATION = Metric("claims.backup.duration", "gauge", "second", (), "Time that the last good backup took.")
HEARTBEAT = Metric(
    "claims.heartbeat",
    "count",
    "event",
    (),
    "Ticks of the sensor heartbeat, one a minute: none comes where daemon, code server or agent is down.",
)
CATCH_UP = Metric(
    "claims.catch_up",
    "count",
    "event",
    (),
    "Times that `catch-up` came to its end for all senders: in the lean mode, which has no heartbeat, one a day.",
)
DUMPS_HELD = Metric(
    "claims.dumps.held",
    "gauge",
    "file",
    ("sender", "dataset"),
    "Dumps that wait for a person. Sent each minute, and by `catch-up`.",
)
DAYS_BEHIND = Metric(
    "claims.feed.days_behind",
    "gauge",
    "day",
    ("sender", "dataset"),
    "Delivery days of the last 14 that were due and are not in the table. Sent each minute, and by `catch-up`.",
)
REPORTS_BEHIND = Metric(
    "claims.reports.behind",
    "gauge",
    "",
    ("sender",),
    "1 where a sender's reports lack what its tables hold, or are of an earlier date; else 0. Sent each minute, "
    "and by `catch-up`.",
)

METRICS = (
    RUNS,
    RUN_DURATION,
    DUMPS,
    DUMPS_MISSING,
    DELIVERIES,
    LATENESS,
    DUMP_BYTES,
    LOAD_DURATION,
    ROWS,
    REJECTS,
    ISSUES,
    CHECKS_FAILED,
    UPKEEP_FAILED,
    BACKUP_AGE,
    DRILL_AGE,
    AUDIT_AGE,
    EVENTS,
    EVENTS_AGE,
    BACKUP_BYTES,
    BACKUP_DURATION,
    HEARTBEAT,
    CATCH_UP,
    DUMPS_HELD,
    DAYS_BEHIND,
    REPORTS_BEHIND,
)


def metrics_table() -> str:
    """The documented metrics as a Markdown table."""
    lines = ["| metric | type | unit | tags | meaning |", "|---|---|---|---|---|"]
    lines += [f"| `{m.name}` | {m.type} | {m.unit} | {', '.join(m.tags)} | {m.meaning} |" for m in METRICS]
    return "\n".join(lines) + "\n"
