"""`claims-pipeline prune`: what may be deleted, and deleting it.

Belongs here: the face of `upkeep.prune` for a terminal and for a Kubernetes CronJob. Does not belong here: what may be
deleted (upkeep, orchestration/event_log.py).
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from claims_pipeline.cli.output import EXIT_ERROR, actor, err, errors_in_one_line, out, print_json, table
from claims_pipeline.cli.telling import told

if TYPE_CHECKING:
    import dagster as dg

    from claims_pipeline.settings import Settings
    from claims_pipeline.upkeep import Pruned


def add_to(app: typer.Typer) -> None:
    """Add the command to the tree."""
    app.command("prune")(prune)


def prune(
    apply: Annotated[bool, typer.Option("--apply", help="Delete. Without it, nothing is deleted.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table.")] = False,
) -> None:
    """List what may be deleted: leftovers of killed runs, old runs of Dagster, objects past their retention.

    Deletes nothing without --apply; either way `ops.upkeep` remembers what was found. Raw bytes and validated frames go
    by the retention of the feed's contract (`Feed.retention`; by default raw bytes are kept for ever), Dagster's runs
    by CLAIMS_DAGSTER_RUN_DAYS and CLAIMS_COMPUTE_LOG_DAYS. Exit code 3: some of it could not be done.
    """
    with errors_in_one_line(), told("prune"):
        from claims_pipeline import upkeep
        from claims_pipeline.flow import Flow
        from claims_pipeline.reporting import CLI_RUN
        from claims_pipeline.services import Services
        from claims_pipeline.settings import get_settings

        settings = get_settings()
        services, run_id = Services(settings), f"{CLI_RUN}{uuid.uuid4().hex[:16]}"
        Flow(services, run_id=run_id).prepare([])
        with _instance(settings) as instance, err.status("looking") as shown:
            chores = upkeep.chores_of(services)
            if instance is not None:
                from claims_pipeline.orchestration.event_log import dagster_chores

                chores += dagster_chores(instance, settings)
            done = upkeep.prune(
                services,
                chores,
                apply=apply,
                run_id=run_id,
                requested_by=actor(),
                each=lambda chore: shown.update(chore.what),
            )
        if as_json:
            print_json(done)
        else:
            _print(done, apply=apply, dagster=instance is not None)
        for one in done:
            if one.error:
                err.print(Text("Not finished:", "red"), f"{one.what}: {one.error}", highlight=False)
        if any(one.error for one in done):
            raise typer.Exit(EXIT_ERROR)


def _print(done: list[Pruned], *, apply: bool, dagster: bool) -> None:
    rows = [(one.what, one.items, one.bytes, one.oldest, one.besides) for one in done]
    out.print(table("pruned" if apply else "would go", ["what", "items", "bytes", "oldest", "besides"], rows))
    if not dagster:
        out.print("Dagster's storage was not looked at: it has none here (set DAGSTER_HOME to name one).")
    if not apply:
        out.print("Nothing was deleted. `claims-pipeline prune --apply` deletes it.")


@contextmanager
def _instance(settings: Settings) -> Iterator[dg.DagsterInstance | None]:
    """The Dagster instance of DAGSTER_HOME, else of the settings; None where there is none: this makes no new one."""
    named = os.environ.get("DAGSTER_HOME")
    if not named and settings.dagster_storage_url is None and not (settings.state_dir / "dagster").is_dir():
        yield None
        return
    import dagster as dg

    from claims_pipeline.orchestration.instance import prepare_home

    if settings.dagster_storage_url is not None:  # it may stand in .env, which Dagster's storage does not read
        os.environ.setdefault("CLAIMS_DAGSTER_STORAGE_URL", settings.dagster_storage_url.get_secret_value())
    with dg.DagsterInstance.from_config(named or str(prepare_home(settings))) as instance:
        yield instance
