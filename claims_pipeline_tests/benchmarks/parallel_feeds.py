"""Eight senders with a table of `members` each, found as any other package's feeds are.

Belongs here: contracts for runs at once (instance.py). Does not belong here: those of other benchmarks (feeds.py).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from claims_pipeline.feeds.registry import ENTRY_POINTS
from claims_pipeline_tests.benchmarks.feeds import MEMBERS, SENDER

FEEDS = tuple(
    replace(MEMBERS, sender=replace(SENDER, name=f"bench{number}", prefix=f"bench{number}/")) for number in range(1, 9)
)


def install(folder: Path) -> None:
    """Let processes that search a folder of `feeds.installed` find these as well."""
    info = folder / "claims_bench_parallel-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: claims-bench-parallel\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{ENTRY_POINTS}]\nbench_parallel = {__name__}\n")
