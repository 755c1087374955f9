"""`claims-pipeline demo` and the fake sender's writing: the whole way on one machine, shown as it happens.

Belongs here: what a newcomer sees. Does not belong here: anything the product needs to run; the demo uses the real
inbox, sensor decision, Dagster runs and tables.
"""

from __future__ import annotations

import datetime as dt
import os
import time
from pathlib import Path

import dagster as dg
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from claims_pipeline import bi
from claims_pipeline.cli.dev import dagster_environment
from claims_pipeline.cli.output import err, out, table
from claims_pipeline.definitions import build_definitions
from claims_pipeline.feeds import feeds_of
from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline.flow import Flow
from claims_pipeline.landing.s3 import ensure_bucket
from claims_pipeline.local.fake_sender import (
    CALM,
    LIVELY,
    Manifest,
    Plan,
    PlantedVerdict,
    SenderPlan,
    folder_sink,
    generate,
    generate_sender,
    s3_sink,
)
from claims_pipeline.local.fake_sender import Progress as Written
from claims_pipeline.orchestration.resources import InboxS3, PipelineResource
from claims_pipeline.orchestration.sensors import look
from claims_pipeline.services import Services
from claims_pipeline.settings import get_settings
from claims_pipeline.warehouse import reports

_QUESTION = """
select outcome, endpoint, sum(submissions) as submissions
from bi.submissions_per_day group by 1, 2 order by 3 desc
"""


def write_dumps(
    *,
    first: dt.date,
    days: int,
    rows: int,
    seed: int,
    dirt: float,
    sender: str = SENDER.name,
    lively: bool = False,
    files_a_day: int = 1,
    folder: Path | None = None,
) -> Manifest:
    """Write a sender's fake dumps into the inbox, or into a folder, showing progress."""
    services = Services(get_settings())
    if folder is not None:
        sink = folder_sink(folder)
    else:
        if services.embedded_s3:
            ensure_bucket(services.s3, services.settings.inbox_bucket)
        sink = s3_sink(services.s3, services.settings.inbox_bucket)
    with _spinner() as progress:
        task = progress.add_task("writing dumps", total=None)

        def show(now: Written) -> None:
            progress.update(task, description=f"{now.key.rpartition('/')[2]}: {now.rows:,} rows, {now.bytes:,} bytes")

        if sender == SENDER.name:
            return generate(Plan(first=first, days=days, rows=rows, seed=seed, dirt=dirt), sink, progress=show)
        troubles = dict(LIVELY if lively else CALM)
        plan = SenderPlan(
            sender, first, days=days, rows=rows, seed=seed, dirt=dirt, files_a_day=files_a_day, troubles=troubles
        )
        return generate_sender(plan, sink, progress=show)


def run_demo(*, first: dt.date, days: int, rows: int) -> None:
    """A week of dumps: inbox -> sensor -> Dagster runs -> tables -> a query."""
    begun = time.monotonic()
    settings = get_settings()
    os.environ.update(dagster_environment())

    _step(1, "The embedded Postgres and S3 start")
    services = Services(settings)
    Flow(services, run_id="demo").prepare()
    out.print(f"   inbox s3://{settings.inbox_bucket}, archive s3://{settings.archive_bucket}")

    _step(2, f"The sender drops {days} days of dumps, {rows:,} new claims a day, 2 % of the rows spoilt on purpose")
    manifest = write_dumps(first=first, days=days, rows=rows, seed=526, dirt=0.02)
    total = sum(dump.rows for dump in manifest.dumps)
    out.print(f"   {len(manifest.dumps)} dumps, {total:,} rows, {sum(d.bytes for d in manifest.dumps):,} bytes")

    _step(3, "The sensor looks into the inbox and asks Dagster for runs")
    s3 = InboxS3()
    pipeline = PipelineResource(s3=s3)
    with dg.DagsterInstance.get() as instance:
        requests, found, _ = look(instance, pipeline, SENDER)
        new = found.new
        if found.settling:
            wait = settings.settle_seconds
            out.print(f"   {found.settling} uploads may still be going on: it looks again after {wait:g} s")
            time.sleep(wait)
            requests, found, _ = look(instance, pipeline, SENDER)
        out.print(f"   listed {found.listed}, new {new}, runs asked for: {len(requests)}")
        _step(4, "Dagster archives, validates and loads: raw -> validated -> table")
        job = build_definitions().resolve_implicit_global_asset_job_def()
        failed = 0
        for request in requests:
            keys = list(request.asset_selection or ())
            with _spinner() as progress:
                progress.add_task(f"{len(keys)} assets, {request.tags['dagster/asset_partition_range_start']} and on")
                result = job.execute_in_process(
                    instance=instance,
                    asset_selection=keys,
                    tags=request.tags,
                    raise_on_error=False,
                    run_config={"loggers": {"console": {"config": {"log_level": "WARNING"}}}},
                )
            failed += not result.success
            ended = "succeeded" if result.success else Text("failed", "red")
            out.print(f"   run {result.run_id}:", ended, highlight=False)

    _step(5, "Reports are made: counts for BI tools, in which small groups are merged")
    made = bi.refresh(services, [SENDER])
    rows = sum(one.parts for one in made)
    out.print(f"   {len(made)} views, {rows} rows, none of fewer than {SENDER.smallest_cell} persons")

    _step(6, "What is in the tables, and what was found of what was planted")
    complete = _show(services, manifest)
    out.print(f"\nDone in {time.monotonic() - begun:.0f} s. Go on with:", highlight=False)
    out.print("  make dev                      the same in the Dagster UI, with sensor and schedules running")
    out.print("  make dashboard                reports and operation on a screen")
    out.print("  claims-pipeline status        how far every feed is")
    out.print("  claims-pipeline explain 1     what became of one dump")
    out.print("  claims-pipeline local up      how to reach the database with psql or a BI tool")
    if failed or not complete:
        err.print(
            Text("Not all that was dropped is where it belongs:", "red"), "`claims-pipeline explain <file>` tells why."
        )
        raise SystemExit(1)


def _show(services: Services, manifest: Manifest) -> bool:
    """Print the tables and an answer; returns whether every row that the sender spoilt is in quarantine."""
    with services.database() as connection:
        lines = []
        for feed in feeds_of(SENDER.name):
            held = connection.execute(
                "select count(*) filter (where resolved_at is null) from ops.quarantine where feed = %s", [feed.name]
            ).fetchone()
            planted = sum(
                sum(dump.count(PlantedVerdict.QUARANTINED).values())
                for dump in manifest.dumps
                if dump.dataset == feed.dataset
            )
            rows = reports.table_rows(connection, feed)
            lines.append((feed.dataset, rows, held[0] if held else 0, planted))
        out.print(table("tables of va_form526", ["table", "rows", "in quarantine", "rows spoilt"], lines))
        answer = connection.execute(_QUESTION)
        names = [column.name for column in answer.description or ()]
        out.print(Text(_QUESTION.strip(), "dim"))
        out.print(table("", names, answer.fetchall()))
    return all(held == planted for _, _, held, planted in lines)


def _step(number: int, text: str) -> None:
    out.print(Text(f"{number}. {text}", "bold"))


def _spinner() -> Progress:
    return Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=err, transient=True)
