"""Start-up, measured: imports, the CLI, a tick and a run with nothing to do, a small dump from tick to first row.

Belongs here: the cases, and their table. Does not belong here: Dagster's processes (launcher.py) and rows per second
(the rest of the package).

    python -m claims_pipeline_tests.benchmarks.startup --rounds 5

Every case is set beside the same of Dagster with next to nothing in it (floor_location.py), in turn, in the same round.
Seconds are wall time, except for imports and commands, whose CPU time tells more on a busy machine and is shown too.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from claims_pipeline.feeds import feed_named
from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline.landing.s3 import ensure_bucket
from claims_pipeline.local import ensure_up, reset, s3_client
from claims_pipeline.orchestration.keys import REQUEST_TAG, SENDER_TAG, feed_keys
from claims_pipeline.settings import PROJECT_ROOT, Settings
from claims_pipeline_tests.benchmarks import floor_location
from claims_pipeline_tests.benchmarks.launcher import Launcher, launcher, wait_for

RESULTS = PROJECT_ROOT / ".local" / "bench" / "results" / "startup.jsonl"

_OURS, _FLOOR = "claims_pipeline", "floor"
_MODULES = {_OURS: "claims_pipeline.definitions", _FLOOR: floor_location.__name__}
_FEED = feed_named(f"{SENDER.name}/form526_uploads")
FIRST = dt.date(2026, 5, 4)
_ROWS = 10
_IMPORT_LINE = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \|\s+(\S+)")


@dataclass
class Case:
    """What was measured of one case: a value for each round, ours and the floor's, in seconds.

    Attributes:
        name: of the case.
        seconds: ours.
        floor_seconds: Dagster's own with next to nothing in it; empty where it has no such thing.
        clock: "wall" or "cpu".
    """

    name: str
    clock: str = "wall"
    seconds: list[float] = field(default_factory=list)
    floor_seconds: list[float] = field(default_factory=list)

    def as_line(self) -> str:
        """One line of the table: medians, spread, ratio to the floor."""
        ours = statistics.median(self.seconds)
        cells = [self.name, self.clock, f"{ours:.2f}", f"{min(self.seconds):.2f}..{max(self.seconds):.2f}"]
        if self.floor_seconds:
            floor = statistics.median(self.floor_seconds)
            cells += [f"{floor:.2f}", f"{ours / floor:.1f}"]
        else:
            cells += ["-", "-"]
        return f"| {' | '.join(cells)} |"

    def as_json(self) -> str:
        """One line for report.py."""
        return json.dumps(
            {"name": self.name, "clock": self.clock, "seconds": self.seconds, "floor_seconds": self.floor_seconds}
        )


@dataclass(frozen=True)
class Imported:
    """What importing one module costs, seconds: its own statements, and with all that it imports first."""

    module: str
    own: float
    cumulative: float


class Cases(dict[str, Case]):
    """Cases by name and clock, made when they are first noted."""

    def note(self, name: str, clock: str, ours: float, floor: float | None = None) -> None:
        """Add a round's values, seconds."""
        case = self.setdefault(f"{name} ({clock})", Case(name, clock))
        case.seconds.append(ours)
        if floor is not None:
            case.floor_seconds.append(floor)


def main() -> None:
    """Measure, print the table, write JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5, help="rounds; medians are shown")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file of JSON lines, written anew")
    chosen = parser.parse_args()
    cases = Cases()
    with tempfile.TemporaryDirectory(prefix="claims-startup-") as folder:
        state = Path(folder) / "state"
        try:
            measure(state, rounds=chosen.rounds, cases=cases)
        finally:
            reset(state)
    slowest = imports(_MODULES[_OURS])
    chosen.results.parent.mkdir(parents=True, exist_ok=True)
    chosen.results.write_text("".join(f"{case.as_json()}\n" for case in cases.values()))
    sys.stdout.write("\n".join([*table(cases.values()), "", *import_table(slowest)]) + "\n")


def table(cases: Iterable[Case]) -> list[str]:
    """The cases as a Markdown table."""
    head = ["| case | clock | seconds | min..max | floor | ratio |", "| --- | --- | ---: | ---: | ---: | ---: |"]
    return [*head, *(case.as_line() for case in cases)]


def import_table(found: Sequence[Imported], most: int = 10) -> list[str]:
    """The modules that cost most, by their own time and with all that they import."""
    lines = ["| own | seconds | with its imports | seconds |", "| --- | ---: | --- | ---: |"]
    own = sorted(found, key=lambda one: -one.own)[:most]
    whole = sorted(found, key=lambda one: -one.cumulative)[:most]
    for left, right in zip(own, whole, strict=True):
        lines.append(f"| `{left.module}` | {left.own:.3f} | `{right.module}` | {right.cumulative:.3f} |")
    return lines


# ---------------------------------------------------------------------------------------------- the cases


def measure(state: Path, *, rounds: int, cases: Cases) -> None:
    """Measure every case so many times, in turn.

    Args:
        state: state folder of the embedded parts, which are started; the caller resets it.
        rounds: how often.
        cases: get the values.
    """
    services = ensure_up(state)
    s3, inbox = s3_client(services.s3), str(Settings.model_fields["inbox_bucket"].default)
    ensure_bucket(s3, inbox)
    environment = {"CLAIMS_STATE_DIR": str(state), "CLAIMS_SETTLE_SECONDS": "0"}
    program = Path(sys.executable).parent
    _process([str(program / "claims-pipeline"), "migrate"], environment)
    for _ in range(rounds):
        _beside(cases, "import of the code location", [_importing(module) for module in _MODULES.values()], environment)
        helps = [[str(program / "claims-pipeline"), "--help"], [str(program / "dagster"), "--help"]]
        _beside(cases, "command --help", helps, environment)
        _beside(cases, "catch-up, nothing to do", [[str(program / "claims-pipeline"), "catch-up"]], environment)
    home = state / "benchmark"
    home.mkdir()
    with launcher(home, _MODULES, environment) as dagster, psycopg.connect(services.database_url) as database:
        database.autocommit = True
        for number in range(rounds):
            _ticks(dagster, cases, first=number == 0)
            _idle_run(dagster, cases)
            day = FIRST + dt.timedelta(days=number)
            key, body = small_dump(day, number)
            s3.put_object(Bucket=inbox, Key=key, Body=body)
            _first_row(dagster, cases, database, marker=home / f"marker-{number}")


def imports(module: str) -> list[Imported]:
    """What each module that is imported with this one costs, by `python -X importtime`."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", f"import {module}"], check=True, capture_output=True, text=True
    )
    found = [_IMPORT_LINE.match(line) for line in done.stderr.splitlines()]
    return [Imported(m[3], int(m[1]) / 1e6, int(m[2]) / 1e6) for m in found if m is not None]


def _ticks(dagster: Launcher, cases: Cases, *, first: bool) -> None:
    """A tick that finds nothing new; a code server's first one makes its S3 client."""
    for name in ("first tick of a code server", "tick, nothing to do") if first else ("tick, nothing to do",):
        ours = _timed(lambda: dagster.tick(_OURS, f"arrivals_{SENDER.name}"))
        cases.note(name, "wall", ours, _timed(lambda: dagster.tick(_FLOOR, "idle")))


def _idle_run(dagster: Launcher, cases: Cases) -> None:
    """A run whose dumps another run has loaded: three steps that find nothing."""
    day = FIRST.isoformat()
    tags = {
        "dagster/asset_partition_range_start": day,
        "dagster/asset_partition_range_end": day,
        REQUEST_TAG: "benchmark",
        SENDER_TAG: SENDER.name,
    }
    with _Cpu(dagster) as cpu:
        ours = dagster.wait(dagster.launch(_OURS, [list(key.path) for key in feed_keys(_FEED)], tags))
        floor = dagster.wait(dagster.launch(_FLOOR, [["nothing"]], {}))
    name = "run, nothing to do"
    cases.note(name, "wall", ours.ended - ours.created, floor.ended - floor.created)
    cases.note(name, "cpu", cpu.ours, cpu.floor)
    cases.note(f"{name}: until its first step", "wall", ours.started - ours.created, floor.started - floor.created)
    cases.note(f"{name}: its steps", "wall", ours.ended - ours.started, floor.ended - floor.started)


def _first_row(dagster: Launcher, cases: Cases, database: psycopg.Connection, *, marker: Path) -> None:
    """From the tick that finds a dump of ten rows to its first row that others see."""
    count = f"select count(*) from {SENDER.name}.{_FEED.dataset}"
    before = database.execute(count.encode()).fetchone()
    with _Cpu(dagster) as cpu:
        begun = time.monotonic()
        (request,) = dagster.tick(_OURS, f"arrivals_{SENDER.name}")
        assets = [asset["path"] for asset in request["assetSelection"]]
        run_id = dagster.launch(_OURS, assets, {tag["key"]: tag["value"] for tag in request["tags"]})
        wait_for(lambda: database.execute(count.encode()).fetchone() != before, seconds=120, pause=0.01)
        ours = time.monotonic() - begun
        dagster.wait(run_id)
        begun = time.monotonic()
        dagster.tick(_FLOOR, "idle")
        run_id = dagster.launch(_FLOOR, [["nothing"]], {floor_location.MARKER_TAG: str(marker)})
        wait_for(marker.exists, seconds=120, pause=0.01)
        floor = time.monotonic() - begun
        dagster.wait(run_id)
    cases.note(f"tick to first row, {_ROWS} rows", "wall", ours, floor)
    cases.note(f"run of a dump, {_ROWS} rows", "cpu", cpu.ours, cpu.floor)


class _Cpu:
    """CPU seconds of the one run of each code location that is begun and ended within the block."""

    ours = 0.0
    floor = 0.0

    def __init__(self, dagster: Launcher) -> None:
        self._dagster = dagster

    def __enter__(self) -> _Cpu:
        self._before = self._now()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            # A code server counts a run when it looks for processes that have ended.
            wait_for(lambda: all(self._gone()), seconds=60, pause=0.1)
            self.ours, self.floor = self._gone()

    def _gone(self) -> tuple[float, float]:
        now = self._now()
        return now[0] - self._before[0], now[1] - self._before[1]

    def _now(self) -> tuple[float, float]:
        return self._dagster.cpu_of_runs(_MODULES[_OURS]), self._dagster.cpu_of_runs(_MODULES[_FLOOR])


# ---------------------------------------------------------------------------------------------- parts


def small_dump(day: dt.date, number: int) -> tuple[str, bytes]:
    """Key and bytes of a dump of ten rows that keeps the contract."""
    first = 1_000_000 + number * _ROWS
    lines = ["submission_id,confirmation_code,attachment_id,file_name"]
    lines += [f"{first + n},00000000-0000-4000-8000-{first + n:012},L015,scan.pdf" for n in range(_ROWS)]
    name = f"{_FEED.dataset}/dt={day}/{_FEED.dataset}_{day:%Y%m%d}T050000Z.csv"
    return f"{SENDER.prefix}{name}", ("\n".join(lines) + "\n").encode()


def _importing(module: str) -> list[str]:
    return [sys.executable, "-c", f"import {module}"]


def _beside(cases: Cases, name: str, commands: Sequence[list[str]], environment: dict[str, str]) -> None:
    """Note a command, and the floor's where there is one."""
    found = [_process(argv, environment) for argv in commands]
    for clock, values in zip(("wall", "cpu"), zip(*found, strict=True), strict=True):
        cases.note(name, clock, *values)


def _process(argv: Sequence[str], environment: dict[str, str]) -> tuple[float, float]:
    """Run a process to its end; its wall and CPU seconds."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(
        argv, check=True, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic() - begun, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def _timed(work: Callable[[], object]) -> float:
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


if __name__ == "__main__":
    main()
