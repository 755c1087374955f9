"""`claims-pipeline undo` and `redo`: one dump out of the tables, and back.

Belongs here: the words of the commands. Does not belong here: the work (undo.py).
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from claims_pipeline.cli.common import make_services, the_one
from claims_pipeline.cli.output import EXIT_ATTENTION, actor, err, errors_in_one_line, out

if TYPE_CHECKING:
    from claims_pipeline.feeds import Feed
    from claims_pipeline.flow import Flow
    from claims_pipeline.warehouse.ledger import Dump

File = Annotated[str, typer.Argument(help="File name, whole key, or dump number.", show_default=False)]
Reason = Annotated[
    str, typer.Option(help="Why, for the audit; a sentence, never a value of a record.", show_default=False)
]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the tree."""
    app.command("undo")(undo)
    app.command("redo")(redo)


def undo(file: File, reason: Reason) -> None:
    """Take one loaded dump out of its table: as if it had never come.

    Earlier versions of its rows are in the table again, later dumps are merged again where they build on it, and a dump
    that it had superseded is in effect again. All in one transaction, audited, and reversible (`redo`). The raw bytes
    stay in the archive. Dumps of other datasets that came with it are untouched: undo them one by one.
    """
    with errors_in_one_line():
        from claims_pipeline.undo import undo as take_out
        from claims_pipeline.vocabulary import DumpStatus

        flow, dump, feed = _one(file, in_effect=True)
        with err.status(Text(f"taking {dump.key.rpartition('/')[2]} out of {feed.name}")):
            done = take_out(flow, dump, feed, by=actor(), reason=reason)
        out.print(
            f"dump {dump.dump_id} of {feed.name} is {DumpStatus.UNDONE}: {done.removed:,} rows left the table, "
            f"{done.restored:,} earlier versions are back, {done.replayed:,} dumps were merged again "
            f"(load {done.load_id}). `claims-pipeline redo {dump.dump_id} --reason ...` puts it back.",
            highlight=False,
        )


def redo(file: File, reason: Reason) -> None:
    """Put a dump back that was undone: read from the archive by the contract of now, loaded at its place in time."""
    with errors_in_one_line():
        from claims_pipeline.undo import redo as put_back
        from claims_pipeline.vocabulary import DumpStatus

        flow, dump, feed = _one(file, in_effect=False)
        with err.status(Text(f"putting {dump.key.rpartition('/')[2]} back into {feed.name}")):
            dump = put_back(flow, dump, feed, by=actor(), reason=reason)
        out.print(f"dump {dump.dump_id} of {feed.name}: {dump.status} {dump.reason}".rstrip(), highlight=False)
        if dump.status is not DumpStatus.LOADED:
            raise typer.Exit(EXIT_ATTENTION)


def _one(file: str, *, in_effect: bool) -> tuple[Flow, Dump, Feed]:
    """The one dump of that name that can be undone, or redone, with its contract."""
    from claims_pipeline.feeds import feed_named
    from claims_pipeline.flow import Flow
    from claims_pipeline.reporting import CLI_RUN
    from claims_pipeline.vocabulary import DumpStatus
    from claims_pipeline.warehouse import ledger

    services = make_services()
    with services.database() as connection:
        found = ledger.find(connection, file)
    if in_effect:
        dump = the_one(found, file, state="in effect", fits=lambda dump: dump.in_effect)
    else:
        dump = the_one(found, file, state="undone", fits=lambda dump: dump.status is DumpStatus.UNDONE)
    flow = Flow(services, run_id=f"{CLI_RUN}{uuid.uuid4().hex[:16]}")
    return flow, dump, feed_named(dump.feed)
