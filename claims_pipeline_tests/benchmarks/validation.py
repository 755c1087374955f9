"""The simulation's arithmetic beside what was measured: by how much it differs, and which figures it was made from.

Belongs here: measurements of docs/performance.md and docs/postgres.md, and what the simulation says of the same case.
Does not belong here: the model (capacity.py, simulation.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from claims_pipeline_tests.benchmarks.capacity import (
    KINDS,
    Cluster,
    Deliveries,
    Measured,
    load_seconds,
    pod_seconds,
)
from claims_pipeline_tests.benchmarks.simulation import simulate

_ONE_MACHINE = Cluster(pods=4, pod_vcpu=2, pod_start_seconds=0)
"""As `dagster.yaml` has it: a run is a process, which needs no pod."""


@dataclass(frozen=True)
class Beside:
    """One case.

    Attributes:
        case: what was measured.
        measured: seconds.
        predicted: seconds.
        is_input: whether the model was made from this very figure, so that agreement proves nothing.
    """

    case: str
    measured: float
    predicted: float
    is_input: bool = False

    @property
    def off(self) -> float:
        """By how much the prediction is off, as a share of what was measured."""
        return self.predicted / self.measured - 1


def beside(measured: Measured | None = None) -> list[Beside]:
    """All cases, in order of the pages."""
    of = measured or Measured()

    def library(rows: float, kind: str = "new") -> float:
        """Archive, validation and load of one dump, without Dagster."""
        return pod_seconds(of, dumps=1, rows=rows, datasets=0) + load_seconds(KINDS[kind], rows)

    run_of_18 = pod_seconds(of, dumps=18, rows=180) + load_seconds(KINDS["new"], 180)
    alone = simulate(Deliveries(feeds=1, days=200, rows=10, spread=0, kind="new"), _ONE_MACHINE, of)
    return [
        Beside("first load, 10,000 rows", 0.7, library(10_000)),
        Beside("first load, 100,000 rows", 1.7, library(100_000)),
        Beside("first load, 500,000 rows", 7.43, library(500_000)),
        Beside("first load, 1,000,000 rows", 12.9, library(1_000_000)),
        Beside("first load, 5,000,000 rows", 70.1, library(5_000_000)),
        Beside("first load, 20,000,000 rows", 285.6, library(20_000_000)),
        Beside("first load, 29,321,162 rows", 408.2, library(29_321_162), is_input=True),
        Beside("the same through Dagster, 500,000 rows", 8.68, library(500_000) + of.dataset_seconds),
        Beside("unchanged, 500,000 rows", 6.54, library(500_000, "unchanged")),
        Beside("delta of 500,000 rows, table of 500,000", 11.67, library(500_000, "delta")),
        Beside("delta of 10,000 rows, table of 10,000,000", 0.8, library(10_000, "delta")),
        Beside("delta of 1,000,000 rows, table of 10,000,000", 35.8, library(1_000_000, "delta"), is_input=True),
        Beside("delta of 1,000,000 rows, table of 50,000,000", 44.6, library(1_000_000, "delta")),
        Beside("first load, 100,000 rows of 220 columns", 8.7, library(100_000)),
        Beside("first load, 6,000,000 rows of lineitem (16 columns)", 42.6, library(6_000_000)),
        Beside("backlog of 5,000 files of 20 rows, catch-up", 520, _backlog(of, 5_000, 20), is_input=True),
        Beside("18 small datasets of a day, one run: at least", 3.0, run_of_18),
        Beside("18 small datasets of a day, one run: at most", 8.0, run_of_18),
        Beside("arrival to table of ten rows, `claims-pipeline dev` (to_table.py): median", 36.7, alone.p50),
        Beside("the same: the longest of 8", 40.0, alone.longest),
    ]


def _backlog(of: Measured, files: int, rows: float) -> float:
    whole = pod_seconds(of, dumps=files, rows=files * rows, datasets=0)
    return whole + load_seconds(KINDS["new"], files * rows)


def table(cases: Sequence[Beside]) -> str:
    """As Markdown."""
    lines = ["| case | measured, s | predicted, s | off by | |", "|---|---:|---:|---:|---|"]
    lines += [
        f"| {one.case} | {one.measured:g} | {one.predicted:.3g} | {one.off:+.0%} "
        f"| {'the model was made from it' if one.is_input else ''} |"
        for one in cases
    ]
    return "\n".join(lines)
