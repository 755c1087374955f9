"""`claims-pipeline quarantine`: rows that broke a rule, where they are, what they say, and taking them in after all.

Belongs here: the words and tables of these commands. Does not belong here: reading and opening rows (warehouse, frames)
and the replay (`replay`). `show` is the one place of the product that prints values of records: to a terminal, to
somebody who has the keys and says why, and after that was written down.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from claims_pipeline.cli.common import make_services, the_one
from claims_pipeline.cli.output import (
    EXIT_ATTENTION,
    actor,
    err,
    errors_in_one_line,
    out,
    print_json,
    table,
)

if TYPE_CHECKING:
    import psycopg

    from claims_pipeline.replay import Replayed
    from claims_pipeline.services import Services
    from claims_pipeline.warehouse.ledger import Dump
    from claims_pipeline.warehouse.quarantine import SealedRow, Selection

app = typer.Typer(
    help="Rows that broke a rule: kept sealed, with the rule and their place in the dump, until a replay takes them.",
    no_args_is_help=True,
)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs; never a value of a record.")]
FeedName = Annotated[str | None, typer.Option("--feed", help='Only this feed, "sender/dataset".', show_default="all")]
Rule = Annotated[str | None, typer.Option("--rule", help='Only this rule, such as "state.isin".', show_default="all")]
Day = Annotated[
    dt.datetime | None,
    typer.Option("--day", help="Only this delivery day.", formats=["%Y-%m-%d"], show_default="all"),
]
OneDump = Annotated[
    str | None, typer.Option("--dump", help="Only this dump: file name, key, or number.", show_default="all")
]
Page = Annotated[int, typer.Option(help="Which page.", min=1)]
Limit = Annotated[int, typer.Option(help="Lines of a page.", min=1)]


@app.command("list")
def list_rows(
    feed: FeedName = None,
    rule: Rule = None,
    day: Day = None,
    dump: OneDump = None,
    page: Page = 1,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """What is in quarantine, by feed, rule, delivery day and contract; no values.

    A row that broke several rules is counted with each. Rows of undone and superseded dumps are not listed.
    """
    with errors_in_one_line():
        from claims_pipeline.warehouse import quarantine

        with make_services().database() as connection:
            which = _selection(connection, feed, rule, day, dump)
            rows, dumps = quarantine.count(connection, which)
            found = quarantine.groups(connection, which, limit=limit, offset=(page - 1) * limit)
        if as_json:
            print_json({"rows": rows, "dumps": dumps, "page": page, "groups": found})
            return
        if found:
            lines = [(g.feed, g.rule, g.day, g.contract[:12], g.rows, _numbers(g.dumps), g.latest) for g in found]
            out.print(
                table("in quarantine", ["feed", "rule", "day", "contract", "rows", "dumps", "set apart at"], lines)
            )
        out.print(f"{rows:,} rows of {dumps:,} dumps are in quarantine{', page ' + str(page) if page > 1 else ''}.")


@app.command()
def show(
    file: Annotated[str, typer.Argument(help="The dump: file name, key, or number.", show_default=False)],
    row: Annotated[list[int] | None, typer.Option("--row", help="Only this row number; may be repeated.")] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Why you look; kept with your name.")] = None,
    sealed_only: Annotated[bool, typer.Option("--sealed-only", help="Places and rules only, nothing opened.")] = False,
    yes_print_values: Annotated[
        bool, typer.Option("--yes-print-values", help="Print values although the output is no terminal.")
    ] = False,
    page: Page = 1,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """Open rows of a dump and print them as delivered, columns that broke a rule marked.

    Needs the quarantine keys and a --reason; who looked at which rows, when and why is kept for good. With
    --sealed-only or --json nothing is opened: row number, line of the file, columns and rules.
    """
    with errors_in_one_line():
        from claims_pipeline.errors import ClaimsPipelineError
        from claims_pipeline.warehouse import quarantine

        services = make_services()
        with services.database() as connection:
            dump = _one(connection, file)
            rows = quarantine.rows(connection, dump.dump_id, numbers=row or (), limit=limit, offset=(page - 1) * limit)
        if as_json:
            print_json([_place(found) for found in rows])
            return
        if not rows:
            err.print(f"No such row of dump {dump.dump_id} is in quarantine. `quarantine list` tells what is.")
            raise typer.Exit(EXIT_ATTENTION)
        if sealed_only:
            titles = ["row", "line", "columns", "rules", "contract", "key", "resolved at"]
            lines = [tuple(_place(found).values()) for found in rows]
            out.print(table(f"dump {dump.dump_id} {dump.key}", titles, [_joined(line) for line in lines]))
            return
        if reason is None or not reason.strip():
            raise ClaimsPipelineError(
                "say why you look, with --reason; it is kept with your name (or use --sealed-only)"
            )
        if not (sys.stdout.isatty() or yes_print_values):
            raise ClaimsPipelineError(
                "the output is no terminal, and values of records do not belong into files and pipes: "
                "use --sealed-only, or --yes-print-values if you must"
            )
        opened = [(found, _opened(services, found)) for found in rows]
        with services.database() as connection:
            numbers = [found.row_number for found in rows]
            quarantine.note_look(connection, dump.dump_id, numbers, by=actor(), reason=reason)
        for found, content in opened:
            _print_row(dump, found, content)


@app.command()
def replay(
    feed: FeedName = None,
    rule: Rule = None,
    day: Day = None,
    dump: OneDump = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would pass; nothing is written.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take in what keeps the contract now, after it was mended: the dumps are read again from the raw archive.

    Dumps with matching rows are replayed as a whole, oldest first. Rows that pass are merged in version order, so that
    nothing newer is overwritten; rows that still break a rule stay. Exit code 1: a dump was not loaded, see its line.
    """
    with errors_in_one_line():
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        from claims_pipeline import replay as replaying
        from claims_pipeline.flow import Flow
        from claims_pipeline.reporting import CLI_RUN

        services = make_services()
        with services.database() as connection:
            which = _selection(connection, feed, rule, day, dump)
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}: {task.completed:,} rows", markup=False),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=err, transient=True) as progress:
            task = progress.add_task("looking for dumps", total=None)
            flow = Flow(
                services,
                run_id=f"{CLI_RUN}{uuid.uuid4().hex[:16]}",
                progress=lambda rows: progress.update(task, completed=rows),
            )
            done = replaying.replay(
                flow,
                which,
                dry_run=dry_run,
                each=lambda one: progress.reset(task, description=one.key.rpartition("/")[2], total=None),
            )
        if as_json:
            print_json(done)
        else:
            _print_replayed(done, dry_run=dry_run)
        if any(one.trouble for one in done):
            raise typer.Exit(EXIT_ATTENTION)


def _selection(
    connection: psycopg.Connection, feed: str | None, rule: str | None, day: dt.datetime | None, dump: str | None
) -> Selection:
    from claims_pipeline.warehouse.quarantine import Selection

    number = _one(connection, dump).dump_id if dump is not None else None
    return Selection(feed=feed, rule=rule, day=day.date() if day else None, dump_id=number)


def _one(connection: psycopg.Connection, file: str) -> Dump:
    from claims_pipeline.warehouse import ledger

    return the_one(ledger.find(connection, file), file)


def _opened(services: Services, row: SealedRow) -> dict[str, object]:
    """The row as delivered."""
    from claims_pipeline.errors import ClaimsPipelineError
    from claims_pipeline.frames import unseal

    if not row.sealed:
        raise ClaimsPipelineError(f"retention took what row {row.row_number} said; `replay` reads its raw dump")
    ring = services.keys.quarantine
    if row.key_version not in ring.versions:
        raise ClaimsPipelineError(
            f"row {row.row_number} was sealed with key {row.key_version!r}, which CLAIMS_QUARANTINE_KEYS lacks "
            f"(it has {', '.join(ring.versions)}): add that key in front; the last of the list seals"
        )
    context = f"{row.feed}:{row.row_number}"
    plain = unseal(row.sealed, ring=ring, version=row.key_version, context=context)
    opened: dict[str, object] = json.loads(plain)
    return opened


def _broken(row: SealedRow, names: Sequence[str]) -> set[str]:
    """Names, as delivered, of the columns that broke a rule."""
    from claims_pipeline.feeds import feed_named
    from claims_pipeline.frames.header import places_of

    try:
        places = places_of(tuple(names), feed_named(row.feed))
    except KeyError:  # the feed has left the contracts: names as they were
        return set(row.columns)
    return {names[place] for column in row.columns for place in places.get(column, [])} | set(row.columns)


def _print_row(dump: Dump, row: SealedRow, content: dict[str, object]) -> None:
    place = f"row {row.row_number}" + (f", line {row.line}" if row.line else "")
    state = f"resolved at {row.resolved_at:%Y-%m-%d %H:%M}Z" if row.resolved_at else "open"
    typer.secho(f"{dump.key} (dump {dump.dump_id}), {place}: {', '.join(row.rules)} ({state})", bold=True)
    broken = _broken(row, list(content))
    width = max((len(name) for name in content), default=0)
    for name, value in content.items():
        line = f"{'>' if name in broken else ' '} {_visible(name):<{width}}  {_visible(value)}"
        typer.secho(line, fg="red" if name in broken else None)


def _visible(value: object) -> str:
    """A value with everything escaped that a terminal might obey or hide."""
    if value is None:
        return "NULL"
    text = value if isinstance(value, str) else json.dumps(value)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _place(row: SealedRow) -> dict[str, object]:
    return {
        "row_number": row.row_number,
        "line": row.line,
        "columns": row.columns,
        "rules": row.rules,
        "contract": row.contract[:12],
        "key_version": row.key_version,
        "resolved_at": row.resolved_at,
    }


def _joined(line: Sequence[object]) -> list[object]:
    return [", ".join(cell) or None if isinstance(cell, list) else cell for cell in line]


def _numbers(numbers: Sequence[int], most: int = 5) -> str:
    more = f" and {len(numbers) - most} more" if len(numbers) > most else ""
    return ", ".join(map(str, numbers[:most])) + more


def _print_replayed(done: Sequence[Replayed], *, dry_run: bool) -> None:
    if not done:
        out.print("No dump has such rows in quarantine.")
        return
    lines: list[tuple[object, ...]] = [
        (one.dump_id, one.file.rpartition("/")[2], rule, rows, one.passed.get(rule, 0), one.undecided.get(rule, 0))
        for one in done
        for rule, rows in one.open.items()
    ]
    titles = ["dump", "file", "rule", "rows open", "would pass" if dry_run else "passed", "only a load can tell"]
    if not any(one.undecided for one in done):
        titles, lines = titles[:-1], [line[:-1] for line in lines]
    out.print(table("dry run: nothing was written" if dry_run else "replayed", titles, lines))
    for one in done:
        if one.newly:
            words = "would be set apart that keep" if dry_run else "are set apart that kept"
            out.print(f"  dump {one.dump_id}: {one.newly:,} rows {words} the contract so far")
        if one.trouble:
            out.print(Text(f"  dump {one.dump_id}:", "red"), one.trouble, highlight=False)
