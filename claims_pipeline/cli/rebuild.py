"""`claims-pipeline rebuild` and `rebuild-drill`: tables from the raw archive alone, compared with the live ones.

Belongs here: the words and tables of the commands. Does not belong here: the work (rebuild).
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from claims_pipeline.cli.common import AsJson, make_services
from claims_pipeline.cli.output import EXIT_ATTENTION, counting, errors_in_one_line, out, print_json, table
from claims_pipeline.cli.telling import told

if TYPE_CHECKING:
    from claims_pipeline.rebuild import Comparison, Rebuilt


def add_to(app: typer.Typer) -> None:
    """Add the commands to the tree."""
    app.command("rebuild")(rebuild)
    app.command("rebuild-drill")(rebuild_drill)


def rebuild(
    into: Annotated[
        str,
        typer.Option(
            help="postgresql:// URL of an empty database; better given by the variable, which others cannot list.",
            envvar="CLAIMS_REBUILD_URL",
            show_default=False,
        ),
    ],
    feed: Annotated[
        list[str] | None,
        typer.Option(
            help="Only this feed (sender/dataset), and those whose tables depend on one another; may be repeated.",
            show_default="all",
        ),
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Compare with the live tables and histories, row by row.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make the tables again from the raw archive alone, in an EMPTY database.

    Reads manifests, notes of decisions and raw dumps; no ledger. Every dump keeps its number; what was superseded,
    repeated, approved, rejected or undone is so again. Broken off, the same command goes on. The archive is only read,
    but for frames below rebuild/, which are removed in the end.

    With --compare, dumps that the live database has not loaded yet, or has given up, are entered and not loaded. Exit
    code 0: made (and equal). 1: a table differs, or bytes of a dump are gone. 3: not made; start it again.
    """
    with errors_in_one_line():
        from claims_pipeline import rebuild as work
        from claims_pipeline.errors import ClaimsPipelineError
        from claims_pipeline.feeds import feed_named
        from claims_pipeline.flow import Flow
        from claims_pipeline.reporting import CLI_RUN

        services, run_id = make_services(), f"{CLI_RUN}{uuid.uuid4().hex[:16]}"
        try:
            feeds = [feed_named(name) for name in feed] if feed else None
        except KeyError as unknown:
            raise ClaimsPipelineError(str(unknown.args[0])) from None
        with counting("dumps") as progress:
            task = progress.add_task("reading the archive", total=None)
            if compare:
                Flow(services, run_id=run_id).prepare(work.with_kin(feeds) if feeds else None)
            live = work.snapshot(services, feeds) if compare else None
            done = work.rebuild(
                services,
                into,
                run_id=run_id,
                feeds=feeds,
                live=live,
                each=lambda n, of, name: progress.update(task, description=name, completed=n, total=of),
            )
            progress.update(task, description="comparing", completed=done.dumps)
            comparison = work.compare_with(services, into, feeds=feeds, live=live) if compare else None
        if as_json:
            print_json({"rebuilt": done, "comparison": comparison})
        else:
            _show(done, comparison)
        if done.gone or (comparison is not None and not comparison.equal):
            raise typer.Exit(EXIT_ATTENTION)


def rebuild_drill(as_json: AsJson = False) -> None:
    """Prove the raw archive: make tables of one feed again in a scratch database, compare with the live ones, drop it.

    Takes the feed that was not drilled for the longest time, and those whose tables depend on one another, of at most
    CLAIMS_REBUILD_DRILL_BYTES of raw dumps; `ops.rebuild` remembers. The scratch database is made on the warehouse's
    server, by the owner (CLAIMS_OWNER_DATABASE_URL). Without Dagster, let it run weekly.

    Exit code 0: every table and history is the same, or no dump is in effect yet. 1: a table differs. 3: it could not
    be made; start it again.
    """
    with errors_in_one_line(), told("rebuild_drill"):
        from claims_pipeline import rebuild as work
        from claims_pipeline.flow import Flow
        from claims_pipeline.reporting import CLI_RUN

        services, run_id = make_services(), f"{CLI_RUN}{uuid.uuid4().hex[:16]}"
        with counting("dumps") as progress:
            task = progress.add_task("reading the archive", total=None)
            Flow(services, run_id=run_id).prepare([])
            done = work.drill(
                services,
                run_id=run_id,
                each=lambda n, of, name: progress.update(task, description=name, completed=n, total=of),
            )
        if as_json:
            print_json(done or {"rebuilt": None, "comparison": None})
        elif done is None:
            out.print("no dump is in effect yet: there is nothing to make again")
        else:
            out.print(f"drilled: {', '.join(done.rebuilt.feeds)}", highlight=False)
            _show(done.rebuilt, done.comparison)
        if done is not None and not done.comparison.equal:
            raise typer.Exit(EXIT_ATTENTION)


def _show(done: Rebuilt, comparison: Comparison | None) -> None:
    statuses = ", ".join(f"{count:,} {status}" for status, count in sorted(done.statuses.items()))
    out.print(
        f"rebuilt: {done.dumps:,} dumps ({statuses or 'none'}), {done.rows:,} rows in {len(done.feeds)} tables, "
        f"{done.seconds:.1f} s",
        highlight=False,
    )
    if done.gone:
        out.print(
            Text("bytes gone or changed:", "red"), f"{done.gone:,} dumps; their rows are not there", highlight=False
        )
    if comparison is None:
        return
    if comparison.equal:
        out.print(f"equal: {comparison.tables} tables and histories are as the live ones", highlight=False)
        return
    rows = [(d.table, d.rows, d.rows_other, d.missing, d.extra) for d in comparison.differences]
    titles = ["table", "live rows", "rebuilt rows", "live only", "rebuilt only"]
    out.print(table(f"{len(rows)} of {comparison.tables} tables differ", titles, rows))
    for numbers, where in ((comparison.only_live, "live"), (comparison.only_rebuilt, "rebuilt")):
        if numbers:
            out.print(f"in the {where} tables only: dumps {', '.join(map(str, numbers))}", highlight=False)
