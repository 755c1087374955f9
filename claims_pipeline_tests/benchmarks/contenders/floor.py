"""The floor: what the same load costs as bare SQL, with no cast by contract, check, token, reject, ledger or history.

Belongs here: `psql \\copy` of the CSV into an unlogged typed staging table, then the best merge by key, in one
transaction, the table having nothing but its primary key. Does not belong here: anything that makes a load safe.

Two merges are known: MERGE, and an update of rows that differ with an insert of those that are not there. MERGE took a
tenth less CPU where the rows are there already, and as much for a first load and a delta (100,000 rows, Postgres 18.4,
2026-11-22), so it is the floor; `--only floor,floor_update` compares them again.
"""

from __future__ import annotations

from pathlib import Path

import psycopg
from psycopg import sql

from claims_pipeline import local
from claims_pipeline.warehouse.ddl import columns_sql, sql_type
from claims_pipeline_tests.benchmarks.cases import Chain, Step
from claims_pipeline_tests.benchmarks.contenders import Command, Contender
from claims_pipeline_tests.benchmarks.site import Site

_SCRIPT = """\\set ON_ERROR_STOP on
begin;
select clock_timestamp() as t0 \\gset
\\copy stage from '{file}' with (format csv, header)
select clock_timestamp() as t1 \\gset
{merge};
select clock_timestamp() as t2 \\gset
truncate stage;
commit;
select json_build_object('stages', json_build_object(
  'copy', extract(epoch from :'t1'::timestamptz - :'t0'::timestamptz),
  'merge', extract(epoch from :'t2'::timestamptz - :'t1'::timestamptz),
  'commit', extract(epoch from clock_timestamp() - :'t2'::timestamptz)))::text;
"""


class Floor(Contender):
    """psql, MERGE of what differs."""

    name = "floor"
    title = "floor: `psql \\copy` and bare SQL"
    chains = frozenset({"daily", "delta", "lineitem", "small"})

    def prepare(self, site: Site, chain: Chain) -> None:
        """Make the table with its key, and the staging table without."""
        feed = chain.feed
        columns = sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(c.name), sql.SQL(sql_type(c.arrow))) for c in feed.columns
        )
        with psycopg.connect(site.empty_database(self.name), autocommit=True) as connection:
            # In the file's order, which is the contract's in our own files, but not in lineitem.
            connection.execute(sql.SQL("create table public.{} ({}, primary key ({}))").format(
                sql.Identifier(feed.dataset), columns, columns_sql(feed.key)
            ))  # fmt: skip

    def make_ready(self, site: Site, chain: Chain, step: Step, file: Path) -> None:
        """Write the script that psql runs; make the staging table in the file's order of columns."""
        feed = chain.feed
        with file.open(encoding="utf-8") as lines:
            header = lines.readline().strip().split(",")
        types = {c.name: sql_type(c.arrow) for c in feed.columns}
        columns = sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(types[name])) for name in header
        )
        with psycopg.connect(site.url(self.name), autocommit=True) as connection:
            connection.execute("drop table if exists stage")
            connection.execute(sql.SQL("create unlogged table stage ({})").format(columns))
            merge = self._merge(chain).as_string(connection)
        self._script(site).write_text(_SCRIPT.format(file=file, merge=merge))

    def command(self, site: Site, chain: Chain, step: Step, file: Path) -> Command:
        """The script, by psql."""
        psql = str(local.postgres_program("psql"))
        return Command((psql, "-X", "-q", "-A", "-t", "-f", str(self._script(site))), site.libpq(self.name))

    def _script(self, site: Site) -> Path:
        return site.folder / f"{self.name}.sql"

    def _merge(self, chain: Chain) -> sql.Composed:
        return sql.SQL(
            "merge into public.{table} t using stage s on {same}\n"
            "when matched and ({ours}) is distinct from ({theirs}) then update set {assign}\n"
            "when not matched then insert ({names}) values ({theirs_all})"
        ).format(**_parts(chain))


class FloorUpdate(Floor):
    """psql, UPDATE of what differs, INSERT of what is not there."""

    name = "floor_update"
    title = "floor with UPDATE and INSERT"

    def _merge(self, chain: Chain) -> sql.Composed:
        return sql.SQL(
            "update public.{table} t set {assign} from stage s where {same} and ({ours}) is distinct from ({theirs});\n"
            "insert into public.{table} ({names}) select {theirs_all} from stage s"
            " where not exists (select from public.{table} t where {same})"
        ).format(**_parts(chain))


def _parts(chain: Chain) -> dict[str, sql.Composable]:
    feed = chain.feed
    names = [column.name for column in feed.columns]
    rest = [name for name in names if name not in feed.key]

    def each(template: str, among: list[str], between: str) -> sql.Composed:
        return sql.SQL(between).join(sql.SQL(template).format(sql.Identifier(name)) for name in among)

    return {
        "table": sql.Identifier(feed.dataset),
        "same": each("t.{0} = s.{0}", list(feed.key), " and "),
        "assign": each("{0} = s.{0}", rest, ", "),
        "names": each("{0}", names, ", "),
        "ours": each("t.{0}", rest, ", "),
        "theirs": each("s.{0}", rest, ", "),
        "theirs_all": each("s.{0}", names, ", "),
    }
