"""The merge: from a staged dump to the table and its history, as SQL that any order of dumps ends in the same rows.

Belongs here: the statements, built from the contract, and the order in which they run within the transaction of
`load`. Does not belong here: COPY, ledger, audit.

A row of the dump is newer than the row of its key in the table when its version is at least that one's, where version =
(the contract's version column, the dump's stamp, dump number, row number). Rows of a replaced set (contentions) are
newer when their dump's stamp is at least the newest of the stored set.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import sql

from claims_pipeline.feeds import Feed
from claims_pipeline.feeds.contract import ReplacedSet
from claims_pipeline.vocabulary import RowCounts
from claims_pipeline.warehouse.ddl import META_COLUMNS, columns_sql, history_of, table_of


@dataclass(frozen=True)
class MergeContext:
    """What is the same for every row of one load."""

    dump_id: int
    dump_stamp: object  # datetime, UTC
    load_id: int


@dataclass(frozen=True)
class UniqueConflict:
    """A staged row whose value in a unique column belongs to another key; `row` is the treated row as JSON text."""

    row_number: int
    column: str
    row: str


def _equal(names: tuple[str, ...], left: str, right: str) -> sql.Composed:
    pairs = [sql.SQL("{} = {}").format(sql.Identifier(left, n), sql.Identifier(right, n)) for n in names]
    return sql.SQL(" and ").join(pairs)


def drop_duplicates(connection: psycopg.Connection, feed: Feed) -> int:
    """Keep the newest staged row of each key (by version column, then place in the dump); returns how many went."""
    newest: list[sql.Composable] = [sql.SQL("_row_number desc")]
    if feed.version:
        newest.insert(0, sql.SQL("{} desc").format(sql.Identifier(feed.version)))
    query = sql.SQL(
        "delete from stage s using ("
        " select _row_number, row_number() over (partition by {key} order by {newest}) as place from stage) r"
        " where r.place > 1 and s._row_number = r._row_number"
    ).format(key=columns_sql(feed.key), newest=sql.SQL(", ").join(newest))
    return connection.execute(query).rowcount


def take_unique_conflicts(connection: psycopg.Connection, feed: Feed) -> list[UniqueConflict]:
    """Remove staged rows whose unique value another key holds, in the dump (smallest key keeps it) or in the table."""
    conflicts: list[UniqueConflict] = []
    for name in feed.unique:
        query = sql.SQL(
            "delete from stage s where s.{column} is not null and ("
            " s._row_number in (select _row_number from ("
            "  select _row_number, row_number() over (partition by {column} order by {key}) as place"
            "  from stage where {column} is not null) r where place > 1)"
            " or exists (select 1 from {table} t where t.{column} = s.{column} and ({t_key}) <> ({s_key})"
            "  and not exists (select 1 from stage o where ({o_key}) = ({t_key}) and o.{column} <> t.{column})))"
            " returning s._row_number, (to_jsonb(s) - '_row_hash')::text"
        ).format(
            column=sql.Identifier(name),
            key=columns_sql(feed.key),
            table=table_of(feed),
            t_key=columns_sql(feed.key, "t"),
            s_key=columns_sql(feed.key, "s"),
            o_key=columns_sql(feed.key, "o"),
        )
        conflicts += [UniqueConflict(number, name, row) for number, row in connection.execute(query)]
    return conflicts


def merge(connection: psycopg.Connection, feed: Feed, context: MergeContext) -> RowCounts:
    """Merge the staged rows into the table; superseded versions go to history.

    Returns:
        Counts of inserted, updated, unchanged, stale and deleted rows; the other verdicts are the caller's.
    """
    values = {"dump_id": context.dump_id, "stamp": context.dump_stamp, "load_id": context.load_id}

    def run(statement: str, **parts: sql.Composable) -> int:
        query = sql.SQL(statement).format(
            table=table_of(feed),
            on_key=_equal(feed.key, "t", "s"),
            first_key=sql.Identifier(feed.key[0]),
            **parts,
        )
        return connection.execute(query, values).rowcount

    newer = _newer_set(feed.replaced_set, feed) if feed.replaced_set else _newer_row(feed)
    connection.execute("create temp table verdict (_row_number bigint, verdict text) on commit drop")
    run(
        "insert into verdict select s._row_number, case"
        "  when t.{first_key} is not null and t._row_hash = s._row_hash then 'unchanged'"
        "  when not ({newer}) then 'stale'"
        "  when t.{first_key} is null then 'inserted'"
        "  else 'updated' end as verdict"
        " from stage s left join {table} t on {on_key}",
        newer=newer,
    )
    connection.execute("analyze verdict")
    counted: dict[str, int] = dict(connection.execute("select verdict, count(*) from verdict group by 1").fetchall())

    stored = tuple(c.name for c in feed.stored)
    parts = {"stored": columns_sql(stored), "s_stored": columns_sql(stored, "s")}
    deleted = 0
    if feed.replaced_set:
        deleted = run(
            "with gone as (delete from {table} t"
            " where exists (select 1 from stage s where s.{by} = t.{by} and {newer})"
            "  and not exists (select 1 from stage s where {on_key}) returning {t_columns}) {to_history}",
            by=sql.Identifier(feed.replaced_set.by),
            newer=newer,
            t_columns=columns_sql(_table_columns(feed), "t"),
            to_history=_to_history(feed, "deleted", sql.SQL("gone")),
        )
    if counted.get("updated"):
        run(
            "with past as (select {t_columns} from {table} t join stage s on {on_key}"
            " join verdict v on v._row_number = s._row_number and v.verdict = 'updated') {to_history}",
            t_columns=columns_sql(_table_columns(feed), "t"),
            to_history=_to_history(feed, "updated", sql.SQL("past")),
        )
        run(
            "update {table} t set ({stored}, _row_number, _row_hash, _dump_id, _dump_stamp, _load_id, _loaded_at)"
            " = row({s_stored}, s._row_number, s._row_hash, %(dump_id)s, %(stamp)s, %(load_id)s, now())"
            " from stage s join verdict v on v._row_number = s._row_number and v.verdict = 'updated'"
            " where {on_key}",
            **parts,
        )
    if counted.get("inserted"):
        run(
            "insert into {table} ({stored}, _row_number, _row_hash, _dump_id, _dump_stamp, _load_id, _loaded_at)"
            " select {s_stored}, s._row_number, s._row_hash, %(dump_id)s, %(stamp)s, %(load_id)s, now()"
            " from stage s join verdict v on v._row_number = s._row_number and v.verdict = 'inserted'",
            **parts,
        )
    return RowCounts(deleted=deleted, **counted)


def _table_columns(feed: Feed) -> tuple[str, ...]:
    return tuple(c.name for c in feed.stored) + tuple(m.name for m in META_COLUMNS)


def _to_history(feed: Feed, operation: str, rows: sql.Composable) -> sql.Composed:
    """Insert row versions, selected as `rows`, into the feed's history."""
    columns = columns_sql(_table_columns(feed))
    return sql.SQL(
        "insert into {history} ({columns}, _superseded_at, _superseded_by, _operation)"
        " select {columns}, now(), %(load_id)s, {operation} from {rows}"
    ).format(history=history_of(feed), columns=columns, operation=sql.Literal(operation), rows=rows)


def _newer_row(feed: Feed) -> sql.Composed:
    """Whether the staged row s may replace the table's row t: its version is not older."""
    left: list[sql.Composable] = [sql.SQL("%(stamp)s"), sql.SQL("%(dump_id)s"), sql.SQL("s._row_number")]
    right: list[sql.Composable] = [sql.SQL("t._dump_stamp"), sql.SQL("t._dump_id"), sql.SQL("t._row_number")]
    if feed.version:
        left.insert(0, sql.Identifier("s", feed.version))
        right.insert(0, sql.Identifier("t", feed.version))
    comma = sql.SQL(", ")
    return sql.SQL("t.{} is null or ({}) >= ({})").format(
        sql.Identifier(feed.key[0]), comma.join(left), comma.join(right)
    )


def _newer_set(of: ReplacedSet, feed: Feed) -> sql.Composed:
    """Whether the dump's set of s's parent is not older than the stored set, nor than a parent that says "none"."""
    return sql.SQL(
        "not exists (select 1 from {table} n where n.{by} = s.{by} and n._dump_stamp > %(stamp)s)"
        " and not exists (select 1 from {parent} p"
        "  where p.{parent_key} = s.{by} and p.{count} = 0 and p._dump_stamp > %(stamp)s)"
    ).format(
        table=table_of(feed),
        by=sql.Identifier(of.by),
        parent=sql.Identifier(feed.sender.name, of.parent),
        parent_key=sql.Identifier(of.parent_key),
        count=sql.Identifier(of.count),
    )


def remove_emptied_sets(connection: psycopg.Connection, child: Feed, *, parent_load_id: int, load_id: int) -> int:
    """Remove the sets of parents that this load brought with a count of zero, where the stored set is older.

    A dump of children cannot say "none": only its parent's count can. Removed rows go to history.

    Returns:
        How many rows were removed.
    """
    of = child.replaced_set
    if of is None:
        return 0
    query = sql.SQL(
        "with gone as (delete from {table} t using {parent} p"
        " where p._load_id = %(parent_load)s and p.{count} = 0 and t.{by} = p.{parent_key}"
        "  and t._dump_stamp < p._dump_stamp returning {t_columns}) {to_history}"
    ).format(
        table=table_of(child),
        parent=sql.Identifier(child.sender.name, of.parent),
        parent_key=sql.Identifier(of.parent_key),
        count=sql.Identifier(of.count),
        by=sql.Identifier(of.by),
        t_columns=columns_sql(_table_columns(child), "t"),
        to_history=_to_history(child, "deleted", sql.SQL("gone")),
    )
    return connection.execute(query, {"parent_load": parent_load_id, "load_id": load_id}).rowcount
