"""`claims-pipeline reports`: what is shown to BI tools, and bringing it up to date.

Belongs here: the words of the commands. Does not belong here: the work (`claims_pipeline.bi`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from claims_pipeline.cli.common import make_services
from claims_pipeline.cli.output import err, errors_in_one_line, out, print_json, table

if TYPE_CHECKING:
    from claims_pipeline.feeds import Sender

app = typer.Typer(
    name="reports",
    help="Reports: views of counts in schema bi, for people and BI tools, in which small groups are merged.",
    no_args_is_help=True,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table.")]
SenderName = Annotated[str | None, typer.Option("--sender", help="Only of this sender.", show_default="all")]


@app.command("list")
def list_reports(sender: SenderName = None, as_json: AsJson = False) -> None:
    """What reports there are: what each counts, by what, and the date for which it was last made."""
    with errors_in_one_line():
        from claims_pipeline.warehouse.bi.views import catalogue

        names = [one.name for one in _senders(sender)]
        with make_services().database() as connection:
            found = [entry for entry in catalogue(connection) if entry.sender in names]
        if as_json:
            print_json(found)
            return
        lines = [
            (f"bi.{e.report}", e.counted, e.grain, ", ".join(e.groups), e.as_of or "not yet", f"{e.parts:,}")
            for e in found
        ]
        out.print(table("reports", ["view", "counts", "by", "and by", "as of", "rows"], lines))


@app.command()
def refresh(
    sender: SenderName = None,
    force: Annotated[bool, typer.Option("--force", help="Also where nothing was loaded since.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make reports again whose tables have changed since, or that are of an earlier day; each sender's all or none.

    `catch-up` and the sensor do it by themselves. Needed by hand after `undo`, `erase` and the like where neither runs.
    """
    with errors_in_one_line():
        from claims_pipeline.bi import refresh as work
        from claims_pipeline.flow import Flow

        services = make_services()
        Flow(services, run_id="reports").prepare()
        with err.status("making reports"):
            done = work(services, _senders(sender), force=force)
        if as_json:
            print_json(done)
            return
        lines = [
            (f"bi.{one.report}", one.as_of, f"{one.parts:,}" if one.made else "up to date", f"{one.seconds:.1f}")
            for one in done
        ]
        out.print(table("reports", ["view", "as of", "rows", "seconds"], lines))


def _senders(name: str | None) -> list[Sender]:
    from claims_pipeline.errors import ClaimsPipelineError
    from claims_pipeline.feeds import all_senders

    found = [sender for sender in all_senders() if name in (None, sender.name)]
    if not found:
        raise ClaimsPipelineError(f"no sender {name!r}; known: {', '.join(one.name for one in all_senders())}")
    return found
