"""`claims-pipeline backup`: make, list, restore, prove and prune backups of the warehouse.

Belongs here: the words and tables of these commands. Does not belong here: the work (backup.py).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from claims_pipeline.cli.common import make_services
from claims_pipeline.cli.output import EXIT_ATTENTION, err, errors_in_one_line, out, print_json, table
from claims_pipeline.cli.telling import told

if TYPE_CHECKING:
    from claims_pipeline.backup import Backups, Restored

app = typer.Typer(
    help="Backups of the whole warehouse in S3: consistent, checked, and proven by restoring them.",
    no_args_is_help=True,
)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Jobs = Annotated[int | None, typer.Option(help="Processes of pg_restore.", min=1, show_default="one per core")]


@app.command()
def now(as_json: AsJson = False) -> None:
    """Back the warehouse up, now: a pg_dump of one snapshot, streamed to S3, and its manifest."""
    with errors_in_one_line(), told("backup"), _backups(database=True) as backups:
        manifest = backups.take()
        if as_json:
            print_json(manifest)
            return
        out.print(
            f"backup {manifest.name}: {len(manifest.tables):,} tables, {manifest.rows:,} rows, "
            f"{manifest.bytes:,} bytes (database {manifest.database_bytes:,}) in {manifest.seconds:.1f} s",
            highlight=False,
        )


@app.command("list")
def list_backups(as_json: AsJson = False) -> None:
    """The backups there are, newest first; they are read from S3 alone and need no database."""
    with errors_in_one_line(), _backups() as backups:
        found = backups.all()
        if as_json:
            print_json(found)
            return
        rows = [
            (m.name, len(m.tables), m.rows, m.bytes, f"{m.seconds:.1f}", m.server_version, m.sha256[:12]) for m in found
        ]
        titles = ["backup", "tables", "rows", "bytes", "seconds", "Postgres", "SHA-256"]
        out.print(table(f"backups in s3://{backups.bucket}/backups/", titles, rows))


@app.command()
def restore(
    name: Annotated[str, typer.Argument(help='A backup as `backup list` shows it, or "latest".', show_default=False)],
    into: Annotated[
        str,
        typer.Option(
            help="postgresql:// URL of an empty database; better given by the variable, which others cannot list.",
            envvar="CLAIMS_RESTORE_URL",
            show_default=False,
        ),
    ],
    jobs: Jobs = None,
    no_privileges: Annotated[
        bool, typer.Option("--no-privileges", help="Leave grants out; `migrate` gives them.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Restore a backup into an EMPTY database, and compare every table with the manifest.

    Refuses a database that has tables. The dump's SHA-256 is checked before the database is touched. Exit code 0: every
    table is as it was. 1: a table differs. 3: nothing was restored, or a part: drop the database then.
    """
    with errors_in_one_line(), _backups() as backups:
        done = backups.restore_for_good(backups.find(name), into, jobs=jobs, privileges=not no_privileges)
        _show(done, "restored", as_json=as_json)


@app.command()
def drill(as_json: AsJson = False) -> None:
    """Prove the newest backup: restore it into a scratch database on the same server, compare, drop it.

    Exit code 0: every table is as it was. 1: a table differs. 3: it cannot be restored, or there is none.
    """
    with errors_in_one_line(), told("restore_drill"), _backups(database=True) as backups:
        _show(backups.drill(), "proven", as_json=as_json)


@app.command()
def prune(
    apply: Annotated[bool, typer.Option("--apply", help="Delete; without it, only tell what would go.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete backups beyond the retention (CLAIMS_BACKUP_KEEP_DAYS, _WEEKS, _MONTHS); the newest always stays."""
    with errors_in_one_line(), told("backup_prune"), _backups() as backups:
        plan = backups.retention()
        if apply:
            backups.prune(plan)
        if as_json:
            print_json({"applied": apply, "plan": plan})
            return
        gone = "deleted" if apply else "would go"
        rows = [
            *((item, "kept") for item in plan.kept),
            *((item, gone) for item in plan.old),
            *((item, f"{gone}: leftover of a killed backup") for item in plan.leftovers),
        ]
        lines = [(f"{item.stamp:%Y-%m-%d %H:%M:%SZ}", item.bytes, what) for item, what in rows]
        out.print(table(f"s3://{backups.bucket}/backups/", ["backup", "bytes", "what"], lines))
        if not apply and (plan.old or plan.leftovers):
            out.print("Nothing was deleted. `claims-pipeline backup prune --apply` does it.")


def _show(done: Restored, what: str, *, as_json: bool) -> None:
    if as_json:
        print_json(done)
    elif not done.differences:
        m = done.manifest
        out.print(
            f"{what}: backup {m.name}, {len(m.tables):,} tables and {m.rows:,} rows as they were, "
            f"in {done.seconds:.1f} s",
            highlight=False,
        )
    else:
        rows = [(d.table, d.rows_expected, d.rows_found) for d in done.differences]
        out.print(table("tables that differ from the backup", ["table", "rows in the backup", "rows restored"], rows))
    if done.differences:
        raise typer.Exit(EXIT_ATTENTION)


@contextmanager
def _backups(*, database: bool = False) -> Iterator[Backups]:
    """The backups, with progress on standard error; `database`: make sure that there is a warehouse to work on."""
    from claims_pipeline.backup import Backups
    from claims_pipeline.flow import Flow
    from claims_pipeline.reporting import CLI_RUN

    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
        console=err,
        transient=True,
    ) as progress:
        task = progress.add_task("", total=None)
        services, run_id = make_services(), f"{CLI_RUN}{uuid.uuid4().hex[:16]}"
        if database:
            Flow(services, run_id=run_id).prepare([])
        yield Backups(
            services,
            run_id=run_id,
            progress=lambda what, done: progress.update(task, description=f"{what} {done:,}"),
        )
