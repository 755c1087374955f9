"""How a load's cost grows: with the dump, with the table, with the backlog, with the columns.

Belongs here: the cases and their sizes, results as JSON lines, a summary. Does not belong here: the data (data.py), one
run (one_run.py), filling a table without the pipeline (filling.py), comparison with other tools.

    python -m claims_pipeline_tests.benchmarks.growth dump     one dump of 10,000 to 20,000,000 rows
    python -m claims_pipeline_tests.benchmarks.growth table    deltas that meet a table of 1, 10 and 50 million rows
    python -m claims_pipeline_tests.benchmarks.growth backlog  5,000 small files, step by step and by catch-up
    python -m claims_pipeline_tests.benchmarks.growth wide     dumps of 220 columns
    python -m claims_pipeline_tests.benchmarks.growth ten-gb   one dump of 10 GB
    python -m claims_pipeline_tests.benchmarks.growth summary  what was measured so far

Each size is a line of <folder>/results/growth.jsonl as soon as it is measured. `--sizes 10000,1000000` limits,
`--resume` passes over sizes that have a line. A dump is four times on disk (inbox, archive, Parquet, table) when it is
loaded: 20,000,000 rows or 10 GB need some 45 GB. The table of 50,000,000 rows takes 23 GB.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from claims_pipeline.feeds import Feed
from claims_pipeline.settings import PROJECT_ROOT
from claims_pipeline.warehouse.connection import connect
from claims_pipeline_tests.benchmarks import feeds, filling, measure
from claims_pipeline_tests.benchmarks.data import Dump, make_file, write_csv
from claims_pipeline_tests.benchmarks.measure import say
from claims_pipeline_tests.benchmarks.site import BUCKETS, Site, open_site

CONTENDER = "growth"
BACKLOG_ROWS = 20
"""Rows of each file of the backlog."""

SIZES = {
    "dump": (10_000, 100_000, 1_000_000, 5_000_000, 20_000_000),
    "table": (1_000_000, 10_000_000, 50_000_000),
    "backlog": (5_000,),
    "wide": (10_000, 100_000, 500_000),
    "ten-gb": (10_000_000_000,),
}
"""Of a dump and wide, rows of the dump; of table, its rows before; of backlog, files; of ten-gb, bytes."""

Line = dict[str, Any]


@dataclass(frozen=True)
class Growth:
    """Where growth is measured, and where results go."""

    site: Site
    results: Path

    def note(self, line: Line) -> Line:
        """Append a line, and say it."""
        self.results.parent.mkdir(parents=True, exist_ok=True)
        line = {"at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"), **line}
        with self.results.open("a") as file:
            file.write(json.dumps(line) + "\n")
        say(told(line))
        return line

    def empty(self) -> None:
        """An empty warehouse, and empty buckets."""
        self.site.empty_pipeline(CONTENDER)
        self.site.settle_down()

    def run(self, feed: Feed, *words: str) -> tuple[Line, Line]:
        """One run of the library on what is open; (what it said, its usage as columns of a line)."""
        command = [sys.executable, "-m", "claims_pipeline_tests.benchmarks.one_run", feed.name, *words]
        measured = measure.run(
            command,
            env=self.site.settings(CONTENDER),
            beside=measure.servers(self.site.state),
            seconds=6 * 3_600,
        )
        usage = measured.usage
        return dict(measured.said), {"cpu": usage.cpu, "peak_mb": usage.peak_mb}


# ---------------------------------------------------------------------------------------------- cases


def dump(growth: Growth, rows: int) -> Line:
    """One dump of `members` into an empty table."""
    return growth.note(_first_load(growth, "dump", rows, Dump("first", rows), feeds.MEMBERS))


def wide(growth: Growth, rows: int) -> Line:
    """One dump of 220 columns into an empty table."""
    return growth.note(_first_load(growth, "wide", rows, Dump("first", rows, feeds.WIDE_COLUMNS), feeds.WIDE))


def ten_gb(growth: Growth, size: int) -> Line:
    """One dump of so many bytes into an empty table."""
    sample = make_file(Dump("first", 50_000), growth.site.files, "csv").stat().st_size
    rows = round(size / (sample / 50_000))
    return growth.note(_first_load(growth, "ten-gb", size, Dump("first", rows), feeds.MEMBERS))


def table(growth: Growth, rows: int, *, deltas: Sequence[int]) -> list[Line]:
    """Deltas, half of them updates spread over the table and half new rows, that meet a table of so many rows."""
    feed = feeds.MEMBERS_PARQUET
    growth.empty()
    sample = min(rows // 10, 100_000)
    _deliver(growth, feed, 0, Dump("first", sample), "parquet")
    growth.run(feed)
    begun = time.perf_counter()
    with connect(growth.site.url(CONTENDER)) as connection:
        filling.fill(connection, feed, sample=sample, rows=rows)
    filled = round(time.perf_counter() - begun, 1)
    growth.site.settle_down()
    held, lines = rows, []
    for number, delta in enumerate(deltas, start=1):
        _deliver(growth, feed, number, Dump("delta", delta, table=held), "parquet")
        with connect(growth.site.url(CONTENDER)) as connection:
            before = filling.activity(connection, feed)
            said, usage = growth.run(feed)
            after = filling.activity(connection, feed)
        line = {"case": "table", "size": rows, "delta": delta, "filled": filled, **_loaded(said), **usage}
        line["table"] = {name: round(after[name] - before[name], 3) for name in after}
        lines.append(growth.note(line))
        held += line["rows"]["inserted"]
    return lines


def backlog(growth: Growth, files: int, *, ways: Sequence[str]) -> list[Line]:
    """So many small files that wait, loaded step by step ("steps"), or as many by catch-up ("catch-up")."""
    lines = []
    for through in ways:
        growth.empty()
        _deliver_many(growth, feeds.MEMBERS, files)
        said, usage = growth.run(feeds.MEMBERS, *(["--catch-up"] if through == "catch-up" else []))
        if through == "steps":
            spent = [sum(one["seconds"].values()) for one in said["dumps"]]
            by_step = {
                step: round(statistics.fmean(one["seconds"][step] for one in said["dumps"]), 4)
                for step in said["dumps"][0]["seconds"]
            }
        else:
            spent, by_step = said["per_dump"], {}
        if len(spent) != files:
            raise RuntimeError(f"{files} files were delivered, {len(spent)} loaded")
        line = {"case": "backlog", "size": files, "through": through, "seconds": said["seconds"]}
        line |= {"discover": said.get("discover"), "per_file": _along(spent), "by_step": by_step, **usage}
        lines.append(growth.note(line))
    return lines


def _first_load(growth: Growth, case: str, size: int, dump: Dump, feed: Feed) -> Line:
    growth.empty()
    written = _deliver(growth, feed, 0, dump, "csv")
    said, usage = growth.run(feed)
    return {"case": case, "size": size, "columns": dump.columns, "bytes": written, **_loaded(said), **usage}


def _loaded(said: Line) -> Line:
    """Of a run's one dump: rows by verdict, seconds by step and by stage."""
    (one,) = said["dumps"]
    total = round(sum(one["seconds"].values()), 3)
    facts = {"rows": one["rows"], "steps": one["seconds"], "stages": one["stages"], "max_rss_mb": said["max_rss_mb"]}
    return {"seconds": total, "rows_per_second": round(one["rows"]["read"] / total), **facts}


def _along(spent: Sequence[float]) -> Line:
    """Mean seconds of a file at the beginning, in the middle and at the end: of a tenth of the files, 100 at most."""
    few = max(1, min(100, len(spent) // 10))
    middle = len(spent) // 2 - few // 2
    parts = {"beginning": spent[:few], "middle": spent[middle : middle + few], "end": spent[-few:]}
    return {name: round(statistics.fmean(part), 4) for name, part in parts.items()}


# ---------------------------------------------------------------------------------------------- delivery


def _deliver(growth: Growth, feed: Feed, number: int, dump: Dump, ending: Any) -> int:
    """Make a dump's file and put it into the inbox; its bytes. The file goes: it may be large, and is made once."""
    file = make_file(dump, growth.site.files, ending)
    size = file.stat().st_size
    growth.site.deliver(feed, number, file)
    file.unlink()
    return size


def _deliver_many(growth: Growth, feed: Feed, files: int) -> None:
    """Put small files into the inbox, 200 for each delivery day, all with rows of their own."""
    s3 = growth.site.s3
    for number, body in enumerate(_small_files(growth.site.files, files)):
        stamp = feeds.FIRST_DAY + dt.timedelta(days=number // 200, minutes=number % 200)
        key = f"{feeds.SENDER.prefix}{feed.dataset}_{stamp:%Y%m%dT%H%M%SZ}.csv"
        s3.put_object(Bucket=BUCKETS[0], Key=key, Body=body)


def _small_files(folder: Path, files: int) -> Iterator[bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"backlog_{files}.csv"
    with path.open("wb") as file:
        write_csv(Dump("first", files * BACKLOG_ROWS), file)
    with path.open("rb") as file:
        header = file.readline()
        for _ in range(files):
            yield header + b"".join(file.readline() for _ in range(BACKLOG_ROWS))
    path.unlink()


# ---------------------------------------------------------------------------------------------- telling


def lines_of(results: Path) -> list[Line]:
    """What was measured so far, in order."""
    return [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []


def told(line: Line) -> str:
    """A line of the summary."""
    size = f"{line['case']:8} {line['size']:>14,}"
    peak = f"peak {line['peak_mb'].get('own', 0):5,.0f} MB, server {line['peak_mb'].get('postgres', 0):5,.0f} MB"
    if line["case"] == "backlog":
        along = ", ".join(f"{name} {seconds * 1000:.0f}" for name, seconds in line["per_file"].items())
        return f"{size} files by {line['through']:8} {line['seconds']:8.1f} s; ms a file: {along}; {peak}"
    steps = ", ".join(f"{name} {seconds:.1f}" for name, seconds in line["steps"].items())
    delta = f"+{line['delta']:,}" if "delta" in line else ""
    text = f"{size} {delta:>11} {line['seconds']:8.1f} s {line['rows_per_second']:9,} rows/s ({steps}); {peak}"
    if "table" in line:
        hot, updated = line["table"]["hot_updates"], max(line["table"]["updates"], 1)
        text += f"; load {line['steps']['load'] / line['delta'] * 1e6:.1f} us a row, HOT {hot / updated:.0%}"
        text += f", scans of the whole table {line['table']['whole_scans']:.0f}"
    return text


# ---------------------------------------------------------------------------------------------- command line


def main(words: Sequence[str] | None = None) -> None:
    """Measure one case, or tell what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=[*SIZES, "summary"])
    parser.add_argument("--sizes", type=_numbers, help="see SIZES; by default all")
    parser.add_argument("--deltas", type=_numbers, default=(10_000, 1_000_000), help="of `table`: rows of each delta")
    parser.add_argument("--ways", nargs="+", choices=["steps", "catch-up"], default=["steps", "catch-up"])
    parser.add_argument("--folder", type=Path, default=PROJECT_ROOT / ".local" / "bench", help="default .local/bench")
    parser.add_argument("--resume", action="store_true", help="pass over sizes that have a line in the results")
    arguments = parser.parse_args(words)
    results = arguments.folder.absolute() / "results" / "growth.jsonl"
    if arguments.case == "summary":
        for line in sorted(lines_of(results), key=lambda line: (line["case"], line["size"], line["at"])):
            say(told(line))
        return
    growth = Growth(open_site(arguments.folder), results)
    had = {(line["case"], line["size"]) for line in lines_of(results)} if arguments.resume else set()
    cases: dict[str, Callable[[int], object]] = {
        "dump": lambda size: dump(growth, size),
        "table": lambda size: table(growth, size, deltas=arguments.deltas),
        "backlog": lambda size: backlog(growth, size, ways=arguments.ways),
        "wide": lambda size: wide(growth, size),
        "ten-gb": lambda size: ten_gb(growth, size),
    }
    for size in arguments.sizes or SIZES[arguments.case]:
        if (arguments.case, size) not in had:
            cases[arguments.case](size)
    growth.site.drop_database(CONTENDER)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.replace("_", "").split(","))


if __name__ == "__main__":
    main()
