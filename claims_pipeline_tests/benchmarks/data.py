"""The benchmarks' own fake data: the table `members`, of any length and width, the same for everybody.

Belongs here: what a dump of the benchmark holds, and writing it as CSV or Parquet in bounded memory. Does not belong
here: how values are made (values.py), contracts of them (feeds.py), loading.

Every value is a pure function of seed, column, id and revision, so any part of any dump can be made by itself, and what
a table must hold afterwards is known without loading anything (`expected_after`). 1,000,000 rows of 25 columns are
about 350 bytes each as CSV and take some seconds to make.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from claims_pipeline_tests.benchmarks.values import COLUMNS, Ints, bits_of, makers, updated_at

Variant = Literal["first", "unchanged", "changed", "delta"]

VERSION = 1
"""Part of files' names: another one for other values, so that no file of an older generator is taken for a new one."""

BLOCK = 50_000
"""Rows made at once: some 50 MB of memory at 25 columns."""


# ---------------------------------------------------------------------------------------------- dumps


@dataclass(frozen=True)
class Dump:
    """What one file holds.

    Attributes:
        variant: `first`: ids 1 to rows. `unchanged`: the same rows in another order. `changed`: the same rows, every
            tenth with newer content. `delta`: newer content for rows spread over the table (a half of the dump), and
            new rows.
        rows: rows of the dump.
        columns: its columns; the first 25 are those of `members`.
        table: of a delta, rows that the table has before; at least half of the dump's. None: as many as the dump.
        seed: other values for another seed.
    """

    variant: Variant
    rows: int
    columns: int = COLUMNS
    table: int | None = None
    seed: int = 526

    @property
    def schema(self) -> pa.Schema:
        """Names and types, in the file's order."""
        return next(Dump("first", 1, self.columns).batches()).schema

    @property
    def name(self) -> str:
        """A file name without ending that tells it from every other dump."""
        base = f"_on{self.table}" if self.table else ""
        return f"{self.variant}{base}_{self.rows}x{self.columns}_s{self.seed}_v{VERSION}"

    def batches(self, block: int = BLOCK) -> Iterator[pa.RecordBatch]:
        """The rows, typed, so many at once."""
        columns = makers(self.columns)
        for ids, revisions in self._parts(block):
            arrays = [
                maker(bits_of(ids, self.seed + place * 1_000_003, revisions if changes else None))
                for place, (_, maker, changes) in enumerate(columns)
            ]
            by_name = {name: i for i, (name, _, _) in enumerate(columns)}
            arrays[by_name["id"]] = pa.array(ids)
            arrays[by_name["updated_at"]] = updated_at(arrays[by_name["created_at"]], revisions)
            yield pa.record_batch(arrays, names=[name for name, _, _ in columns])

    def _parts(self, block: int) -> Iterator[tuple[Ints, Ints]]:
        """Ids and their revisions, a block at a time, in the dump's order."""
        starts = range(0, self.rows, block)
        for start in reversed(starts) if self.variant == "unchanged" else starts:
            places = np.arange(start, min(start + block, self.rows), dtype=np.int64)
            if self.variant == "delta":
                yield _delta_part(places, rows=self.rows, table=self.table or self.rows)
                continue
            ids = places + 1
            if self.variant == "unchanged":
                ids = np.random.default_rng([self.seed, start]).permutation(ids)
            yield ids, _changed(ids) if self.variant == "changed" else np.zeros(len(ids), np.int64)


def _delta_part(places: Ints, *, rows: int, table: int) -> tuple[Ints, Ints]:
    """Even places update rows spread over the table, odd ones are new rows behind its last."""
    half = places // 2
    updates = (rows + 1) // 2
    if updates > table:
        raise ValueError(f"a delta of {rows} rows updates {updates}, the table has {table}")
    is_update = places % 2 == 0
    ids = np.where(is_update, half * table // updates + 1, table + 1 + half)
    return ids, np.where(is_update, 2, 0).astype(np.int64)


def _changed(ids: Ints) -> Ints:
    revisions: Ints = (ids % 10 == 7).astype(np.int64)
    return revisions


@dataclass(frozen=True)
class Expected:
    """What a table must hold: compared with `select count(*), sum(id), sum(points)`."""

    rows: int
    ids: int
    points: int


def expected_after(dumps: Sequence[Dump]) -> Expected:
    """What is in an empty table after these dumps, loaded in this order, newest version kept."""
    place, points = next((i, maker) for i, (name, maker, _) in enumerate(makers(COLUMNS)) if name == "points")
    table: dict[str, Ints] = {"ids": np.empty(0, np.int64), "revisions": np.empty(0, np.int64)}
    for dump in dumps:
        for ids, revisions in dump._parts(1_000_000):
            last = int(ids.max())
            if last > len(table["ids"]):
                more = np.arange(len(table["ids"]) + 1, last + 1, dtype=np.int64)
                table["ids"] = np.concatenate([table["ids"], more])
                table["revisions"] = np.concatenate([table["revisions"], np.full(len(more), -1, np.int64)])
            np.maximum.at(table["revisions"], ids - 1, revisions)
    held = table["revisions"] >= 0
    ids, revisions = table["ids"][held], table["revisions"][held]
    seed = dumps[0].seed + place * 1_000_003
    total = pc.sum(points(bits_of(ids, seed, revisions)), min_count=0).as_py()
    return Expected(rows=len(ids), ids=int(ids.sum()), points=int(total))


# ---------------------------------------------------------------------------------------------- files


def make_file(dump: Dump, folder: Path, ending: Literal["csv", "parquet"]) -> Path:
    """The dump as a file of the folder, made unless it is there already; same dump, same bytes."""
    path = folder / f"{dump.name}.{ending}"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"{path.name}.{os.getpid()}.partial"
        with partial.open("wb") as file:
            (write_csv if ending == "csv" else write_parquet)(dump, file)
        partial.rename(path)
    return path


def write_csv(dump: Dump, file: IO[bytes]) -> None:
    """Write a dump as COPY TO writes CSV with a header: quoted where needed, NULL empty, `+00` behind times."""
    for number, batch in enumerate(dump.batches()):
        if number == 0:
            file.write((",".join(batch.schema.names) + "\n").encode())
        file.write(_csv_lines(batch))


def write_parquet(dump: Dump, file: IO[bytes]) -> None:
    """Write a dump as Parquet (zstd), a row group for every block."""
    with pq.ParquetWriter(file, dump.schema, compression="zstd") as writer:
        for batch in dump.batches():
            writer.write_batch(batch)


def _csv_lines(batch: pa.RecordBatch) -> memoryview:
    texts = [_csv_text(array) for array in batch.columns]
    texts[-1] = pc.binary_join_element_wise(pc.fill_null(texts[-1], ""), "\n", "")
    lines = pc.binary_join_element_wise(*texts, ",", null_handling="replace", null_replacement="")
    _, offsets, characters = lines.buffers()
    ends = np.frombuffer(offsets, np.int32)
    return memoryview(characters)[ends[lines.offset] : ends[lines.offset + len(lines)]]


def _csv_text(array: pa.Array) -> pa.Array:
    kinds = pa.types
    if kinds.is_string(array.type):
        return _quoted(array)
    if kinds.is_boolean(array.type):
        return pc.if_else(array, "t", "f")
    if kinds.is_timestamp(array.type):
        whole = array.cast(pa.timestamp("s"), safe=False)
        exact = pc.all(pc.equal(whole.cast(pa.timestamp("us")), array.cast(pa.timestamp("us"))), min_count=0).as_py()
        naive = whole if exact else array.cast(pa.timestamp("us"))
        return pc.binary_join_element_wise(naive.cast(pa.string()), "+00", "")
    return array.cast(pa.string())


def _quoted(text: pa.Array) -> pa.Array:
    needs = pc.match_substring_regex(text, r'^$|[",\r\n]')
    if not pc.any(needs, min_count=0).as_py():
        return text
    return pc.if_else(needs, pc.binary_join_element_wise('"', pc.replace_substring(text, '"', '""'), '"', ""), text)
