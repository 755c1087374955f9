"""What many pipelines do: pandas.read_csv, pandera, `to_sql` into a staging table, an upsert. Tokens are left out.

Belongs here: the plain way, with pandas' own defaults for `to_sql` (no `method`), in chunks. Does not belong here:
anything faster. `python -m` this, with a file, is the measured process.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from time import perf_counter

import pandas as pd
import psycopg
import sqlalchemy as sa

from claims_pipeline_tests.benchmarks import feeds
from claims_pipeline_tests.benchmarks.cases import Chain, Ending, Step
from claims_pipeline_tests.benchmarks.contenders import Command, Contender
from claims_pipeline_tests.benchmarks.measure import say
from claims_pipeline_tests.benchmarks.site import Site

_TYPES = {
    "bigint": sa.BigInteger(),
    "integer": sa.Integer(),
    "smallint": sa.SmallInteger(),
    "boolean": sa.Boolean(),
    "date": sa.Date(),
    "timestamp with time zone": sa.DateTime(timezone=True),
    "numeric(12,2)": sa.Numeric(12, 2),
    "text": sa.Text(),
}
_CHUNK = 10_000


class PandasToSql(Contender):
    """read_csv, pandera, to_sql, INSERT ... ON CONFLICT."""

    name = "pandas"
    title = "pandas `read_csv`, pandera, `to_sql`, upsert"

    def prepare(self, site: Site, chain: Chain) -> None:
        """Make the table with its key."""
        with psycopg.connect(site.empty_database(self.name), autocommit=True) as connection:
            columns = ", ".join(f"{name} {kind}" for name, kind in _sql_types().items())
            connection.execute(f"create table members ({columns}, primary key (id))".encode())

    def ending(self, chain: Chain) -> Ending:
        """Deltas come as Parquet."""
        return "parquet" if chain.name == "delta" else "csv"

    def command(self, site: Site, chain: Chain, step: Step, file: Path) -> Command:
        """This module, as a program."""
        return Command((sys.executable, "-m", __name__, str(file)), {"BENCH_URL": site.url(self.name)})


def _sql_types() -> dict[str, str]:
    from claims_pipeline.warehouse.ddl import sql_type

    return {column.name: sql_type(column.arrow) for column in feeds.MEMBERS.columns}


def main(file: str) -> None:
    """Load one file; say in JSON what took how long."""
    begun = perf_counter()
    types = _sql_types()
    if file.endswith(".parquet"):
        frame = pd.read_parquet(file, dtype_backend="pyarrow")
    else:
        times = [name for name, kind in types.items() if kind.startswith(("date", "timestamp"))]
        frame = pd.read_csv(
            file, dtype_backend="pyarrow", parse_dates=times, true_values=["t"], false_values=["f"]
        )  # fmt: skip
    read = perf_counter()
    frame = feeds.Members.to_schema().validate(_typed(frame), lazy=True)
    validated = perf_counter()
    engine = sa.create_engine(os.environ["BENCH_URL"].replace("postgresql://", "postgresql+psycopg2://"))
    with engine.begin() as connection:
        frame.to_sql(
            "stage",
            connection,
            index=False,
            if_exists="replace",
            chunksize=_CHUNK,
            dtype={name: _TYPES[kind] for name, kind in types.items()},
        )
        staged = perf_counter()
        sets = ", ".join(f"{name} = excluded.{name}" for name in types if name != "id")
        connection.execute(
            sa.text(
                f"insert into members as t select * from stage on conflict (id) do update set {sets}"
                " where t.updated_at < excluded.updated_at"
            )
        )
    ended = perf_counter()
    stages = {"read": read - begun, "pandera": validated - read, "to_sql": staged - validated, "upsert": ended - staged}
    say(json.dumps({"seconds": ended - begun, "stages": {name: round(spent, 3) for name, spent in stages.items()}}))


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.astype({column.name: pd.ArrowDtype(column.arrow) for column in feeds.MEMBERS.columns})


if __name__ == "__main__":
    main(*sys.argv[1:])
