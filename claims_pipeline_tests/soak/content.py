"""What a played world has left behind, in a form that can be compared: rows as digests, dumps by name and bytes.

Belongs here: what must be equal after a fault, and saying what is not. Does not belong here: playing. No value of a
record leaves the database.

Numbers of dumps and loads, and times of our own work, may differ from run to run and are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from claims_pipeline.landing import s3 as landing

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_OWN = ["_load_id", "_loaded_at", "_superseded_at", "_superseded_by", "_retracted_at", "_retracted_by"]
"""Columns of tables and history that name loads, or tell when we worked."""

_DUMPS = ("_dump_id", "_superseded_dump")
"""Columns that name a dump: its name and bytes stand in for the number."""

_NAMED = """
create temp table named on commit drop as
select dump_id, concat_ws(' ', key, etag, row_number() over (partition by key, etag order by dump_id)) as name
from ops.dump
"""

# The day and stamp of a dump that no contract knows are those of its arrival.
_LEDGER = """
select jsonb_build_array(n.name, d.dataset, d.status, d.verdict, d.sha256, d.size_bytes,
    case when d.dataset is not null then jsonb_build_array(d.delivery_day, d.stamp) end, d.contract, d.approved_by,
    d.archive_key is not null, d.settled_at is not null, same.name, d.in_effect, by.name,
    d.validation - array['seconds', 'elapsed', 'drift', 'types', 'columns'])::text, 1
from ops.dump d join named n using (dump_id)
left join named same on same.dump_id = d.same_as
left join named by on by.dump_id = d.superseded_by
"""

_QUARANTINE = """
select jsonb_build_array(n.name, q.feed, q.row_number, q.rules, q.columns, q.contract, q.resolved_at is null)::text, 1
from ops.quarantine q join named n using (dump_id)
"""

_COUNTS = "l.rows_read, l.rows_filtered, l.rows_quarantined"

_AUDIT = f"""
select jsonb_build_array(n.name, l.feed, l.kind, {_COUNTS}, l.rows_duplicate, l.rows_inserted, l.rows_updated,
    l.rows_unchanged, l.rows_stale, l.rows_deleted)::text, count(*)
from ops.load l join named n using (dump_id) group by 1
"""

_AUDIT_IN_ANY_ORDER = f"""
select jsonb_build_array(n.name, l.feed, l.kind, {_COUNTS})::text, count(*)
from ops.load l join named n using (dump_id) where l.kind = 'load' group by 1
"""

_TELLING = ("ledger", "audit", "audit in any order", "quarantine")
"""Parts whose lines are names and counts, and may be shown; those of the others are digests."""

_SHOWN = 3


@dataclass(frozen=True)
class Content:
    """What there is: by part (table, history, ledger, audit, quarantine) how often which digest."""

    parts: Mapping[str, Counter[str]]

    def differences(self, due: Content, *, same_order: bool) -> list[str]:
        """What is lost, and what is too much, against what is due.

        Args:
            due: of the undisturbed run.
            same_order: whether the dumps were loaded in the same order, so that the audit must be the same line by
                line; else each dump must have one load with the same rows.
        """
        left_out = "audit in any order" if same_order else "audit"
        found = []
        for part in sorted(self.parts.keys() | due.parts.keys() - {left_out}):
            if part == left_out:
                continue
            here, there = self.parts.get(part, Counter()), due.parts.get(part, Counter())
            lost, extra = (there - here).total(), (here - there).total()
            if lost or extra:
                found.append(f"{part}: {lost} lost, {extra} too many (of {there.total()})")
                if part in _TELLING:
                    found += [f"  lost: {line}" for line in list(there - here)[:_SHOWN]]
                    found += [f"  too many: {line}" for line in list(here - there)[:_SHOWN]]
        return found


def content(connection: psycopg.Connection) -> Content:
    """Read everything that must be equal."""
    with connection.transaction():
        connection.execute(_NAMED.encode())
        parts = {"ledger": _LEDGER, "quarantine": _QUARANTINE, "audit": _AUDIT}
        parts["audit in any order"] = _AUDIT_IN_ANY_ORDER
        found = {name: _counted(connection, sql.SQL(query)) for name, query in parts.items()}
        for schema, table, columns in _tables(connection):
            found[f"{schema}.{table}"] = _counted(connection, _rows(schema, table, columns))
    return Content(found)


def bytes_missing(connection: psycopg.Connection, client: S3Client, archive: str) -> list[str]:
    """What the ledger says is in the archive and is not there, byte for byte (ETag is the MD5 here)."""
    there = {item.key: item for page in landing.list_objects(client, archive, "") for item in page}
    rows = connection.execute(
        "select archive_key, etag, size_bytes, in_effect, coalesce(loaded_key, validated_key), sha256 from ops.dump"
        " where archive_key is not null"
    ).fetchall()
    listed = {key: (there[key].etag, there[key].size) for key, *_ in rows if key in there}
    # rclone lists an object twice, once without an ETag, that two have written at the same moment: its bytes decide.
    doubtful = [(key, (size, sha256)) for key, etag, size, _, _, sha256 in rows if listed.get(key) != (etag, size)]
    known = [(key, was) for key, was in doubtful if key in there and was[1] is not None]
    changed = [key for key, was in known if landing.digest(client, bucket=archive, key=key) != was]
    frames = [f"{frames}/rows.parquet" in there for _, _, _, in_effect, frames, _ in rows if in_effect]
    found = {
        "raw archive, lost": len(rows) - len(listed),
        "raw archive, other bytes": len(changed),
        "validated frames, lost": frames.count(False),
    }
    return [f"{what}: {count}" for what, count in found.items() if count]


def open_dumps(connection: psycopg.Connection) -> int:
    """How many dumps have work left."""
    row = connection.execute(
        "select count(*) from ops.dump where status in ('arrived', 'archived', 'validated')"
    ).fetchone()
    return int(row[0]) if row else 0


def _tables(connection: psycopg.Connection) -> list[tuple[str, str, list[str]]]:
    """Tables of rows that hold any: schema, name, columns."""
    rows = connection.execute(
        "select n.nspname, c.relname, array_agg(a.attname::text) from pg_class c"
        " join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid"
        " where c.relkind = 'r' and n.nspname not in ('ops', 'bi', 'public', 'pg_catalog', 'information_schema')"
        " and n.nspname !~ '^pg_' and a.attnum > 0 and not a.attisdropped and pg_relation_size(c.oid) > 0 group by 1, 2"
    ).fetchall()
    return [(schema, table, columns) for schema, table, columns in rows if "_dump_id" in columns]


def _rows(schema: str, table: str, columns: list[str]) -> sql.Composed:
    names = [name for name in _DUMPS if name in columns]
    dumps = [
        sql.SQL("{}, (select name from named where dump_id = t.{})").format(sql.Literal(name), sql.Identifier(name))
        for name in names
    ]
    still = sql.SQL("where t._retracted_at is null" if "_retracted_at" in columns else "")
    return sql.SQL(
        "select md5(((to_jsonb(t) - {own}::text[]) || jsonb_build_object({dumps}))::text), count(*)"
        " from {table} t {still} group by 1"
    ).format(own=sql.Literal(_OWN), dumps=sql.SQL(", ").join(dumps), table=sql.Identifier(schema, table), still=still)


def _counted(connection: psycopg.Connection, query: sql.SQL | sql.Composed) -> Counter[str]:
    counted: Counter[str] = Counter()
    for digest, count in connection.execute(query):
        counted[str(digest)] += int(count)
    return counted
