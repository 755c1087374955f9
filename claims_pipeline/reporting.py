"""What a run did, gathered from ledger and audit into one `RunReport`: for messages, metrics and the CLI.

Belongs here: putting a report together. Does not belong here: wording (alerts) and SQL (warehouse.reports).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import psycopg

from claims_pipeline.vocabulary import CheckOutcome, DumpReport, RunReport
from claims_pipeline.warehouse import reports

CLI_RUN = "cli-"
"""Begins the run ids of `catch-up`, which Dagster does not know."""


def run_url(dagster_url: str, run_id: str) -> str | None:
    """Where a run is seen in the Dagster UI; None for a run of the CLI."""
    return None if run_id.startswith(CLI_RUN) else f"{dagster_url.rstrip('/')}/runs/{run_id}"


def run_report(
    connection: psycopg.Connection,
    *,
    run_id: str,
    sender: str,
    dagster_url: str,
    error: str = "",
    days: Sequence[dt.date] = (),
    seconds: float = 0.0,
) -> RunReport:
    """The report of a run.

    Args:
        connection: to the warehouse.
        run_id: whose dumps.
        sender: whose dumps the run was for.
        dagster_url: root of the UI.
        error: what stopped the run, free of values; makes the outcome "failure".
        days: delivery days asked for, where the run handled no dump.
        seconds: wall time so far.
    """
    found = reports.run_dumps(connection, run_id)
    failed = tuple((dump.feed, check) for dump, checks in found for check in checks if not check.passed)
    dumps = tuple(dump for dump, _ in found)
    return RunReport(
        run_id=run_id,
        run_url=run_url(dagster_url, run_id),
        outcome=_outcome(dumps, failed, error),
        sender=sender,
        days=tuple(sorted({dump.delivery_day for dump in dumps} | set(days))),
        dumps=dumps,
        failed_checks=failed,
        error=error,
        seconds=seconds,
    )


def _outcome(dumps: Sequence[DumpReport], failed: Sequence[tuple[str, CheckOutcome]], error: str) -> str:
    if error:
        return "failure"
    return "attention" if failed or any(dump.needs_a_person for dump in dumps) else "success"
