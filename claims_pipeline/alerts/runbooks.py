"""Which page of docs/runbooks an alert leads to.

Belongs here: the pages by name, and which one a report or a task of upkeep is about. Does not belong here: what the
pages say (docs/runbooks), words of messages (`messages`), thresholds (`monitors`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum

from claims_pipeline.alerts import blocks
from claims_pipeline.alerts.messages import Message
from claims_pipeline.alerts.text import code, escape
from claims_pipeline.vocabulary import CheckName, DumpReport, DumpStatus, DumpVerdict, RunReport


class Runbook(StrEnum):
    """The pages; the value is the file's name without ".md"."""

    MISSING_DUMP = "missing-dump"
    WAITING_DUMP = "waiting-dump"
    UNEXPECTED_DELIVERY = "unexpected-delivery"
    FEED_BEHIND = "feed-behind"
    HELD_DUMP = "held-dump"
    REFUSED_DUMP = "refused-dump"
    UNKNOWN_DUMP = "unknown-dump"
    QUARANTINE_ABOVE_BUDGET = "quarantine-above-budget"
    CHECK_FAILED = "check-failed"
    FAILED_LOAD = "failed-load"
    KILLED_RUN = "killed-run"
    NO_HEARTBEAT = "no-heartbeat"
    NO_CATCH_UP = "no-catch-up"
    QUEUE_BEHIND = "queue-behind"
    DEAD_LETTERS = "dead-letters"
    REPORTS_BEHIND = "reports-behind"
    BACKUP = "backup-failed"
    RESTORE_DRILL = "restore-drill-failed"
    REBUILD_DRILL = "rebuild-drill-failed"
    AUDIT_BROKEN = "audit-broken"
    UPKEEP_FAILED = "upkeep-failed"

    def at(self, base: str) -> str:
        """Where the page is.

        Args:
            base: URL or path of the folder (CLAIMS_RUNBOOKS_URL).
        """
        return f"{base.rstrip('/')}/{self.value}.md"


OF_TASK = {
    "backup": Runbook.BACKUP,
    "restore_drill": Runbook.RESTORE_DRILL,
    "rebuild_drill": Runbook.REBUILD_DRILL,
    "audit": Runbook.AUDIT_BROKEN,
    "catch_up": Runbook.NO_CATCH_UP,
    "unwatched": Runbook.NO_HEARTBEAT,
}
"""Tasks with a page of their own: of upkeep, and `catch-up` where a CronJob runs it."""


def of_task(task: str) -> Runbook:
    """The page about a failed task of upkeep, by its asset's name; "reports" and "reports_<sender>" share one."""
    if task.split("_")[0] == "reports":
        return Runbook.REPORTS_BEHIND
    return OF_TASK.get(task, Runbook.UPKEEP_FAILED)


def of_report(report: RunReport) -> Runbook | None:
    """The page about the worst of what a run met; None where all went well."""
    failed = {check.name for _, check in report.failed_checks}
    page = of_dumps(report.dumps)
    if page is Runbook.HELD_DUMP and CheckName.REJECTS_WITHIN_BUDGET in failed:
        return Runbook.QUARANTINE_ABOVE_BUDGET
    if page is None and report.outcome == "failure":
        return Runbook.FAILED_LOAD
    if page is None and report.outcome != "success":
        return Runbook.CHECK_FAILED
    return page


def of_dumps(dumps: Sequence[DumpReport]) -> Runbook | None:
    """The page about the worst of some dumps; None where all of them were loaded or need not be."""
    dumps = [dump for dump in dumps if dump.needs_a_person]
    verdicts = {dump.verdict for dump in dumps}
    refused = any(dump.status is DumpStatus.REFUSED and dump.verdict is not DumpVerdict.HELD for dump in dumps)
    found = [
        (any(dump.status is DumpStatus.FAILED for dump in dumps), Runbook.FAILED_LOAD),
        (DumpVerdict.HELD in verdicts, Runbook.HELD_DUMP),
        (refused or bool(verdicts & {DumpVerdict.UNREADABLE, DumpVerdict.EMPTY}), Runbook.REFUSED_DUMP),
        (DumpVerdict.UNKNOWN in verdicts, Runbook.UNKNOWN_DUMP),
    ]
    return next((page for met, page in found if met), None)


def linked(message: Message, page: Runbook | None, base: str) -> Message:
    """The message with its runbook below; as it was where there is none.

    Args:
        message: what is said.
        page: the runbook.
        base: URL or path of the folder of runbooks; a path is shown as such, since Slack opens none.
    """
    if page is None or not message.blocks:
        return message
    place = page.at(base)
    shown = f"<{escape(place)}|{page.value}>" if place.startswith(("http://", "https://")) else code(place)
    return replace(message, blocks=(*message.blocks, blocks.footnote(f"runbook {shown}")))
