"""A run of all datasets that a sender delivers in a day: what each costs in seconds and in Dagster's event log.

Belongs here: one day, two runs, a table. Does not belong here: many rows (growth.py), start-up (startup.py), what
follows from it for a cluster (simulate.py).

    python -m claims_pipeline_tests.benchmarks.one_day --sender indici --days 3

Days of the fake sender, of ten rows a dataset, are delivered and loaded one after another, each as the run that the
sensor asks for, in this process, beside a Dagster instance on disk. The first one is left out: it makes connections and
caches.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import dagster as dg

from claims_pipeline.cli.demo import write_dumps
from claims_pipeline.definitions import build_definitions
from claims_pipeline.feeds import Sender, all_senders
from claims_pipeline.flow import Flow
from claims_pipeline.landing.s3 import ensure_bucket
from claims_pipeline.local import reset
from claims_pipeline.orchestration.resources import InboxS3, PipelineResource
from claims_pipeline.orchestration.sensors import look
from claims_pipeline.services import Services
from claims_pipeline.settings import get_settings
from claims_pipeline_tests.benchmarks.measure import say

FIRST = dt.date(2026, 5, 4)
_ROWS = 10
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class Day:
    """One run.

    Attributes:
        datasets: that delivered.
        dumps: of them; a dataset may deliver several.
        seconds: of the run, its process there already.
        cpu: seconds of this process in them, without the servers'.
        event_bytes: JSON of the events that Dagster keeps of it.
    """

    datasets: int
    dumps: int
    seconds: float
    cpu: float
    event_bytes: int


def measure(sender: Sender, days: int) -> list[Day]:
    """Deliver and load so many days; the settings in the environment say where."""
    s3 = InboxS3()
    pipeline = PipelineResource(s3=s3)
    services = Services(get_settings())
    for bucket in (services.settings.inbox_bucket, services.settings.archive_bucket):
        ensure_bucket(services.s3, bucket)
    Flow(services, run_id="one-day").prepare()
    job = build_definitions().resolve_implicit_global_asset_job_def()
    found = []
    with dg.DagsterInstance.get() as instance:
        for number in range(days):
            day = FIRST + dt.timedelta(days=number)
            write_dumps(first=day, days=1, rows=_ROWS, seed=526 + number, dirt=0.0, sender=sender.name)
            requests, looked, _ = look(instance, pipeline, sender)
            for request in requests:
                begun, cpu_before = time.monotonic(), time.process_time()
                keys = list(request.asset_selection or ())
                result = job.execute_in_process(
                    instance=instance, asset_selection=keys, tags=request.tags, run_config=_QUIET
                )
                spent, cpu = time.monotonic() - begun, time.process_time() - cpu_before
                size = sum(len(dg.serialize_value(entry)) for entry in instance.all_logs(result.run_id))
                found.append(Day(len(keys) // 3, len(looked.open), round(spent, 2), round(cpu, 2), size))
    return found


def table(days: Sequence[Day]) -> str:
    """As Markdown, with the median of all but the first."""
    head = "| datasets | dumps | seconds | a dataset, s | a dataset, own CPU s | events, KB | a dataset, KB |"
    lines = [head, "|---:|---:|---:|---:|---:|---:|---:|"]
    lines += [
        f"| {day.datasets} | {day.dumps} | {day.seconds:.2f} | {day.seconds / day.datasets:.2f} "
        f"| {day.cpu / day.datasets:.2f} | {day.event_bytes / 1000:,.0f} "
        f"| {day.event_bytes / day.datasets / 1000:,.0f} |"
        for day in days
    ]
    if later := days[1:]:
        seconds = statistics.median(day.seconds / day.datasets for day in later)
        cpu = statistics.median(day.cpu / day.datasets for day in later)
        size = statistics.median(day.event_bytes / day.datasets for day in later) / 1000
        lines.append(
            f"\nmedians of all but the first: {seconds:.2f} s, {cpu:.2f} CPU s, {size:,.0f} KB of events a dataset"
        )
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> None:
    """Measure in a folder of its own, and print."""
    senders = {sender.name: sender for sender in all_senders()}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sender", choices=sorted(senders), default="indici")
    parser.add_argument("--days", type=int, default=3, help="delivered and loaded, the first of which is left out")
    parser.add_argument("--json", action="store_true", help="a JSON line for each run")
    chosen = parser.parse_args(words)
    with tempfile.TemporaryDirectory(prefix="claims-one-day-") as folder:
        home = Path(folder) / "home"
        home.mkdir()
        os.environ |= {"CLAIMS_STATE_DIR": folder, "CLAIMS_SETTLE_SECONDS": "0", "DAGSTER_HOME": str(home)}
        (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        try:
            days = measure(senders[chosen.sender], chosen.days)
        finally:
            reset(Path(folder))
    say("\n".join(json.dumps(asdict(day)) for day in days) if chosen.json else table(days))


if __name__ == "__main__":
    main()
