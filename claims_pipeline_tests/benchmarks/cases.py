"""What is loaded, and what a table must hold afterwards: chains of dumps that meet one table, in order.

Belongs here: cases, their files and expectations. Does not belong here: who loads them.

    daily     first: an empty table. identical: the very same bytes under another name. unchanged: the same rows in
              another order. changed: the same rows, every tenth with newer content.
    delta     base (not measured) fills the table; delta: a half updates rows spread over the table, a half are new.
    small     first: ten rows, which shows what a load costs besides rows.
    lineitem  first: TPC-H lineitem as `tpchgen-cli` writes it, six million rows at scale factor 1.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from claims_pipeline.feeds import Feed
from claims_pipeline_tests.benchmarks import feeds
from claims_pipeline_tests.benchmarks.data import Dump, expected_after, make_file

Ending = Literal["csv", "parquet"]


@dataclass(frozen=True)
class Held:
    """What is compared after a load: rows, and the sums of two integer columns."""

    rows: int
    first: int
    second: int


@dataclass(frozen=True)
class Step:
    """One load of a chain.

    Attributes:
        case: its name in results.
        number: place in the chain, from 0.
        measured: False for what only fills the table.
    """

    case: str
    number: int
    measured: bool = True


@dataclass(frozen=True)
class Chain:
    """Loads into one table, one after another.

    Attributes:
        name: in results.
        rows: size, in rows of a dump (for lineitem: of scale factor times six million).
        steps: what is loaded.
    """

    name: str
    rows: int
    steps: tuple[Step, ...]

    @property
    def feed(self) -> Feed:
        """The contract of its CSV files."""
        return feeds.LINEITEM if self.name == "lineitem" else feeds.MEMBERS

    @property
    def summed(self) -> tuple[str, str]:
        """The two columns that are summed up to verify."""
        return ("l_orderkey", "l_linenumber") if self.name == "lineitem" else ("id", "points")

    def file(self, step: Step, folder: Path, ending: Ending, tpchgen: Path | None) -> Path:
        """The step's file, made unless it is there."""
        if self.name == "lineitem":
            return _lineitem(self.rows, folder, tpchgen)
        return make_file(self._dump(step), folder, ending)

    def expected(self, step: Step, folder: Path) -> Held:
        """What the table must hold after this step."""
        if self.name == "lineitem":
            return _sums(_lineitem(self.rows, folder, None), self.summed)
        past = [self._dump(one) for one in self.steps[: step.number + 1] if one.case != "identical"]
        held = expected_after(past)
        return Held(held.rows, held.ids, held.points)

    def _dump(self, step: Step) -> Dump:
        match step.case:
            case "unchanged" | "changed" | "delta":
                return Dump(step.case, self.rows)
            case _:
                return Dump("first", self.rows)


def daily(rows: int) -> Chain:
    """The chain `daily` at this many rows."""
    return Chain("daily", rows, tuple(Step(c, i) for i, c in enumerate(("first", "identical", "unchanged", "changed"))))


def delta(rows: int) -> Chain:
    """The chain `delta`: so many rows in the table before, and in the delta."""
    return Chain("delta", rows, (Step("base", 0, measured=False), Step("delta", 1)))


def small() -> Chain:
    """The chain `small`."""
    return Chain("small", 10, (Step("first", 0),))


def lineitem(rows: int) -> Chain:
    """The chain `lineitem`, at the scale factor that has about so many rows."""
    return Chain("lineitem", rows, (Step("first", 0),))


def _lineitem(rows: int, folder: Path, tpchgen: Path | None) -> Path:
    scale = f"{rows / 6_000_000:g}"
    path = folder / f"lineitem_sf{scale}.csv"
    if not path.exists():
        if tpchgen is None:
            raise FileNotFoundError(f"{path} is made by tpchgen-cli, which is not installed")
        made = folder / f"tpch_sf{scale}"
        words = [str(tpchgen), "csv", "--scale-factor", scale, "--tables", "lineitem"]
        words += ["--overwrite", "--output-dir", str(made)]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        (made / "lineitem.csv").rename(path)
        made.rmdir()
    return path


def _sums(path: Path, columns: Sequence[str]) -> Held:
    options = pyarrow.csv.ConvertOptions(
        include_columns=list(columns), column_types={name: pa.int64() for name in columns}
    )
    rows, sums = 0, [0, 0]
    with pyarrow.csv.open_csv(path, convert_options=options) as reader:
        for batch in reader:
            rows += batch.num_rows
            sums = [total + pc.sum(array).as_py() for total, array in zip(sums, batch.columns, strict=True)]
    return Held(rows, sums[0], sums[1])
