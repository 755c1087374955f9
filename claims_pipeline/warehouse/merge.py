"""The merge: from a staged dump to the table and its history, as SQL that any order of dumps ends in the same rows.

Belongs here: the statements, built from the contract, and the order in which they run within the transaction of
`load`. Does not belong here: COPY, ledger, audit.

A row of the dump is newer than the row of its key in the table when its version is at least that one's, where version =
(the contract's version column, the dump's stamp, dump number, row number). Rows of a replaced set (contentions) are
newer when their dump's stamp and number are at least the newest of the stored set.
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

    @property
    def values(self) -> dict[str, object]:
        """As parameters of the statements."""
        return {"dump_id": self.dump_id, "stamp": self.dump_stamp, "load_id": self.load_id}


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
    if not _repeats(connection, feed.key):
        return 0
    newest: list[sql.Composable] = [sql.SQL("_row_number desc")]
    if feed.version:
        newest.insert(0, sql.SQL("{} desc").format(sql.Identifier(feed.version)))
    query = sql.SQL(
        "delete from stage s using ("
        " select _row_number, row_number() over (partition by {key} order by {newest}) as place from stage) r"
        " where r.place > 1 and s._row_number = r._row_number"
    ).format(key=columns_sql(feed.key), newest=sql.SQL(", ").join(newest))
    return connection.execute(query).rowcount


def judge(connection: psycopg.Connection, feed: Feed, context: MergeContext) -> None:
    """Give each staged row its verdict, in the temporary table `verdict`: inserted, updated, unchanged or stale."""
    connection.execute("create temp table verdict (_row_number bigint, verdict text) on commit drop")
    query = sql.SQL(
        "insert into verdict select s._row_number, case"
        "  when t.{first_key} is not null and t._row_hash = s._row_hash then 'unchanged'"
        "  when not ({newer}) then 'stale'"
        "  when t.{first_key} is null then 'inserted'"
        "  else 'updated' end as verdict"
        " from stage s left join {table} t on {on_key}"
    ).format(
        first_key=sql.Identifier(feed.key[0]),
        newer=_newer(feed),
        table=table_of(feed),
        on_key=_equal(feed.key, "t", "s"),
    )
    connection.execute(query, context.values)
    connection.execute("analyze verdict")


def take_unique_conflicts(connection: psycopg.Connection, feed: Feed) -> list[UniqueConflict]:
    """Remove staged rows that would write a unique value which another key holds, in the dump or in the table.

    Of two keys that claim one value, the one that has it in the table keeps it, else the smaller. Values may change
    hands within a dump; but a row that is taken out does not give up its value, so others may then be in conflict:
    repeated until no more is found. Needs the verdicts of `judge`: rows that will not be written claim nothing.
    """
    conflicts: list[UniqueConflict] = []
    for attempt in range(_PASSES + 1):
        # In a long chain of hands each pass finds one row only: the last one lets no value change hands, and ends it.
        last = attempt == _PASSES
        found = [c for name in feed.unique for c in _take_conflicts_of(connection, feed, name, no_change=last)]
        conflicts += found
        if not found:
            break
    return conflicts


_PASSES = 5


def _repeats(connection: psycopg.Connection, columns: tuple[str, ...]) -> bool:
    """Whether any value of these columns, not NULL, stands in more than one staged row."""
    query = sql.SQL("select 1 from stage where {} is not null group by {} having count(*) > 1 limit 1").format(
        sql.Identifier(columns[0]), columns_sql(columns)
    )
    return connection.execute(query).fetchone() is not None


def _is_taken(connection: psycopg.Connection, feed: Feed, name: str) -> bool:
    """Whether any staged value of a unique column stands in the table under another key."""
    query = sql.SQL(
        "select 1 from stage s join {table} t on t.{column} = s.{column} where ({t_key}) <> ({s_key}) limit 1"
    ).format(
        table=table_of(feed),
        column=sql.Identifier(name),
        t_key=columns_sql(feed.key, "t"),
        s_key=columns_sql(feed.key, "s"),
    )
    return connection.execute(query).fetchone() is not None


def _take_conflicts_of(
    connection: psycopg.Connection, feed: Feed, name: str, *, no_change: bool
) -> list[UniqueConflict]:
    if not (_repeats(connection, (name,)) or _is_taken(connection, feed, name)):
        return []  # as nearly always, and found for the price of a hash aggregate and a hash join
    query = sql.SQL(
        "with writes as ("
        "  select s._row_number, {s_key}, s.{column} from stage s join verdict v on v._row_number = s._row_number"
        "  where v.verdict in ('inserted', 'updated')),"
        " held as ("
        "  select w._row_number from writes w join {table} t on t.{column} = w.{column} and ({t_key}) <> ({w_key})"
        "  left join writes o on {o_is_t} where o._row_number is null or {no_change}),"
        " twice as (select {column} from writes group by {column} having count(*) > 1),"
        " doubled as (select _row_number from ("
        "  select w._row_number,"
        "   row_number() over (partition by w.{column} order by t.{column} is null, {w_key}) as place"
        "  from writes w join twice on twice.{column} = w.{column}"
        "  left join {table} t on {t_is_w} and t.{column} = w.{column}) r where place > 1)"
        " delete from stage s"
        " where s._row_number in (select _row_number from held union select _row_number from doubled)"
        " returning s._row_number, (to_jsonb(s) - '_row_hash')::text"
    ).format(
        column=sql.Identifier(name),
        no_change=sql.Literal(no_change),
        table=table_of(feed),
        s_key=columns_sql(feed.key, "s"),
        t_key=columns_sql(feed.key, "t"),
        w_key=columns_sql(feed.key, "w"),
        o_is_t=_equal(feed.key, "o", "t"),
        t_is_w=_equal(feed.key, "t", "w"),
    )
    return [UniqueConflict(number, name, row) for number, row in connection.execute(query)]


def merge(connection: psycopg.Connection, feed: Feed, context: MergeContext) -> RowCounts:
    """Merge the staged rows into the table as `judge` found; superseded versions go to history.

    Returns:
        Counts of inserted, updated, unchanged, stale and deleted rows; the other verdicts are the caller's.
    """

    def run(statement: str, **parts: sql.Composable) -> int:
        query = sql.SQL(statement).format(
            table=table_of(feed),
            on_key=_equal(feed.key, "t", "s"),
            **parts,
        )
        return connection.execute(query, context.values).rowcount

    counted: dict[str, int] = dict(
        connection.execute(
            "select verdict, count(*) from verdict v join stage s on s._row_number = v._row_number group by 1"
        ).fetchall()
    )

    stored = tuple(c.name for c in feed.stored)
    parts = {"stored": columns_sql(stored), "s_stored": columns_sql(stored, "s")}
    deleted = 0
    if feed.replaced_set:
        deleted = run(
            "with gone as (delete from {table} t"
            " where exists (select 1 from stage s where s.{by} = t.{by} and {newer})"
            "  and not exists (select 1 from stage s where {on_key}) returning {t_columns}),"
            # Rows that stay as they are remember that the set is of this dump: an older one must not refill it.
            " kept as (update {table} t"
            "  set (_row_number, _dump_id, _dump_stamp, _load_id, _loaded_at)"
            "   = row(s._row_number, %(dump_id)s, %(stamp)s, %(load_id)s, now())"
            "  from stage s join verdict v on v._row_number = s._row_number and v.verdict = 'unchanged'"
            "  where {on_key} and t.{by} in (select {by} from gone)) {to_history}",
            by=sql.Identifier(feed.replaced_set.by),
            newer=_newer(feed),
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
            " from stage s {chosen}",
            chosen=_JOIN_INSERTED if len(counted) > 1 else sql.SQL(""),  # a first load inserts every row
            **parts,
        )
    return RowCounts(deleted=deleted, **counted)


_JOIN_INSERTED = sql.SQL("join verdict v on v._row_number = s._row_number and v.verdict = 'inserted'")


def _table_columns(feed: Feed) -> tuple[str, ...]:
    return tuple(c.name for c in feed.stored) + tuple(m.name for m in META_COLUMNS)


def _to_history(feed: Feed, operation: str, rows: sql.Composable) -> sql.Composed:
    """Insert row versions, selected as `rows`, into the feed's history."""
    columns = columns_sql(_table_columns(feed))
    return sql.SQL(
        "insert into {history} ({columns}, _superseded_at, _superseded_by, _operation)"
        " select {columns}, now(), %(load_id)s, {operation} from {rows}"
    ).format(history=history_of(feed), columns=columns, operation=sql.Literal(operation), rows=rows)


def _newer(feed: Feed) -> sql.Composed:
    return _newer_set(feed.replaced_set, feed) if feed.replaced_set else _newer_row(feed)


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
        "not exists (select 1 from {table} n"
        "  where n.{by} = s.{by} and (n._dump_stamp, n._dump_id) > (%(stamp)s, %(dump_id)s))"
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
        # Some rows of a newer set may be unchanged since an older dump: the set stays or goes as a whole.
        "  and not exists (select 1 from {table} n where n.{by} = t.{by} and n._dump_stamp >= p._dump_stamp)"
        " returning {t_columns}) {to_history}"
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
