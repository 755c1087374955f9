"""Loads one CSV or Parquet file with dlt. Runs in dlt's environment: knows nothing of this project.

Its documentation's fast way: Arrow batches with declared types, carried as Parquet, loaded by ADBC; `upsert` by key.
CSV files in place of Parquet took 3 to 50 % more CPU (200,000 rows, dlt 1.31, 2026-11-22).
Arguments: the file, a JSON file with table, key and columns. BENCH_URL is the database.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

os.environ |= {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "ERROR",
    "NORMALIZE__DATA_WRITER__DISABLE_COMPRESSION": "true",
    "EXTRACT__DATA_WRITER__FILE_MAX_ITEMS": "500000",  # several files of a table are loaded side by side
    "DESTINATION__POSTGRES__CREDENTIALS": os.environ["BENCH_URL"],
}

import dlt
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

_SIMPLE = {
    "int64": pa.int64(),
    "int32": pa.int32(),
    "int16": pa.int16(),
    "string": pa.string(),
    "bool": pa.bool_(),
    "date32[day]": pa.date32(),
    "timestamp[us, tz=UTC]": pa.timestamp("us", "UTC"),
}


def _type(name: str) -> pa.DataType:
    decimal = re.fullmatch(r"decimal128\((\d+), (\d+)\)", name)
    return pa.decimal128(int(decimal[1]), int(decimal[2])) if decimal else _SIMPLE[name]


def _tables(file: Path, columns: dict[str, str]) -> Iterator[pa.Table]:
    if file.suffix == ".parquet":
        for batch in pyarrow.parquet.ParquetFile(file).iter_batches(100_000):
            yield pa.Table.from_batches([batch])
        return
    convert = pyarrow.csv.ConvertOptions(
        column_types={name: _type(kind) for name, kind in columns.items()},
        true_values=["t"],
        false_values=["f"],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    read = pyarrow.csv.ReadOptions(block_size=32 << 20)
    parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
    with pyarrow.csv.open_csv(file, read, parse, convert) as reader:
        for batch in reader:
            yield pa.Table.from_batches([batch])


def main(file: str, spec_file: str) -> None:
    """Load the file; say in JSON how long it took."""
    spec = json.loads(Path(spec_file).read_text())
    begun = time.perf_counter()
    pipeline = dlt.pipeline("bench", destination="postgres", dataset_name="public")
    resource = dlt.resource(
        _tables(Path(file), spec["columns"]),
        name=spec["table"],
        primary_key=spec["key"],
        write_disposition={"disposition": "merge", "strategy": "upsert"},
    )
    stages = {}
    for name, step in (
        ("extract", lambda: pipeline.extract(resource, loader_file_format="parquet")),
        ("normalize", pipeline.normalize),
        ("load", lambda: pipeline.load(raise_on_failed_jobs=True)),
    ):
        at = time.perf_counter()
        step()
        stages[name] = round(time.perf_counter() - at, 3)
    sys.stdout.write(json.dumps({"seconds": time.perf_counter() - begun, "stages": stages}) + "\n")


main(*sys.argv[1:])
