"""What a setting of Postgres does to a load, and what runs at once do to each other.

Belongs here: the embedded server under other settings, one changed at a time; N processes that load at once. Does not
belong here: the data (data.py), one run (one_run.py), growth (growth.py).

    python -m claims_pipeline_tests.benchmarks.instance settings   a first load and 10 % changed, under each setting
    python -m claims_pipeline_tests.benchmarks.instance runs       1, 2, 4, 8 runs at once: of feeds each, and of one

Each measurement is a line of <folder>/results/instance.jsonl at once. The server is restarted for every setting, and a
checkpoint is made before every load; rounds go through all settings, so that a busy hour of the machine meets them all.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg

from claims_pipeline import local
from claims_pipeline.feeds import Feed
from claims_pipeline.local.postgres import postgres_files, stop_postgres
from claims_pipeline.settings import PROJECT_ROOT
from claims_pipeline.warehouse.connection import connect
from claims_pipeline.warehouse.migrate import migrate
from claims_pipeline_tests.benchmarks import feeds, measure, parallel_feeds
from claims_pipeline_tests.benchmarks.data import Dump, make_file
from claims_pipeline_tests.benchmarks.measure import say
from claims_pipeline_tests.benchmarks.site import BUCKETS, Site, open_site

CONTENDER = "instance"
AS_DELIVERED = "as delivered"

VARIANTS: dict[str, dict[str, str]] = {
    AS_DELIVERED: {},
    "shared_buffers 32MB": {"shared_buffers": "32MB"},
    "shared_buffers 1GB": {"shared_buffers": "1GB"},
    "max_wal_size 256MB": {"max_wal_size": "256MB"},
    "max_wal_size 16GB": {"max_wal_size": "16GB"},
    "checkpoint_timeout 30s": {"checkpoint_timeout": "30s"},
    "wal_compression pglz": {"wal_compression": "pglz"},
    "wal_level minimal": {"wal_level": "minimal", "max_wal_senders": "0"},
    "wal_buffers 64MB": {"wal_buffers": "64MB"},
    "full_page_writes off": {"full_page_writes": "off"},
    "synchronous_commit off": {"synchronous_commit": "off"},
    "work_mem 64MB": {"work_mem": "64MB"},
    "work_mem 256MB": {"work_mem": "256MB"},
    "maintenance_work_mem 512MB": {"maintenance_work_mem": "512MB"},
    "temp_buffers 64MB": {"temp_buffers": "64MB"},
    "effective_io_concurrency 200": {"effective_io_concurrency": "200"},
    "random_page_cost 1.1": {"random_page_cost": "1.1"},
    "autovacuum off": {"autovacuum": "off"},
}
"""Settings of the server by the name of the variant, besides those that the embedded server has as delivered."""

_APPLICATION = "claims-pipeline"
_LOOK_SECONDS = 0.05

Line = dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """A site of its own, whose server is restarted, and where results go."""

    site: Site
    results: Path

    def note(self, line: Line) -> None:
        """Append a line."""
        self.results.parent.mkdir(parents=True, exist_ok=True)
        with self.results.open("a") as file:
            file.write(json.dumps({"at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"), **line}) + "\n")

    def restarted(self, settings: Mapping[str, str]) -> Bench:
        """The same with the server under other settings, and an empty warehouse."""
        files = postgres_files(self.site.state)
        with files.locked():
            stop_postgres(files)
        url = local.ensure_postgres(self.site.state, settings=settings)
        site = replace(self.site, services=replace(self.site.services, database_url=url))
        site.empty_pipeline(CONTENDER)
        with connect(site.url(CONTENDER)) as connection:
            migrate(connection, parallel_feeds.FEEDS)
        return Bench(site, self.results)

    def stop(self) -> None:
        """Stop both services; what they hold stays."""
        local.down(self.site.state)


# ---------------------------------------------------------------------------------------------- settings


def settings(bench: Bench, *, rows: int, rounds: int, only: Sequence[str]) -> None:
    """Measure loads under each setting."""
    names = [name for name in VARIANTS if name == AS_DELIVERED or not only or any(part in name for part in only)]
    lines: list[Line] = []
    for number in range(rounds):
        for name in names:
            fresh = bench.restarted(VARIANTS[name])
            for place, variant in enumerate(("first", "changed")):
                file = make_file(Dump(variant, rows), fresh.site.files, "csv")  # type: ignore[arg-type]  # of a list
                fresh.site.deliver(feeds.MEMBERS, place, file)
                line = {"case": "settings", "variant": name, "round": number, "dump": variant, "rows": rows}
                lines.append(line | _load(fresh.site))
                bench.note(lines[-1])
            say(f"round {number + 1} of {rounds}: {name}")
    for name in names:
        say(_told_setting(name, lines))


def _load(site: Site) -> Line:
    """One load, just after a checkpoint: seconds of the load step, the server's CPU seconds and peak, WAL in MB."""
    site.settle_down()
    before = _wal_mb(site)
    command = [sys.executable, "-m", "claims_pipeline_tests.benchmarks.one_run", feeds.MEMBERS.name]
    done = measure.run(command, env=site.settings(CONTENDER), beside=measure.servers(site.state))
    said: Line = dict(done.said)
    (one,) = said["dumps"]
    return {
        "load": one["seconds"]["load"],
        "stages": one["stages"],
        "server_cpu": done.usage.cpu["postgres"],
        "server_peak_mb": done.usage.peak_mb.get("postgres"),
        "wal_mb": round(_wal_mb(site) - before, 1),
    }


def _wal_mb(site: Site) -> float:
    return float(_value(site, "select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float / 1e6"))


def _value(site: Site, query: str) -> Any:
    with connect(site.url(CONTENDER)) as connection:
        row = connection.execute(query).fetchone()
    return row[0] if row else None


def _told_setting(name: str, lines: Sequence[Line]) -> str:
    texts = []
    for dump in ("first", "changed"):
        mine = [line for line in lines if line["variant"] == name and line["dump"] == dump]
        plain = [line for line in lines if line["variant"] == AS_DELIVERED and line["dump"] == dump]
        load, cpu, wal = (statistics.median(line[key] for line in mine) for key in ("load", "server_cpu", "wal_mb"))
        ratio = load / statistics.median(line["load"] for line in plain)
        texts.append(f"{dump} {load:6.2f} s ({ratio:4.2f} x), server CPU {cpu:5.2f} s, WAL {wal:5.0f} MB")
    return f"{name:30} {'; '.join(texts)}"


# ---------------------------------------------------------------------------------------------- runs at once


def runs(bench: Bench, *, rows: int, counts: Sequence[int]) -> None:
    """Measure so many runs at once: of a feed each, and all of one feed."""
    for same in (False, True):
        for count in counts:
            fresh = bench.restarted({})
            line = {"case": "runs", "same_feed": same, "runs": count, "rows": rows} | _at_once(
                fresh.site, rows=rows, count=count, same=same
            )
            bench.note(line)
            say(
                f"{count} runs of {'one feed' if same else 'a feed each':11} {line['seconds']:6.1f} s"
                f" {line['rows_per_second']:9,} rows/s; connections {line['connections']} at once,"
                f" {line['sessions']} opened; waited for a lock {line['lock_wait_seconds']:.1f} s,"
                f" deadlocks {line['deadlocks']}"
            )


def _at_once(site: Site, *, rows: int, count: int, same: bool) -> Line:
    mine = [feeds.MEMBERS] * count if same else list(parallel_feeds.FEEDS[:count])
    keys = []
    for number, feed in enumerate(mine):
        file = make_file(Dump("first", rows, seed=number + 1), site.files, "csv")
        keys.append(_deliver(site, feed, number if same else 0, file))
    site.settle_down()
    sessions = "select sessions, deadlocks from pg_stat_database where datname = current_database()"
    with connect(site.url(CONTENDER)) as watch:
        before = watch.execute(sessions).fetchone() or (0, 0)
        begun = time.perf_counter()
        processes = [_start(site, feed, key) for feed, key in zip(mine, keys, strict=True)]
        connections, waited = _watch(watch, processes)
        seconds = time.perf_counter() - begun
        watch.execute("select pg_stat_clear_snapshot()")
        after = watch.execute(sessions).fetchone() or (0, 0)
    if failed := [process.returncode for process in processes if process.returncode]:
        raise RuntimeError(f"{len(failed)} of {count} runs failed")
    return {
        "seconds": round(seconds, 2),
        "rows_per_second": round(rows * count / seconds),
        "connections": connections,
        "sessions": after[0] - before[0],
        "lock_wait_seconds": round(waited, 2),
        "deadlocks": after[1] - before[1],
    }


def _deliver(site: Site, feed: Feed, number: int, file: Path) -> str:
    key = feed.sender.prefix + feeds.inbox_key(feed, number).removeprefix(feeds.SENDER.prefix)
    site.s3.upload_file(str(file), BUCKETS[0], key)
    return key


def _start(site: Site, feed: Feed, key: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "claims_pipeline_tests.benchmarks.one_run", feed.name, "--key", key]
    environment = {**os.environ, **site.settings(CONTENDER)}
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def _watch(connection: psycopg.Connection, processes: Sequence[subprocess.Popen[bytes]]) -> tuple[int, float]:
    """Until all have ended: (most connections of theirs at once, seconds that they waited for locks, summed)."""
    most, waited, last = 0, 0.0, time.perf_counter()
    while any(process.poll() is None for process in processes):
        row = connection.execute(
            "select count(*), count(*) filter (where wait_event_type = 'Lock') from pg_stat_activity"
            " where application_name = %s and datname = current_database() and pid <> pg_backend_pid()",
            [_APPLICATION],
        ).fetchone()
        now = time.perf_counter()
        if row:
            most, waited = max(most, row[0]), waited + row[1] * (now - last)
        last = now
        time.sleep(_LOOK_SECONDS)
    return most, waited


# ---------------------------------------------------------------------------------------------- command line


def main(words: Sequence[str] | None = None) -> None:
    """Measure settings, or runs at once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=["settings", "runs"])
    parser.add_argument("--rows", type=int, help="of a dump; by default 300,000, of runs at once 100,000")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="settings whose name has one of these words, comma-separated")
    parser.add_argument("--runs", default="1,2,4,8", help="how many at once; up to 8")
    parser.add_argument("--folder", type=Path, default=PROJECT_ROOT / ".local" / "bench" / "instance")
    arguments = parser.parse_args(words)
    bench = Bench(open_site(arguments.folder), arguments.folder.absolute() / "results" / "instance.jsonl")
    parallel_feeds.install(arguments.folder / "feeds")
    try:
        if arguments.case == "settings":
            only = [word.strip() for word in arguments.only.split(",") if word.strip()]
            settings(bench, rows=arguments.rows or 300_000, rounds=arguments.rounds, only=only)
        else:
            counts = [int(number) for number in arguments.runs.split(",")]
            runs(bench, rows=arguments.rows or 100_000, counts=counts)
    finally:
        bench.stop()


if __name__ == "__main__":
    main()
