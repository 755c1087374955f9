"""`claims-pipeline erase` and `token`: a person's rows out of the tables for good, and whose rows they are.

Belongs here: the words of the commands. Does not belong here: the work (erasure/).
"""

from __future__ import annotations

import getpass
import sys
import uuid
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from claims_pipeline.cli.common import make_services
from claims_pipeline.cli.output import EXIT_ATTENTION, actor, err, errors_in_one_line, out, print_json, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claims_pipeline.erasure import Erased

_SHOWN = 5
"""Row numbers that a line shows; JSON has all."""

Sender = Annotated[str | None, typer.Option("--sender", help="Name of the sender.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs, with every row number.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the tree."""
    app.command("erase")(erase)
    app.command("token")(token)


def erase(
    token: Annotated[
        list[str] | None,
        typer.Option(
            "--token",
            help="Tokens of one identifier of the person, as `token` prints them; may be repeated.",
            show_default=False,
        ),
    ] = None,
    sender: Sender = None,
    reason: Annotated[
        str | None, typer.Option("--reason", help="Why, for the audit; never a value of a record.", show_default=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Take other tokens in the person's rows for the person's too.")
    ] = False,
    search_raw: Annotated[
        bool, typer.Option("--search-raw", help="Read raw dumps whose validated frames are gone. Slow.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Apply the register of erased persons to what is there, as after a restore.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Take a person's rows out of all tables, history, quarantine and frames of a sender. There is no way back.

    Their rows do not come back, whichever dump is loaded, undone, replayed or rebuilt. Raw dumps and backups that hold
    the person are listed and stay: they hold others too (docs/erasure.md). `claims-pipeline token` makes tokens from an
    identifier. A first run with --dry-run shows what goes. Exit code 1: nothing was found.
    """
    with errors_in_one_line():
        from claims_pipeline import bi, erasure
        from claims_pipeline.errors import ClaimsPipelineError
        from claims_pipeline.feeds import all_senders
        from claims_pipeline.flow import Flow
        from claims_pipeline.reporting import CLI_RUN

        if again and (token or follow or search_raw):
            raise ClaimsPipelineError("--again applies what is registered: it takes no token")
        if not again and not (token and sender and reason):
            raise ClaimsPipelineError("say whose rows (--token, --sender) and why (--reason)")
        flow = Flow(make_services(), run_id=f"{CLI_RUN}{uuid.uuid4().hex[:16]}")
        flow.prepare([])
        with err.status("looking") as shown:

            def each(what: str) -> None:
                shown.update(Text(f"looking at {what}"))

            if again:
                senders = [sender] if sender else None
                done = erasure.erase_again(flow, by=actor(), dry_run=dry_run, senders=senders, each=each)
            else:
                request = erasure.Request(
                    sender or "", tuple(token or ()), actor(), reason or "", follow=follow, search_raw=search_raw
                )
                done = [erasure.erase(flow, request, dry_run=dry_run, each=each)]
        # Told before anything else can fail: rows that are gone cannot be counted a second time.
        if as_json:
            print_json(done)
        else:
            _print(done)
        if any(one.erasure_id for one in done):
            bi.refresh(flow.services, [one for one in all_senders() if one.name in {e.sender for e in done}])
        if undeleted := {key for one in done for key in one.undeleted}:
            raise ClaimsPipelineError(
                f"S3 has not let go {len(undeleted)} folders of frames from before erasures yet, and nobody reads them "
                "any more; `claims-pipeline prune --apply` tries again, and says why"
            )
        if not again and not any(one.found for one in done):
            raise typer.Exit(EXIT_ATTENTION)


def token(
    sender: Sender = None,
    family: Annotated[
        str | None,
        typer.Option("--family", "--column", help="What the identifier is, such as icn; or dataset.column."),
    ] = None,
    reason: Annotated[
        str | None, typer.Option("--reason", help="Why; kept with your name, without the identifier.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Print the tokens of an identifier, one for each key, joined by commas: what `erase --token` takes.

    The identifier is read from standard input, not shown on a terminal, and never written anywhere. That you asked, and
    why, is kept.
    """
    with errors_in_one_line():
        from claims_pipeline.erasure import tokens_of
        from claims_pipeline.errors import ClaimsPipelineError

        if not (sender and family and reason):
            raise ClaimsPipelineError("say of which sender (--sender), what it is (--family) and why (--reason)")
        identifier = getpass.getpass("Identifier: ") if sys.stdin.isatty() else sys.stdin.readline()
        made = tokens_of(
            make_services(),
            sender=sender,
            family=family,
            identifier=identifier,
            by=actor(),
            reason=reason,
        )
        if as_json:
            print_json(made)
            return
        typer.echo(",".join(made.values()))


def _print(done: Sequence[Erased]) -> None:
    for one in done:
        _print_one(one)
    if not done:
        out.print("No row of an erased person is there.")


def _print_one(done: Erased) -> None:
    title = f"erased from {done.sender} (erasure {done.erasure_id})" if done.erasure_id else f"found in {done.sender}"
    out.print(table(title, ["rows of", "rows"], list(done.rows.items())))
    lines = [
        (one.feed, one.delivery_day, one.key or "-", one.inbox, _numbers(one.rows), "" if one.searched else "in part")
        for one in done.objects
    ]
    titles = ["feed", "day", "raw archive", "inbox", "rows", "searched"]
    out.print(table("dumps that hold the person; they stay", titles, lines))
    if done.not_searched:
        out.print(
            f"{len(done.not_searched):,} more dumps were not searched: their frames are gone or never were. "
            "--search-raw reads them; --json lists them."
        )
    if done.unread:
        out.print(f"{done.unread:,} rows in quarantine do not say whose they are; they stay.")
    if done.other_tokens:
        out.print("Other tokens in the person's rows, not followed (a login may be shared; --follow takes them too):")
        for one in done.other_tokens:
            out.print(f"  {one}", highlight=False)
    for name, day in done.backups.items():
        out.print(f"The backup {name} may hold the person{f' until {day}' if day else ', and stays'}.", highlight=False)
    if done.found and not done.erasure_id:
        out.print("Nothing was changed.")


def _numbers(rows: Sequence[int]) -> str:
    shown = ", ".join(str(number) for number in rows[:_SHOWN])
    return f"{shown} and {len(rows) - _SHOWN:,} more" if len(rows) > _SHOWN else shown
