"""What commands tell where a CronJob runs them: that a task failed, that `catch-up` came to its end, how things stand.

Belongs here: what Dagster's hooks, sensors and schedules tell otherwise. Does not belong here: words, sinks (alerts).
"""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from claims_pipeline import telemetry
from claims_pipeline.errors import safe_text

if TYPE_CHECKING:
    from claims_pipeline.services import Services


@contextmanager
def told(task: str, *, exits: bool = True) -> Iterator[None]:
    """Tell Slack and Datadog of a task that failed, unless a person sits at a terminal and sees it.

    Args:
        task: as messages and monitors know it (`alerts.messages.TASKS`).
        exits: an exit code other than 0 is a failure too; not where the command has told of it already.
    """
    try:
        yield
    except typer.Exit as end:
        if exits and end.exit_code:
            _tell(task, f"the command ended with exit code {end.exit_code}: its output says why")
        raise
    except typer.Abort:
        raise
    except Exception as error:
        _tell(task, safe_text(error))
        raise


def _tell(task: str, error: str) -> None:
    telemetry.event("task_failed", level="error", task=task, error=error)
    if sys.stdin is not None and sys.stdin.isatty():
        return
    from claims_pipeline.alerting import make_alerts
    from claims_pipeline.settings import get_settings

    make_alerts(get_settings()).upkeep_failed(task=task, error=error, run_id="")


def tell_caught_up(services: Services) -> None:
    """Send Datadog that `catch-up` came to its end, what is behind, and how old backups and the look at the audit are.

    Raises:
        Transient, ClaimsPipelineError: database or S3 failed; the sign of life was sent.
    """
    if services.settings.datadog_statsd_host is None:
        return
    from claims_pipeline import auditing, pulse
    from claims_pipeline.alerting import make_alerts
    from claims_pipeline.warehouse import backup_log

    alerts = make_alerts(services.settings)
    alerts.caught_up()
    alerts.pulse(pulse.take(services, now=dt.datetime.now(dt.UTC)))
    with services.database() as connection:
        alerts.backups(**asdict(backup_log.standing(connection)))
    alerts.audit(age=auditing.age(services))
