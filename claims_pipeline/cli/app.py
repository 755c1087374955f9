"""The command tree and the commands about dumps: status, explain, approve, reject, retry, migrate."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

import typer
from rich.text import Text

from claims_pipeline.cli import (
    audit,
    backup,
    calendar,
    catch_up,
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
from claims_pipeline.cli.common import AsJson, make_services, the_one
from claims_pipeline.cli.output import (
    EXIT_ATTENTION,
    actor,
    err,
    errors_in_one_line,
    out,
    print_json,
    print_not_read_yet,
    table,
)

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
catch_up.add_to(app)
dashboard.add_to(app)
develop.add_to(app)
erase.add_to(app)
prune.add_to(app)
rebuild.add_to(app)
undo.add_to(app)

File = Annotated[str, typer.Argument(help="File name, whole key, or dump number.", show_default=False)]
Reason = Annotated[str, typer.Option("--reason", help="Why, in a sentence; never a value of a record.")]


@app.command()
def status(as_json: AsJson = False) -> None:
    """How far every feed is: last day loaded, dumps open, refused and skipped, and whether it is fresh."""
    with errors_in_one_line():
        from claims_pipeline import checks
        from claims_pipeline.feeds import all_feeds
        from claims_pipeline.flow import Flow
        from claims_pipeline.warehouse import ledger, reports

        services = make_services()
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
                s.dumps_skipped, rows, _behind(s.last_loaded_day, int(fresh.figures["days_behind"])),
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
                Text("no contract", "red"),
            )
            for s in found.values()
        ]
        out.print(table("feeds", columns, rows))
        print_not_read_yet(waiting)


@app.command()
def explain(file: File, as_json: AsJson = False) -> None:
    """What became of a dump and why: verdict, checks, rows by verdict, quarantine by rule, every load."""
    with errors_in_one_line():
        from claims_pipeline.warehouse import ledger, reports

        with make_services().database() as connection:
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
            out.print(Text(dump.key, "bold"), f"(dump {dump.dump_id} of {dump.feed})", highlight=False)
            verdict = f", verdict {dump.verdict}" if dump.verdict else ""
            again = f" (see dump {dump.same_as})" if dump.same_as else ""
            out.print(f"  status {dump.status}{verdict}{again}. {dump.reason}".rstrip(), highlight=False)
            out.print(
                f"  delivery day {dump.delivery_day}, stamp {dump.stamp:%Y-%m-%d %H:%M:%S}Z, {dump.size_bytes:,} bytes"
            )
            out.print(f"  arrived {dump.arrived_at:%Y-%m-%d %H:%M:%S}Z, SHA-256 {dump.sha256 or '-'}")
            out.print(f"  archived as {dump.archive_key or '-'}", highlight=False)
            if dump.pruned:
                out.print(f"  {dump.pruned}", highlight=False)
            if checks:
                rows = [(c.name, "passed" if c.passed else Text(c.severity, "red"), c.summary) for c in checks]
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

        with make_services().owner_database() as connection:
            changes = run_migrations(connection, all_feeds())
        for change in changes or ["the database is up to date"]:
            out.print(change, highlight=False)


def _behind(last_day: dt.date | None, days: int) -> str | Text:
    if not days:
        return "yes"
    if last_day is None:
        return Text("nothing loaded yet", "red")
    return Text(f"{days} day{'s' if days > 1 else ''} behind", "red")


def _decide(file: str, what: Literal["approve", "reject", "retry"], reason: str = "") -> None:
    with errors_in_one_line():
        from claims_pipeline import decisions
        from claims_pipeline.errors import ClaimsPipelineError
        from claims_pipeline.vocabulary import DumpStatus, DumpVerdict
        from claims_pipeline.warehouse import ledger

        services = make_services()
        with services.database() as connection:
            dumps = ledger.find(connection, file)
            if what == "retry":
                again = (DumpStatus.FAILED, DumpStatus.REFUSED)
                dump = the_one(dumps, file, state="failed or refused", fits=lambda dump: dump.status in again)
                if dump.raw_pruned_at is not None:
                    raise ClaimsPipelineError(f"dump {dump.dump_id}: {dump.pruned}")
                ledger.reopen(connection, dump.dump_id)
                after = ledger.get(connection, dump.dump_id)
            else:
                dump = the_one(dumps, file, state="held", fits=lambda dump: dump.verdict is DumpVerdict.HELD)
                after = decisions.decide(services, dump, what, by=actor(), reason=reason)
        out.print(f"dump {after.dump_id} {after.key}: {after.status} {after.reason}".rstrip(), highlight=False)
