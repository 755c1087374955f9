"""What a code location costs as feeds are added: seconds and memory of its import, which every run pays.

Belongs here: generated contracts, a process that imports them all, the table. Does not belong here: what a run or a
tick of few feeds costs (startup.py), what follows from it for a cluster (simulate.py).

    python -m claims_pipeline_tests.benchmarks.many_feeds --feeds 0,100,1000

Contracts come by an entry point, as those of any other package do, each a pandera model of 25 columns of its own, ten
to a sender, beside the feeds that the project has. What is measured is a process that imports
`claims_pipeline.definitions` and has Dagster resolve it, as code servers and runs do. With CLAIMS_SENDERS=va_form526
the location leaves the generated feeds out, and what is left is what their contracts alone cost.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from claims_pipeline.feeds.contract import Feed
from claims_pipeline.feeds.registry import ENTRY_POINTS
from claims_pipeline_tests.benchmarks.feeds import MEMBERS, SENDER, Members
from claims_pipeline_tests.benchmarks.measure import say

FEEDS_PER_SENDER = 10

_CHILD = """
import json, resource, time

def spent():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return time.monotonic(), usage.ru_utime + usage.ru_stime

begun = time.monotonic()
import dagster as dg
from claims_pipeline.definitions import defs
imported = spent()
dg.Definitions.validate_loadable(defs)
resolved = spent()
nodes = defs.resolve_asset_graph().get_all_asset_keys()
print(json.dumps({
    "import_seconds": imported[0] - begun,
    "import_cpu": imported[1],
    "resolve_cpu": resolved[1] - imported[1],
    "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "assets": len(nodes),
    "sensors": len(list(defs.sensors or ())),
}))
"""


@dataclass(frozen=True)
class Location:
    """A code location with so many generated feeds.

    Attributes:
        feeds: generated ones; the project's own are there besides.
        import_seconds: wall time of the import.
        import_cpu: CPU seconds of the process until the import is done.
        resolve_cpu: CPU seconds in which Dagster resolves jobs, sensors and the graph of assets after that.
        peak_mb: largest resident set of the process, MiB.
        assets: in the graph.
        sensors: of the location.
    """

    feeds: int
    import_seconds: float
    import_cpu: float
    resolve_cpu: float
    peak_mb: float
    assets: int
    sensors: int


def generated(count: int) -> tuple[Feed, ...]:
    """So many feeds, each with a model of its own, ten to a sender."""
    feeds = []
    for number in range(count):
        name = f"many{number // FEEDS_PER_SENDER:04}"
        sender = replace(SENDER, name=name, title=f"Sender {name}", prefix=f"{name}/")
        model = type(f"Members{number:05}", (Members,), {"__doc__": "Members.", "__module__": __name__})
        dataset = f"members_{number % FEEDS_PER_SENDER}"
        feeds.append(replace(MEMBERS, sender=sender, dataset=dataset, model=model, file_names=_names(dataset)))
    return tuple(feeds)


def _names(dataset: str) -> tuple[str, ...]:
    return (rf"^{dataset}_(?P<stamp>\d{{8}}T\d{{6}}Z)\.csv$",)


def measured(count: int, folder: Path) -> Location:
    """A process that imports the code location with so many generated feeds beside the project's own.

    Args:
        count: of generated feeds.
        folder: gets the package that brings them; its own for each count.

    Raises:
        subprocess.CalledProcessError: the location cannot be loaded; its words are on stderr.
    """
    info = folder / "claims_many-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: claims-many\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{ENTRY_POINTS}]\nmany = claims_many\n")
    package = "claims_pipeline_tests.benchmarks.many_feeds"
    (folder / "claims_many.py").write_text(f"from {package} import generated\n\nFEEDS = generated({count})\n")
    path = [str(folder.absolute()), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-c", _CHILD],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path), "CLAIMS_STATE_DIR": str(folder / "state")},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return Location(feeds=count, **json.loads(done.stdout))


def table(locations: Sequence[Location]) -> str:
    """As Markdown."""
    lines = [
        "| generated feeds | assets | sensors | import, s | import, CPU s | resolve, CPU s | peak MB |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {one.feeds:,} | {one.assets:,} | {one.sensors:,} | {one.import_seconds:.1f} | {one.import_cpu:.1f} "
        f"| {one.resolve_cpu:.1f} | {one.peak_mb:,.0f} |"
        for one in locations
    ]
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> None:
    """Measure, and print a table or JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--feeds", default="0,100,1000", help="how many feeds are generated, comma-separated")
    parser.add_argument("--json", action="store_true", help="a JSON line for each")
    chosen = parser.parse_args(words)
    found = []
    for count in (int(number) for number in chosen.feeds.split(",")):
        with tempfile.TemporaryDirectory(prefix="claims-many-") as folder:
            found.append(measured(count, Path(folder)))
    say("\n".join(json.dumps(asdict(one)) for one in found) if chosen.json else table(found))


if __name__ == "__main__":
    main()
