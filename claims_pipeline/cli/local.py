"""`claims-pipeline local`: the embedded Postgres and S3."""

from __future__ import annotations

from typing import Annotated

import typer

from claims_pipeline.cli.output import errors_in_one_line, out, print_json, table

app = typer.Typer(
    help="The embedded Postgres and S3 endpoint: started on demand by every command; here to look at and to stop.",
    no_args_is_help=True,
)


@app.command()
def up() -> None:
    """Start both, if they do not run, and print how to reach them."""
    with errors_in_one_line():
        from claims_pipeline import local
        from claims_pipeline.services import Services
        from claims_pipeline.settings import get_settings
        from claims_pipeline.vocabulary import Role

        services = local.ensure_up(get_settings().state_dir)
        out.print(f"Postgres  {services.database_url}", highlight=False, soft_wrap=True)
        for what, role in (("analysts", Role.ANALYST), ("BI tools", Role.BI_READER)):
            url = Services(get_settings()).embedded_url(role)
            out.print(f"{what:>8}  {url}", highlight=False, soft_wrap=True)
        s3 = services.s3
        out.print(f"S3        {s3.url}  (region {s3.region})", highlight=False)
        out.print(
            f"          AWS_ACCESS_KEY_ID={s3.access_key_id} AWS_SECRET_ACCESS_KEY={s3.secret_access_key}",
            highlight=False,
        )


@app.command()
def down() -> None:
    """Stop both; the data stays."""
    with errors_in_one_line():
        from claims_pipeline import local
        from claims_pipeline.settings import get_settings

        local.down(get_settings().state_dir)
        out.print("stopped")


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False) -> None:
    """Whether they run, where, and how much they hold."""
    with errors_in_one_line():
        from claims_pipeline import local
        from claims_pipeline.settings import get_settings

        found = local.status(get_settings().state_dir)
        if as_json:
            print_json(found)
            return
        rows = [(s.name, s.running, str(s.pid or "-"), s.url, s.version, s.bytes_on_disk, str(s.folder)) for s in found]
        out.print(table("embedded parts", ["name", "running", "pid", "url", "version", "bytes", "folder"], rows))


@app.command()
def reset(yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Stop both and delete everything that they hold, keys and Dagster's own history included."""
    with errors_in_one_line():
        from claims_pipeline import local
        from claims_pipeline.settings import get_settings

        folder = get_settings().state_dir
        if not yes:
            typer.confirm(f"Delete all tables, dumps, keys and run history in {folder}?", abort=True)
        local.reset(folder, also=("keys", "dagster", "dagster_home", "run_locks"))
        out.print("deleted")
