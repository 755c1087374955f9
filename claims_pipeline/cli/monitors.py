"""`claims-pipeline monitors`: Datadog's monitors and dashboard as they are declared.

Belongs here: the words and tables of the commands. Does not belong here: the declaration and the work (monitors).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from claims_pipeline.cli.output import EXIT_ATTENTION, errors_in_one_line, out, print_json, table

if TYPE_CHECKING:
    from claims_pipeline.monitors import Change, DatadogApi, Target

app = typer.Typer(
    no_args_is_help=True,
    help="Datadog's monitors and dashboard, as declared in claims_pipeline/monitors (JSON: deploy/datadog).\n\n"
    "Keys come from CLAIMS_DATADOG_API_KEY and CLAIMS_DATADOG_APP_KEY, the site from CLAIMS_DATADOG_API_URL, the env "
    "from CLAIMS_DATADOG_ENV, whom to tell from CLAIMS_DATADOG_NOTIFY. CLAIMS_DATADOG_LEAN=true says that CronJobs do "
    "the work and no daemon. What is not tagged as ours is never touched.",
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")]


@app.command("diff")
def diff(as_json: AsJson = False) -> None:
    """Show what differs from the declaration. Exit code 0: nothing. 1: something, which `apply` would settle."""
    with errors_in_one_line():
        from claims_pipeline import monitors

        api, target = _account()
        changes = monitors.plan(api, target)
        _show(changes, target, as_json=as_json)
        if any(change.what != "unchanged" for change in changes):
            raise typer.Exit(EXIT_ATTENTION)


@app.command("apply")
def apply(dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Create what is missing, update what differs, delete what is ours and no longer declared. Idempotent."""
    with errors_in_one_line():
        from claims_pipeline import monitors

        api, target = _account()
        changes = monitors.plan(api, target)
        if not dry_run:
            monitors.apply(api, changes)
        _show(changes, target, as_json=as_json, dry_run=dry_run)


@app.command("delete")
def delete(
    dry_run: DryRun = False,
    as_json: AsJson = False,
    with_dashboard: Annotated[
        bool, typer.Option("--with-dashboard", help="The dashboard too, which all envs share.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Take away the monitors of this env that are ours: nobody is told any more."""
    with errors_in_one_line():
        from claims_pipeline import monitors

        api, target = _account()
        changes = monitors.delete(api, target, with_dashboard=with_dashboard)
        if not dry_run and changes:
            if not yes:
                typer.confirm(f"Delete {len(changes)} monitors and dashboards of env {target.env}?", abort=True)
            monitors.apply(api, changes)
        _show(changes, target, as_json=as_json, dry_run=dry_run)


def _account() -> tuple[DatadogApi, Target]:
    from claims_pipeline.errors import SettingsError
    from claims_pipeline.monitors import DatadogApi, Target
    from claims_pipeline.settings import get_settings

    s = get_settings()
    if s.datadog_api_key is None or s.datadog_app_key is None:
        raise SettingsError("CLAIMS_DATADOG_API_KEY and CLAIMS_DATADOG_APP_KEY must be set")
    api = DatadogApi(
        s.datadog_api_url,
        api_key=s.datadog_api_key.get_secret_value(),
        app_key=s.datadog_app_key.get_secret_value(),
    )
    # Datadog makes tags lower-case: ours would not be found again otherwise.
    target = Target(env=s.datadog_env.lower(), runbooks=s.runbooks_url, notify=s.datadog_notify, lean=s.datadog_lean)
    if s.events_queue_url:
        target = replace(target, queue=s.events_queue_url.rstrip("/").rpartition("/")[2])
    return api, target


def _show(changes: Sequence[Change], target: Target, *, as_json: bool, dry_run: bool = False) -> None:
    if as_json:
        print_json([{k: v for k, v in vars(change).items() if k != "body"} for change in changes])
        return
    shown = [change for change in changes if change.what != "unchanged"]
    if shown:
        rows = [(change.what, change.kind, change.name, ", ".join(change.differs) or None) for change in shown]
        title = f"env {target.env}{' (dry run: nothing was done)' if dry_run else ''}"
        out.print(table(title, ["what", "kind", "name", "differs"], rows))
    unchanged = len(changes) - len(shown)
    out.print(f"{unchanged:,} unchanged.", highlight=False)
