"""A task that failed: what it is called, what that means, what to do.

Belongs here: words about tasks of upkeep, and about `catch-up` where a CronJob runs it. Does not belong here: runs that
load dumps (`runs`).
"""

from __future__ import annotations

from claims_pipeline.alerts import blocks
from claims_pipeline.alerts.messages.message import Message, compose
from claims_pipeline.alerts.text import one_line, prose


def upkeep_message(*, task: str, error: str, run_id: str, run_url: str | None = None) -> Message:
    """A task of upkeep failed: the backup, a drill.

    Args:
        task: its asset's name, such as "backup".
        error: what was wrong, free of values.
        run_id: Dagster's run id.
        run_url: link to the run.
    """
    words, meaning, step = TASKS.get(task, (one_line(task), "It will be tried again at its next time.", ""))
    return compose(
        f":x: Upkeep: {words} failed",
        [blocks.paragraph(meaning), blocks.paragraph(f"*Error*\n{prose(error, 500) or 'none is known'}")],
        step=step or "Open the run, remove the cause of the error, and launch it again.",
        detail=prose(error, 120),
        run_id=run_id,
        url=run_url,
    )


def task_title(task: str) -> str:
    """What people call a task, such as "the restore drill"; its own name where it has no other."""
    return TASKS[task][0] if task in TASKS else one_line(task)


TASKS = {
    "prune": (
        "the prune",
        "Nothing is lost: leftovers and old logs stay until it succeeds, and take up space.",
        "Remove the cause and run `claims-pipeline prune`, which lists what would go; with `--apply` it deletes it.",
    ),
    "backup": (
        "the backup",
        "The tables are as they were; there is no new backup of them.",
        "Remove the cause and run `claims-pipeline backup now`; `claims-pipeline backup list` shows which backups are.",
    ),
    "backup_prune": (
        "the prune of backups",
        "Backups past their retention stay, with what they hold of persons who were erased since.",
        "Remove the cause and run `claims-pipeline backup prune`, which lists what would go; with `--apply` it "
        "deletes it.",
    ),
    "restore_drill": (
        "the restore drill",
        "The newest backup was not proven: it is missing, too old, cannot be restored, or holds other rows.",
        "Run `claims-pipeline backup now` and then `claims-pipeline backup drill`. If that fails too, the backups "
        "cannot be relied on: let nobody delete anything from the raw archive until the cause is found.",
    ),
    "catch_up": (
        "the catch-up",
        "What arrived since the last one may not be in the tables; nothing is half loaded, and nothing is lost.",
        "Remove the cause and run `claims-pipeline catch-up`; otherwise its next time loads what is still open.",
    ),
    "audit": (
        "the audit",
        "The audit's hash chains are broken, or could not be verified.",
        "Run `claims-pipeline audit verify`: it tells which. Where a chain is broken, touch nothing and keep the "
        "database's log.",
    ),
    "rebuild_drill": (
        "the rebuild drill",
        "Tables made again from the raw archive are not the live ones, or could not be made.",
        "Open the run, in the lean mode the log of the CronJob's newest job: it names the tables and dumps. A dump in "
        "the rebuilt tables only "
        "was refused or given up once (`claims-pipeline retry`); tables loaded under an earlier contract differ until "
        "those days are processed again. Let nobody delete anything from archive or backups until the cause is found.",
    ),
    "unwatched": (
        "the look into inboxes",
        "Nothing is lost: dumps wait in the inbox. Until it is mended they are not loaded, and none is missed.",
        "In Dagster's Deployment page see whether every code location is loaded, in Automation whether the sensors "
        "arrivals_<sender> are on and tick; a sender that CLAIMS_SENDERS_ELSEWHERE names needs a location whose "
        "CLAIMS_SENDERS names it.",
    ),
}
"""By task: what it is called, what its failing means, what to do."""
