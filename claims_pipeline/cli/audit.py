"""`claims-pipeline audit`: whether the audit is what was written, and the heads of its chains.

Belongs here: the words of the commands. Does not belong here: the work (auditing.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from claims_pipeline.cli.common import make_services
from claims_pipeline.cli.output import EXIT_ATTENTION, err, errors_in_one_line, out, print_json, table
from claims_pipeline.cli.telling import told

app = typer.Typer(
    help="The audit as hash chains: prove that no entry was changed, removed or slipped in.", no_args_is_help=True
)


@app.command("verify")
def verify(
    heads: Annotated[
        Path | None,
        typer.Option(
            help="File of heads that were printed earlier: history up to them must be unchanged.",
            show_default="the newest below audit/ in the archive bucket",
        ),
    ] = None,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="If nothing was changed, keep today's heads below audit/, as `ops/audit` does."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table.")] = False,
) -> None:
    """Recompute every chain of the audit, and name the first broken link of each.

    Reads all entries of loads, backups, upkeep, looks into quarantine, decisions, rebuilds and erasures. Compares with
    heads kept outside of the database too, since its owner could write all chains anew. With --keep the heads that were
    just recomputed are kept for the next time: without Dagster, let that run daily. After a restore, the entries made
    since the backup are missed: if you know why, `audit heads --keep` begins anew from what is there.

    Reads as the owner (CLAIMS_OWNER_DATABASE_URL). Exit code 0: nothing was changed. 1: something was. 3: it could not
    be verified.
    """
    with errors_in_one_line(), told("audit"):
        from claims_pipeline import auditing
        from claims_pipeline.errors import ClaimsPipelineError

        given = None
        if heads is not None:
            try:
                given = auditing.read_heads(heads.read_bytes(), heads.name)
            except OSError:
                raise ClaimsPipelineError(f"the file {heads} cannot be read") from None
        read = 0
        with err.status("reading the audit") as shown:

            def progress(links: int) -> None:
                nonlocal read
                read += links
                shown.update(f"{read:,} entries recomputed")

            services = make_services()
            done = auditing.verify(services, heads=given, named=heads.name if heads else "", progress=progress)
        if as_json:
            print_json({**vars(done), "unbroken": done.found.unbroken, "summary": done.summary})
        else:
            rows = [(b.chain, str(b.what), b.table, b.entry_id, b.number, b.note) for b in done.found.breaks]
            if rows:
                out.print(table("broken", ["chain", "what", "table", "entry", "link", "note"], rows))
            out.print(f"{done.summary} ({done.seconds:.1f} s)", highlight=False)
        if keep and done.found.unbroken:
            err.print(f"kept as {auditing.keep(services, done.found.heads)}", highlight=False)
        if not done.found.unbroken:
            raise typer.Exit(EXIT_ATTENTION)


@app.command("heads")
def heads(
    keep: Annotated[
        bool, typer.Option("--keep", help="Also write them below audit/ in the archive bucket, as the daily run does.")
    ] = False,
) -> None:
    """Print where each chain ends, as JSON; keep it where no owner of the database can change it."""
    with errors_in_one_line(), told("audit"):
        from claims_pipeline import auditing
        from claims_pipeline.warehouse import audit

        services = make_services()
        with services.owner_database() as connection:
            found = audit.heads(connection)
        typer.echo(auditing.write_heads(found))
        if keep:
            err.print(f"kept as {auditing.keep(services, found)}", highlight=False)
