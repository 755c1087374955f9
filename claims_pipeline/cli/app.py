"""The command tree and the commands about dumps: catch-up, status, explain, approve, reject, retry, migrate."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from claims_pipeline.cli import (
    audit,
    backup,
    calendar,
    dashboard,
    develop,
    erase,
    events,
    feeds,
    keys,
    local,
    monitors,
    prune,
    quarantine,
    rebuild,
    reports,
    roles,
    undo,
)
from claims_pipeline.cli.output import (
    EXIT_ATTENTION,
    EXIT_ERROR,
    actor,
    err,
    errors_in_one_line,
    out,
    print_json,
    table,
)
from claims_pipeline.cli.telling import tell_caught_up, told

if TYPE_CHECKING:
    from claims_pipeline.feeds import Sender
    from claims_pipeline.flow import Flow
    from claims_pipeline.services import Services
    from claims_pipeline.vocabulary import DumpReport, RunReport
    from claims_pipeline.warehouse.ledger import Dump

app = typer.Typer(
    name="claims-pipeline",
    help="Daily dumps of personal records, from a sender's S3 inbox into protected, explained SQL tables.\n\n"
    "Without CLAIMS_* settings everything is embedded: a Postgres, an S3 endpoint and fake senders, nothing to start.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # rich tracebacks print the values of local variables
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(local.app, name="local")
app.add_typer(feeds.app, name="feeds")
app.add_typer(audit.app, name="audit")
app.add_typer(backup.app, name="backup")
app.add_typer(events.app, name="events")
app.add_typer(keys.app, name="keys")
app.add_typer(monitors.app, name="monitors")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(reports.app, name="reports")
app.add_typer(roles.app, name="roles")
calendar.add_to(app)
dashboard.add_to(app)
develop.add_to(app)
erase.add_to(app)
prune.add_to(app)
rebuild.add_to(app)
undo.add_to(app)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table.")]
File = Annotated[str, typer.Argument(help="File name, whole key, or dump number.", show_default=False)]
Reason = Annotated[str, typer.Option("--reason", help="Why, in a sentence; never a value of a record.")]
SenderName = Annotated[
    str | None,
    typer.Option("--sender", help="Only this sender.", show_default="all"),
]


@app.command("catch-up")
def catch_up(sender: SenderName = None, as_json: AsJson = False) -> None:
    """Find and load everything that has arrived, once, and report; tell what is missing by the calendar, once.

    What a Kubernetes CronJob runs. Exit code 0: all well. 1: something was refused, held, failed or unknown.
    3: the inbox or the database could not be reached, or not for long enough.
    """
    with errors_in_one_line(), told("catch_up", exits=False):
        import datetime as dt

        from claims_pipeline.alerting import make_alerts
        from claims_pipeline.deliveries import watch
        from claims_pipeline.feeds import feeds_of
        from claims_pipeline.flow import Flow
        from claims_pipeline.reporting import CLI_RUN
        from claims_pipeline.warehouse import ledger

        services, begun = _services(), time.monotonic()
        reports, unfinished, waiting, stale, attention = [], [], [], "", False
        events.hear_out(services)
        with Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("rows"),
            TimeElapsedColumn(),
            console=err,
            transient=True,
        ) as progress:
            task = progress.add_task("listing the inbox", total=None)
            for one in senders_named(sender):
                run_id = f"{CLI_RUN}{uuid.uuid4().hex[:16]}"
                flow = Flow(services, run_id=run_id, progress=lambda rows: progress.update(task, completed=rows))
                for report, left in _worked_off(
                    flow,
                    one,
                    begun=begun,
                    each=lambda dump: progress.reset(task, description=dump.key.rpartition("/")[2], total=None),
                ):
                    unfinished += left
                    attention = attention or report.outcome != "success"
                    if as_json:
                        reports.append(report)
                    else:
                        progress.stop()
                        _print_report(report)
                        progress.start()
                progress.reset(task, description=f"reports of {one.name}", total=None)
                stale = _refresh_reports(services, one, run_id) or stale
                with services.database() as connection:
                    alerts = make_alerts(services.settings)
                    watch(connection, alerts, feeds_of(one.name), now=dt.datetime.now(dt.UTC), begin=True)
                    waiting += ledger.waiting(connection, one.name)
        if sender is None:
            tell_caught_up(services)
        if as_json:
            print_json(reports)
        else:
            _print_waiting(waiting)
        for dump in unfinished:
            err.print(f"[red]Not finished:[/] {dump.key}: {dump.reason}", highlight=False)
        if stale:
            err.print(f"[red]Reports are as they were:[/] {stale}", highlight=False)
        if unfinished:
            raise typer.Exit(EXIT_ERROR)
        if stale or attention:
            raise typer.Exit(EXIT_ATTENTION)


@app.command()
def status(as_json: AsJson = False) -> None:
    """How far every feed is: last day loaded, dumps open, refused and skipped, and whether it is fresh."""
    with errors_in_one_line():
        import datetime as dt

        from claims_pipeline import checks
        from claims_pipeline.feeds import all_feeds
        from claims_pipeline.flow import Flow
        from claims_pipeline.warehouse import ledger, reports

        services = _services()
        Flow(services, run_id="status").prepare()
        now = dt.datetime.now(dt.UTC)
        with services.database() as connection:
            found = {line.feed: line for line in reports.feed_status(connection)}
            quarantined = dict(reports.quarantine_by_feed(connection))
            waiting = ledger.waiting(connection)
        lines = []
        for feed in all_feeds():
            state = found.pop(feed.name, None) or reports.FeedStatus(feed.name, None, None, 0, 0, 0, 0)
            fresh = checks.fresh(feed, now=now, last_loaded_day=state.last_loaded_day)
            lines.append((state, fresh, quarantined.get(feed.name, 0)))
        if as_json:
            print_json(
                [{"status": state, "fresh": fresh, "quarantined": rows} for state, fresh, rows in lines]
                + [{"status": state} for state in found.values()]
            )
            return
        columns = ["feed", "last day", "loaded at", "loaded", "open", "refused", "skipped", "quarantined", "fresh"]
        rows = [
            (
                s.feed, s.last_loaded_day, s.last_loaded_at, s.dumps_loaded, s.dumps_open, s.dumps_refused,
                s.dumps_skipped, rows, "yes" if fresh.passed else f"[red]{fresh.figures['days_behind']} days behind[/]",
            )
            for s, fresh, rows in lines
        ]  # fmt: skip
        rows += [
            (
                s.feed,
                None,
                None,
                s.dumps_loaded,
                s.dumps_open,
                s.dumps_refused,
                s.dumps_skipped,
                0,
                "[red]no contract[/]",
            )
            for s in found.values()
        ]
        out.print(table("feeds", columns, rows))
        _print_waiting(waiting)


@app.command()
def explain(file: File, as_json: AsJson = False) -> None:
    """What became of a dump and why: verdict, checks, rows by verdict, quarantine by rule, every load."""
    with errors_in_one_line():
        from claims_pipeline.warehouse import ledger, reports

        with _services().database() as connection:
            dumps = ledger.find(connection, file)
            if not dumps:
                err.print(f"No dump is named {file}. `claims-pipeline status` lists feeds; names are case-sensitive.")
                raise typer.Exit(EXIT_ATTENTION)
            stories = [
                (
                    dump,
                    reports.dump_report(connection, dump.dump_id)[1],
                    reports.quarantine_of(connection, dump.dump_id),
                    reports.loads_of(connection, dump.dump_id),
                )
                for dump in dumps
            ]
        if as_json:
            print_json(
                [
                    {"dump": dump, "checks": checks, "quarantine": dict(rules), "loads": loads}
                    for dump, checks, rules, loads in stories
                ]
            )
            return
        for dump, checks, rules, loads in stories:
            out.print(f"[bold]{dump.key}[/] (dump {dump.dump_id} of {dump.feed})", highlight=False)
            verdict = f", verdict [bold]{dump.verdict}[/]" if dump.verdict else ""
            again = f" (see dump {dump.same_as})" if dump.same_as else ""
            out.print(f"  status [bold]{dump.status}[/]{verdict}{again}. {dump.reason}", highlight=False)
            out.print(
                f"  delivery day {dump.delivery_day}, stamp {dump.stamp:%Y-%m-%d %H:%M:%S}Z, {dump.size_bytes:,} bytes"
            )
            out.print(f"  arrived {dump.arrived_at:%Y-%m-%d %H:%M:%S}Z, SHA-256 {dump.sha256 or '-'}")
            out.print(f"  archived as {dump.archive_key or '-'}", highlight=False)
            if dump.pruned:
                out.print(f"  {dump.pruned}", highlight=False)
            if checks:
                rows = [(c.name, "passed" if c.passed else f"[red]{c.severity}[/]", c.summary) for c in checks]
                out.print(table("checks", ["check", "result", "figures"], rows))
            if dump.validation and dump.validation["issues"]:
                issues = sorted(dump.validation["issues"].items(), key=lambda item: -item[1])
                out.print(table("issues (rows were loaded)", ["rule", "rows"], issues))
            if rules:
                out.print(table("in quarantine", ["rule", "rows"], rules))
            if loads:
                names = [n for n in loads[0] if n.startswith("rows_") and any(load[n] for load in loads)]
                titles = ["load", "kind", "finished", *(n.removeprefix("rows_") for n in names), "run"]
                audit = [
                    (load["load_id"], load["kind"], load["finished_at"], *(load[n] for n in names), load["run_id"][:12])
                    for load in loads
                ]
                out.print(table("loads", titles, audit))


@app.command()
def approve(file: File, reason: Reason) -> None:
    """Release a held dump: the next run loads it, whatever its budget. Who and why are kept, in the archive too."""
    _decide(file, "approve", reason)


@app.command()
def reject(file: File, reason: Reason) -> None:
    """Refuse a held dump for good. Who and why are kept, in the archive too."""
    _decide(file, "reject", reason)


@app.command()
def retry(file: File) -> None:
    """Give a failed or refused dump another chance, as after its contract was mended; the next run takes it up."""
    _decide(file, "retry")


@app.command()
def migrate() -> None:
    """Bring the database to this version: roles, ops schema, the tables of all contracts, rights. Idempotent.

    Uses CLAIMS_OWNER_DATABASE_URL: claims_owner, or a user who may become it. The first time, one who may make roles.
    """
    with errors_in_one_line():
        from claims_pipeline.feeds import all_feeds
        from claims_pipeline.warehouse.migrate import migrate as run_migrations

        with _services().owner_database() as connection:
            changes = run_migrations(connection, all_feeds())
        for change in changes or ["the database is up to date"]:
            out.print(change, highlight=False)


def _services() -> Services:
    from claims_pipeline.services import Services
    from claims_pipeline.settings import get_settings

    return Services(get_settings())


def senders_named(name: str | None) -> list[Sender]:
    """The sender of that name, or all for None.

    Raises:
        ClaimsPipelineError: no such sender; the message lists those that exist.
    """
    from claims_pipeline.errors import ClaimsPipelineError
    from claims_pipeline.feeds import all_senders

    found = [sender for sender in all_senders() if name in (None, sender.name)]
    if not found:
        known = ", ".join(sender.name for sender in all_senders())
        raise ClaimsPipelineError(f"no sender is named {name!r}; known: {known}")
    return found


def _decide(file: str, what: Literal["approve", "reject", "retry"], reason: str = "") -> None:
    with errors_in_one_line():
        from claims_pipeline import decisions
        from claims_pipeline.errors import ClaimsPipelineError
        from claims_pipeline.vocabulary import DumpStatus, DumpVerdict
        from claims_pipeline.warehouse import ledger

        services = _services()
        with services.database() as connection:
            again = (DumpStatus.FAILED, DumpStatus.REFUSED)
            dumps = ledger.find(connection, file)
            wanted = [
                dump
                for dump in dumps
                if (dump.status in again if what == "retry" else dump.verdict is DumpVerdict.HELD)
            ]
            if len(wanted) != 1:
                state = "failed or refused" if what == "retry" else "held"
                raise ClaimsPipelineError(
                    f"{len(dumps)} dumps are named {file}, {len(wanted)} of them {state}: "
                    "give the number of one dump, as `claims-pipeline explain` shows it"
                )
            dump = wanted[0]
            if what == "retry":
                if dump.raw_pruned_at is not None:
                    raise ClaimsPipelineError(f"dump {dump.dump_id}: {dump.pruned}")
                ledger.reopen(connection, dump.dump_id)
                after = ledger.get(connection, dump.dump_id)
            else:
                after = decisions.decide(services, dump, what, by=actor(), reason=reason)
        out.print(f"dump {after.dump_id} {after.key}: {after.status} {after.reason}", highlight=False)


def _numbers(dump: DumpReport, names: Sequence[str]) -> list[int]:
    return [dump.rows.as_dict()[name] for name in names]


def _print_waiting(dumps: Sequence[Dump]) -> None:
    for dump in dumps:
        out.print(f"  [yellow]not read yet[/] {dump.key}: {dump.reason}", highlight=False)


def _refresh_reports(services: Services, sender: Sender, run_id: str) -> str:
    """Make a sender's reports; why that failed, which is told, and does not undo the loads; empty when all is well."""
    from claims_pipeline import bi
    from claims_pipeline.alerting import make_alerts
    from claims_pipeline.errors import safe_text, whereabouts

    try:
        bi.refresh(services, [sender])
    except Exception as error:  # the loads stand, and their own report is to be printed
        text = f"{safe_text(error)} at {whereabouts(error)}"
        make_alerts(services.settings).upkeep_failed(task="reports", error=text, run_id=run_id, run_url=None)
        return text
    return ""


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


def _not_finished(dumps: Sequence[Dump]) -> str:
    """What a run's report says of those dumps that it could not finish; empty where there are none."""
    left = [dump for dump in dumps if dump.is_open]
    return f"{len(left)} not finished; the first: {left[0].reason}" if left else ""


def _print_report(report: RunReport) -> None:
    if not report.dumps:
        out.print(f"{report.sender}: nothing new.")
        return
    names = ("read", "inserted", "updated", "unchanged", "stale", "duplicate", "filtered", "quarantined", "deleted")
    rows = [
        (dump.file.rpartition("/")[2], str(dump.verdict or "-"), str(dump.status), *_numbers(dump, names))
        for dump in report.dumps
    ]
    out.print(table(f"{report.sender}: {report.outcome}", ["file", "verdict", "status", *names], rows))
    for dump in report.dumps:
        if dump.reason:
            out.print(f"  {dump.file.rpartition('/')[2]}: {dump.reason}", highlight=False)
    for feed, check in report.failed_checks:
        out.print(f"  [red]{check.name}[/] of {feed}: {check.summary}", highlight=False)
    out.print(f"  {report.rows.read:,} rows in {report.seconds:.1f} s")
