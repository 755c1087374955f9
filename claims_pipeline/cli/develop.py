"""Commands for one machine: `generate`, `demo`, `dev`."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer

from claims_pipeline.cli.output import errors_in_one_line, out, print_json, table


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(generate)
    app.command()(demo)
    app.command()(dev)


def generate(
    days: Annotated[int, typer.Option(help="Delivery days, ending today or from --first on.", min=1)] = 7,
    rows: Annotated[int, typer.Option(help="New submissions (or rows of each dataset) a day.", min=10)] = 2_000,
    sender: Annotated[str, typer.Option(help="Which sender to play: any that has contracts.")] = "va_form526",
    lively: Annotated[
        bool, typer.Option("--lively", help="With late, early, repeated and disordered files (not va_form526).")
    ] = False,
    files_a_day: Annotated[int, typer.Option(help="Dumps per dataset and day (not va_form526).", min=1, max=24)] = 1,
    first: Annotated[dt.datetime | None, typer.Option(help="First delivery day.", formats=["%Y-%m-%d"])] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 526,
    dirt: Annotated[float, typer.Option(help="Share of rows with a planted defect.", min=0, max=0.5)] = 0.02,
    to: Annotated[Path | None, typer.Option(help="Write into this folder instead of the inbox.")] = None,
    manifest: Annotated[Path | None, typer.Option(help="Write what was planted into this file (JSON).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest.")] = False,
) -> None:
    """Play a sender: write its dumps, some rows spoilt on purpose. Deterministic by seed; no real person's data."""
    with errors_in_one_line():
        from claims_pipeline.cli.demo import write_dumps

        start = first.date() if first else _ending_today(days)
        made = write_dumps(
            first=start,
            days=days,
            rows=rows,
            seed=seed,
            dirt=dirt,
            sender=sender,
            lively=lively,
            files_a_day=files_a_day,
            folder=to,
        )
        if manifest:
            manifest.write_text(made.to_json())
        if as_json:
            print_json(made)
            return
        lines = [(d.key, d.rows, d.bytes, len(d.planted)) for d in made.dumps]
        out.print(table("dumps", ["key", "rows", "bytes", "planted defects"], lines))


def demo(
    days: Annotated[int, typer.Option(help="Delivery days.", min=1, max=31)] = 7,
    rows: Annotated[int, typer.Option(help="New submissions a day.", min=10)] = 2_000,
) -> None:
    """The whole way on this machine: a week of fake dumps from the inbox through Dagster into tables, then a query."""
    with errors_in_one_line():
        from claims_pipeline.cli.demo import run_demo

        run_demo(first=_ending_today(days), days=days, rows=rows)


def dev(
    port: Annotated[int, typer.Option(help="Port of the UI.")] = 3000,
    host: Annotated[str, typer.Option(help="Address of the UI.")] = "127.0.0.1",
) -> None:
    """Start the Dagster UI and daemon on this checkout; plain `dagster dev` in the root does the same on SQLite."""
    with errors_in_one_line():
        from claims_pipeline.cli.dev import run_dev

        raise typer.Exit(run_dev(host=host, port=port))


def _ending_today(days: int) -> dt.date:
    return dt.datetime.now(dt.UTC).date() - dt.timedelta(days=days - 1)
