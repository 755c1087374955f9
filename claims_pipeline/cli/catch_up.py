"""`claims-pipeline catch-up`: everything that has arrived, once; what a CronJob runs where there is no Dagster.

Belongs here: the order of work over all senders, what is printed and told of it. Does not belong here: loading a
sender's inbox (catching_up.py), the words of messages (alerts).
"""

from __future__ import annotations

import datetime as dt
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import typer
from rich.progress import Progress, TaskID
from rich.text import Text

from claims_pipeline.cli.common import AsJson, SenderName, make_services, senders_named
from claims_pipeline.cli.events import hear_out
from claims_pipeline.cli.output import (
    EXIT_ATTENTION,
    EXIT_ERROR,
    counting,
    err,
    errors_in_one_line,
    out,
    print_json,
    print_not_read_yet,
    table,
)
from claims_pipeline.cli.telling import tell_caught_up, told
from claims_pipeline.errors import ClaimsPipelineError, Transient, safe_text, whereabouts

if TYPE_CHECKING:
    from claims_pipeline.feeds import Sender
    from claims_pipeline.flow import Flow
    from claims_pipeline.services import Services
    from claims_pipeline.vocabulary import RunReport
    from claims_pipeline.warehouse.ledger import Dump

_COUNTED = ("read", "inserted", "updated", "unchanged", "stale", "duplicate", "filtered", "quarantined", "deleted")


def add_to(app: typer.Typer) -> None:
    """Add the command to the tree."""
    app.command("catch-up")(catch_up)


def catch_up(sender: SenderName = None, as_json: AsJson = False) -> None:
    """Find and load everything that has arrived, once, and report; tell what is missing by the calendar, once.

    What a Kubernetes CronJob runs. Exit code 0: all well. 1: something was refused, held, failed or unknown.
    3: the inbox or the database could not be reached, or not for long enough.
    """
    with errors_in_one_line(), told("catch_up", exits=False):
        services, done = make_services(), _Done()
        hear_out(services)
        with counting("rows") as progress:
            work = _Work(services, progress, done, as_json=as_json)
            for one in senders_named(sender):
                work.off(one)
        _conclude(services, done, everything=sender is None, as_json=as_json)


@dataclass
class _Done:
    """What has become of the senders so far.

    Attributes:
        reports: of portions; only where they are printed as JSON, at the end.
        attention: whether one of them, or of those printed already, needs a person.
        unfinished: dumps that stay open.
        waiting: dumps that may not be read yet.
        stale: why reports of `bi` are as they were; empty when all is well.
        failed: why a sender could not be worked off, by its name.
    """

    reports: list[RunReport] = field(default_factory=list)
    attention: bool = False
    unfinished: list[Dump] = field(default_factory=list)
    waiting: list[Dump] = field(default_factory=list)
    stale: str = ""
    failed: dict[str, Exception] = field(default_factory=dict)


@dataclass
class _Work:
    services: Services
    progress: Progress
    done: _Done
    as_json: bool
    begun: float = field(default_factory=time.monotonic)

    def off(self, sender: Sender) -> None:
        """Load a sender's inbox, make its reports, look at its calendar. What fails keeps no other from its turn."""
        task = self.progress.add_task(f"listing the inbox of {sender.name}", total=None)
        try:
            self._load(sender, task)
        except Exception as error:  # of whatever kind: the next sender's dumps are not to wait for it
            self.done.failed[sender.name] = error
        finally:
            self.progress.remove_task(task)

    def _load(self, sender: Sender, task: TaskID) -> None:
        from claims_pipeline.alerting import make_alerts
        from claims_pipeline.deliveries import watch
        from claims_pipeline.feeds import feeds_of
        from claims_pipeline.flow import Flow
        from claims_pipeline.reporting import CLI_RUN
        from claims_pipeline.warehouse import ledger

        done, services = self.done, self.services
        flow = Flow(
            services,
            run_id=f"{CLI_RUN}{uuid.uuid4().hex[:16]}",
            progress=lambda rows: self.progress.update(task, completed=rows),
        )
        for report, left in _worked_off(flow, sender, begun=self.begun, each=lambda dump: self._now(task, dump)):
            done.unfinished += left
            done.attention = done.attention or report.outcome != "success"
            if self.as_json:
                done.reports.append(report)
            else:
                self.progress.stop()  # else its line would stand within the table
                _print_report(report)
                self.progress.start()
        self.progress.reset(task, description=f"reports of {sender.name}", total=None)
        done.stale = _refresh_reports(services, sender, flow.run_id) or done.stale
        with services.database() as connection:
            alerts = make_alerts(services.settings)
            watch(connection, alerts, feeds_of(sender.name), now=dt.datetime.now(dt.UTC), begin=True)
            done.waiting += ledger.waiting(connection, sender.name)

    def _now(self, task: TaskID, dump: Dump) -> None:
        self.progress.reset(task, description=dump.key.rpartition("/")[2], total=None)


def _conclude(services: Services, done: _Done, *, everything: bool, as_json: bool) -> None:
    """Print and tell what is to be said of all senders together.

    Raises:
        typer.Exit: see `catch_up`.
        ClaimsPipelineError: a sender could not be worked off.
    """
    if as_json:
        print_json(done.reports)
    else:
        print_not_read_yet(done.waiting)
    for dump in done.unfinished:
        err.print(Text("Not finished:", "red"), f"{dump.key}: {dump.reason}", highlight=False)
    if done.stale:
        err.print(Text("Reports are as they were:", "red"), done.stale, highlight=False)
    if done.failed:
        text = "; ".join(f"{name} was not worked off: {_words(error)}" for name, error in done.failed.items())
        transient = all(isinstance(error, Transient) for error in done.failed.values())
        raise Transient(text) if transient else ClaimsPipelineError(text)
    if everything:
        tell_caught_up(services)
    if done.unfinished:
        raise typer.Exit(EXIT_ERROR)
    if done.stale or done.attention:
        raise typer.Exit(EXIT_ATTENTION)


def _words(error: Exception) -> str:
    known = isinstance(error, ClaimsPipelineError)
    return str(error) if known else f"{safe_text(error)} at {whereabouts(error)}"


def _worked_off(
    flow: Flow, sender: Sender, *, begun: float, each: Callable[[Dump], None]
) -> Iterator[tuple[RunReport, list[Dump]]]:
    """Work off an inbox in portions: the report of each, which was told, and the dumps that it left open."""
    from claims_pipeline.alerting import make_alerts
    from claims_pipeline.catching_up import portions
    from claims_pipeline.reporting import run_report

    services = flow.services
    for portion in portions(flow, sender, each=each):
        with services.database() as connection:
            report = run_report(
                connection,
                run_id=portion.run_id,
                sender=sender.name,
                dagster_url=services.settings.dagster_url,
                error=_not_finished(portion.dumps),
                seconds=round(time.monotonic() - begun, 3),
            )
        worth_telling = bool(report.dumps or report.error)
        if worth_telling:
            make_alerts(services.settings).run_ended(report)
        if worth_telling or portion.run_id == flow.run_id:  # that nothing is new is said once
            yield report, [dump for dump in portion.dumps if dump.is_open]


def _not_finished(dumps: list[Dump]) -> str:
    """What a run's report says of those dumps that it could not finish; empty where there are none."""
    left = [dump for dump in dumps if dump.is_open]
    return f"{len(left)} not finished; the first: {left[0].reason}" if left else ""


def _refresh_reports(services: Services, sender: Sender, run_id: str) -> str:
    """Make a sender's reports; why that failed, which is told, and does not undo the loads; empty when all is well."""
    from claims_pipeline import bi
    from claims_pipeline.alerting import make_alerts

    try:
        bi.refresh(services, [sender])
    except Exception as error:  # the loads stand, and their own report is to be printed
        text = f"{safe_text(error)} at {whereabouts(error)}"
        make_alerts(services.settings).upkeep_failed(task="reports", error=text, run_id=run_id, run_url=None)
        return text
    return ""


def _print_report(report: RunReport) -> None:
    if not report.dumps:
        out.print(f"{report.sender}: nothing new.")
        return
    counts = [dump.rows.as_dict() for dump in report.dumps]
    shown = [kind for kind in _COUNTED if kind == "read" or any(count[kind] for count in counts)]
    rows = [
        (dump.file.rpartition("/")[2], str(dump.verdict or "-"), str(dump.status), *(count[kind] for kind in shown))
        for dump, count in zip(report.dumps, counts, strict=True)
    ]
    out.print(table(f"{report.sender}: {report.outcome}", ["file", "verdict", "status", *shown], rows))
    for dump in report.dumps:
        if dump.reason:
            out.print(f"  {dump.file.rpartition('/')[2]}: {dump.reason}", highlight=False)
    for feed, check in report.failed_checks:
        out.print(Text(f"  {check.name}", "red"), f"of {feed}: {check.summary}", highlight=False)
    out.print(f"  {report.rows.read:,} rows in {report.seconds:.1f} s")
