"""`make bench`: seconds, rows per second and peak memory of one submissions dump, as a ratio to the floor.

The floor is `psql \\copy` of the same CSV into an unlogged typed staging table, then one INSERT into a table with a
primary key: what the load costs with no cast, check, token, reject, ledger or history. Both run on the same embedded,
durable Postgres, in turn, `--rounds` times; medians are shown. Each of our loads runs in a process of its own, so that
its peak memory is the run's.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from psycopg import sql

from claims_pipeline import local
from claims_pipeline.feeds import Feed, feed_named
from claims_pipeline.flow import Flow
from claims_pipeline.landing.s3 import ensure_bucket
from claims_pipeline.local.fake_sender import Dialect, Plan, folder_sink, generate, s3_sink
from claims_pipeline.services import Services
from claims_pipeline.settings import Settings, get_settings
from claims_pipeline.warehouse import reports
from claims_pipeline.warehouse.connection import connect
from claims_pipeline.warehouse.ddl import sql_type

FEED = "va_form526/form526_submissions"
DAY = dt.date(2026, 3, 2)


def main() -> None:
    """Run the benchmark and write a table to standard output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="rows of the dump (default 100,000)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (default 3)")
    parser.add_argument("--one-load", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one_load:
        _say(json.dumps(_our_load()))
        return
    with tempfile.TemporaryDirectory(prefix="claims-bench-") as folder:
        try:
            _compare(Path(folder), rows=arguments.rows, rounds=arguments.rounds)
        finally:
            local.reset(Path(folder) / "state")


def _compare(folder: Path, *, rows: int, rounds: int) -> None:
    state = folder / "state"
    settings = Settings(state_dir=state)
    plan = Plan(first=DAY, days=1, rows=rows, dirt=0.0, dialect=Dialect())
    dataset = FEED.partition("/")[2]
    made = generate(plan, folder_sink(folder / "csv"), datasets=[dataset]).dumps[0]
    file = folder / "csv" / made.key
    _say(f"{made.rows:,} rows, {made.bytes / 1e6:,.0f} MB, {made.bytes / made.rows:.0f} bytes a row")
    floor: list[float] = []
    ours: list[dict[str, float]] = []
    for _ in range(rounds):
        floor.append(_floor(local.ensure_postgres(state), file, feed_named(FEED)))
        _empty(settings)
        services = Services(settings)
        ensure_bucket(services.s3, settings.inbox_bucket)
        generate(plan, s3_sink(services.s3, settings.inbox_bucket), datasets=[dataset])
        ours.append(_load_in_a_process(state))
    bare = statistics.median(floor)
    whole = statistics.median(one["total"] for one in ours)
    _say(f"floor (psql \\copy + insert)   {bare:8.2f} s   {made.rows / bare:10,.0f} rows/s   1.00")
    _say(f"ours (archive to table)      {whole:8.2f} s   {made.rows / whole:10,.0f} rows/s   {whole / bare:.2f}")
    for stage in [name for name in ours[0] if name not in ("total", "peak_mb")]:
        seconds = statistics.median(one[stage] for one in ours)
        _say(f"  {stage:26} {seconds:8.2f} s   {made.rows / seconds:10,.0f} rows/s   {seconds / bare:.2f}")
    _say(f"peak memory of the process   {statistics.median(one['peak_mb'] for one in ours):8.0f} MB")


def _floor(url: str, file: Path, feed: Feed) -> float:
    header = file.open(encoding="utf-8").readline().strip().split(",")
    types = {column.name: sql_type(column.arrow) for column in feed.columns}
    columns = ", ".join(f'"{name}" {types[name]}' for name in header)
    with connect(url) as connection:
        connection.execute("drop table if exists floor_stage, floor_table")
        connection.execute(sql.SQL("create unlogged table floor_stage ({})").format(sql.SQL(columns)))
        connection.execute(sql.SQL("create table floor_table ({}, primary key (id))").format(sql.SQL(columns)))
        connection.execute("checkpoint")
        begun = time.perf_counter()
        copy = f"\\copy floor_stage from '{file}' with (format csv, header)"
        psql = [str(local.postgres_program("psql")), "-q", "-v", "ON_ERROR_STOP=1", url, "-c", copy]
        subprocess.run(psql, check=True)
        connection.execute("insert into floor_table select * from floor_stage")
        return time.perf_counter() - begun


def _empty(settings: Settings) -> None:
    """Forget earlier rounds: tables of feeds and the ledger are made anew."""
    with Services(settings).database() as connection:
        for schema in ("va_form526", "history", "ops"):
            connection.execute(sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(schema)))
        connection.execute("drop table if exists public.claims_pipeline_migration")
        connection.execute("checkpoint")


def _load_in_a_process(state: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "claims_pipeline_tests.benchmarks", "--one-load"]
    environment = {**os.environ, "CLAIMS_STATE_DIR": str(state), "CLAIMS_SETTLE_SECONDS": "0"}
    done = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def _our_load() -> dict[str, float]:
    feed = feed_named(FEED)
    flow = Flow(Services(get_settings()), run_id="bench")
    flow.prepare()
    flow.discover(feed.sender)
    (dump,) = flow.dumps(feed, [DAY], everything=False)
    seconds: dict[str, float] = {}
    for step in (flow.archive, flow.validate, flow.load):
        begun = time.perf_counter()
        dump = step(dump, feed)
        seconds[step.__name__] = time.perf_counter() - begun
    if dump.status != "loaded":
        raise SystemExit(f"the dump was not loaded: {dump.status} {dump.reason}")
    with flow.services.database() as connection:
        (audit,) = reports.loads_of(connection, dump.dump_id)
    seconds |= {f"validate: {name}": spent for name, spent in (dump.validation or {})["seconds"].items()}
    seconds |= {f"load: {name}": spent for name, spent in audit["seconds"].items()}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    scale = 1 << 20 if sys.platform == "darwin" else 1 << 10
    total = sum(seconds[name] for name in ("archive", "validate", "load"))
    return {**seconds, "total": total, "peak_mb": peak / scale}


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
