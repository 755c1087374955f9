"""The merge: one staged dump into the table and its history, as SQL, when every earlier dump has been merged.

Belongs here: the statements, built from the contract. Does not belong here: dumps that come late or are taken out
(chain.py), COPY, ledger, audit.

A staged row is stale when its version column is older than that of the table's row with its key; without a version
column it never is. Dumps in the order of their places (stamp, dump number) therefore end in one table and one history.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import psycopg
import pyarrow
from psycopg import sql

from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.feeds import Feed
from claims_pipeline.warehouse.ddl import META_COLUMNS, columns_sql, create_changed, history_of, table_of
from claims_pipeline.warehouse.staging import Rows, Staged, copy_rows, staged_numbers

AFFECTED = sql.Identifier("affected")
"""Temporary table with the scope of a partial merge: the scope columns of the rows that it may touch."""


@dataclass(frozen=True)
class MergeContext:
    """What is the same for every row of one merge.

    Attributes:
        dump_id: the dump; 0 where rows go with their parent.
        stamp: its time stamp, UTC.
        load_id: of the audit.
        at: when the change becomes visible, UTC; the same in table and history.
    """

    dump_id: int
    stamp: dt.datetime
    load_id: int
    at: dt.datetime

    @property
    def values(self) -> dict[str, object]:
        """As parameters of the statements."""
        return {"dump_id": self.dump_id, "stamp": self.stamp, "load_id": self.load_id, "at": self.at}

    @property
    def constants(self) -> dict[str, pyarrow.Scalar]:
        """As columns of the rows that are written."""
        moment = pyarrow.timestamp("us", "UTC")
        return {
            "_dump_id": pyarrow.scalar(self.dump_id, pyarrow.int64()),
            "_dump_stamp": pyarrow.scalar(self.stamp, moment),
            "_load_id": pyarrow.scalar(self.load_id, pyarrow.int64()),
            "_loaded_at": pyarrow.scalar(self.at, moment),
        }


@dataclass(frozen=True)
class UniqueConflict:
    """A staged row whose value in a unique column belongs to another key; `row` is the treated row as JSON text."""

    row_number: int
    column: str
    row: str
    row_hash: bytes


def scope_columns(feed: Feed) -> tuple[str, ...]:
    """Columns that name what is merged together: the key, or the parent of a replaced set."""
    return (feed.replaced_set.by,) if feed.replaced_set else feed.key


def equal(names: tuple[str, ...], left: str, right: str) -> sql.Composed:
    """Condition that two relations have the same values in these columns, which are never NULL."""
    pairs = [sql.SQL("{} = {}").format(sql.Identifier(left, n), sql.Identifier(right, n)) for n in names]
    return sql.SQL(" and ").join(pairs)


def table_columns(feed: Feed) -> tuple[str, ...]:
    """The columns that a row has in the table and in history."""
    return tuple(c.name for c in feed.stored) + tuple(m.name for m in META_COLUMNS)


def drop_duplicates(connection: psycopg.Connection, feed: Feed, staged: Staged) -> int:
    """Keep the newest staged row of each key (by version column, then place in the dump); returns how many went."""
    if staged.ascending or not _repeats(connection, feed.key):
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


def judge(connection: psycopg.Connection, feed: Feed) -> None:
    """Give each staged row its verdict, in a column of the stage: inserted, updated, unchanged or stale."""
    older: sql.Composable = sql.SQL("false")
    if feed.version and not feed.replaced_set:  # a set is replaced as a whole
        older = sql.SQL("s.{0} < t.{0}").format(sql.Identifier(feed.version))
    query = sql.SQL(
        "create temp table judged on commit drop as select s.*, case"
        "  when t.{first_key} is null then 'inserted'"
        "  when t._row_hash = s._row_hash then 'unchanged'"
        "  when {older} then 'stale'"
        "  else 'updated' end as verdict"
        " from stage s left join {table} t on {on_key}"
    ).format(first_key=sql.Identifier(feed.key[0]), older=older, table=table_of(feed), on_key=equal(feed.key, "t", "s"))
    connection.execute(query)  # a table made by a query is filled faster than one that is updated
    connection.execute("drop table stage")
    connection.execute("alter table judged rename to stage")
    if feed.unique:
        connection.execute("analyze stage")  # what looks for conflicts joins it


def take_unique_conflicts(connection: psycopg.Connection, feed: Feed, rows: Rows) -> list[UniqueConflict]:
    """Remove staged rows that would write a unique value which another key holds, in the dump or in the table.

    Of two keys that claim one value, the one that has it in the table keeps it, else the smaller. Values may change
    hands within a dump; but a row that is taken out does not give up its value, so others may then be in conflict:
    repeated until no more is found. Needs the verdicts of `judge`: rows that will not be written claim nothing.
    """
    conflicts: dict[int, str] = {}
    for attempt in range(_PASSES + 1):
        # In a long chain of hands each pass finds one row only: the last one lets no value change hands, and ends it.
        last = attempt == _PASSES
        found = {n: c for c in feed.unique for n in _take_conflicts_of(connection, feed, c, no_change=last)}
        conflicts |= found
        if not found:
            break
    return _whole(connection, feed, rows, conflicts) if conflicts else []


def _whole(
    connection: psycopg.Connection, feed: Feed, rows: Rows, conflicts: Mapping[int, str]
) -> list[UniqueConflict]:
    """Rows in conflict with all their columns, for the quarantine; `conflicts` are columns by row number."""
    numbers = np.zeros(max(conflicts) + 1, np.bool_)
    numbers[list(conflicts)] = True
    create_changed(connection, feed)
    copy_rows(connection, sql.Identifier("changed"), rows, numbers)
    whole = connection.execute(
        "select _row_number, (to_jsonb(c) - '_row_hash')::text, _row_hash from changed c order by 1"
    )
    return [UniqueConflict(number, conflicts[number], row, row_hash) for number, row, row_hash in whole]


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


def _take_conflicts_of(connection: psycopg.Connection, feed: Feed, name: str, *, no_change: bool) -> list[int]:
    """Row numbers of staged rows that are in conflict for one column; they are taken out of the stage."""
    if not (_repeats(connection, (name,)) or _is_taken(connection, feed, name)):
        return []  # as nearly always, and found for the price of a hash aggregate and a hash join
    query = sql.SQL(
        "with writes as ("
        "  select s._row_number, {s_key}, s.{column} from stage s where s.verdict in ('inserted', 'updated')),"
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
        " returning s._row_number"
    ).format(
        column=sql.Identifier(name),
        no_change=sql.Literal(no_change),
        table=table_of(feed),
        s_key=columns_sql(feed.key, "s"),
        t_key=columns_sql(feed.key, "t"),
        w_key=columns_sql(feed.key, "w"),
        o_is_t=equal(feed.key, "o", "t"),
        t_is_w=equal(feed.key, "t", "w"),
    )
    return [number for (number,) in connection.execute(query)]


def remove_absent(connection: psycopg.Connection, feed: Feed, context: MergeContext, *, partial: bool) -> int:
    """Move the rows to history that the staged dump says are no more; returns how many. Comes before `judge`.

    Args:
        connection: within the load's transaction.
        feed: the contract.
        context: the dump and the load.
        partial: only rows that AFFECTED names are staged; the dump says nothing here about others.
    """
    gone = _absent(feed, partial=partial)
    if gone is None:
        return 0
    return connection.execute(
        sql.SQL("with gone as (delete from {table} t where {gone} returning {columns}) {to_history}").format(
            table=table_of(feed),
            gone=gone,
            columns=columns_sql(table_columns(feed), "t"),
            to_history=to_history(feed, "deleted", sql.SQL("gone")),
        ),
        context.values,
    ).rowcount


def count_absent(connection: psycopg.Connection, feed: Feed, context: MergeContext) -> tuple[int, int]:
    """(rows that a whole staged snapshot would delete, rows in the table); nothing is changed."""
    gone = _absent(feed, partial=False) or sql.SQL("false")
    query = sql.SQL("select count(*) filter (where {}), count(*) from {} t").format(gone, table_of(feed))
    row = connection.execute(query, context.values).fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)


def merge(connection: psycopg.Connection, feed: Feed, context: MergeContext, rows: Rows) -> dict[str, int]:
    """Write the staged rows that `judge` found new or changed; versions that they replace go to history.

    Args:
        connection: within the load's transaction.
        feed: the contract.
        context: the dump and the load.
        rows: the dump's rows, of which the stage holds a part.

    Returns:
        Counts of inserted, updated, unchanged and stale rows, where there are any.

    Raises:
        ClaimsPipelineError: other rows came than were judged.
    """
    counted: dict[str, int] = dict(connection.execute("select verdict, count(*) from stage group by 1").fetchall())
    if updated := counted.get("updated"):
        create_changed(connection, feed)
        _send(connection, sql.Identifier("changed"), rows, "updated", updated)
        _update(connection, feed, context)
    if inserted := counted.get("inserted"):
        _send(connection, table_of(feed), rows, "inserted", inserted, context.constants)
    return counted


def _send(
    connection: psycopg.Connection,
    table: sql.Composable,
    rows: Rows,
    verdict: str,
    count: int,
    constants: Mapping[str, pyarrow.Scalar] | None = None,
) -> None:
    """Send the whole rows of one verdict, of which there must be as many as were judged."""
    every = count == rows.count
    numbers = None if every else staged_numbers(connection, sql.SQL("s.verdict = {}").format(sql.Literal(verdict)))
    sent = copy_rows(connection, table, rows, numbers, constants)
    if sent != count:
        raise ClaimsPipelineError(
            f"{count} rows were judged {verdict} and {sent} sent: the validated rows were not the same twice. "
            "Nothing was written; load the dump again"
        )


def _update(connection: psycopg.Connection, feed: Feed, context: MergeContext) -> None:
    connection.execute(sql.SQL("analyze changed ({})").format(columns_sql(feed.key)))  # what it is joined by
    parts = {
        "table": table_of(feed),
        "on_key": equal(feed.key, "t", "s"),
        "key": columns_sql(feed.key),
        "t_columns": columns_sql(table_columns(feed), "t"),
        "stored": columns_sql(c.name for c in feed.stored),
        "s_stored": columns_sql((c.name for c in feed.stored), "s"),
        "to_history": to_history(feed, "updated", sql.SQL("past")),
    }
    for statement in (
        "with past as (select {t_columns} from {table} t join changed s on {on_key}) {to_history}",
        "update {table} t set ({stored}, _row_number, _row_hash, _dump_id, _dump_stamp, _load_id, _loaded_at)"
        " = row({s_stored}, s._row_number, s._row_hash, %(dump_id)s, %(stamp)s, %(load_id)s, %(at)s)"
        " from (select * from changed order by {key}) s where {on_key}",  # neighbours are on one page
        "drop table changed",
    ):
        connection.execute(sql.SQL(statement).format(**parts), context.values)


def _absent(feed: Feed, *, partial: bool) -> sql.Composed | None:
    """Condition on the table's rows t that the staged dump says are no more; None when a dump cannot say that."""
    not_staged = sql.SQL("not exists (select 1 from stage s where {})").format(equal(feed.key, "t", "s"))
    if feed.replaced_set:
        same_set = equal(scope_columns(feed), "t", "s")
        return sql.SQL("exists (select 1 from stage s where {}) and {}").format(same_set, not_staged)
    if feed.snapshot:
        scope = in_scope(feed, "t") if partial else sql.SQL("true")
        return sql.SQL("{} and {} and {}").format(scope, not_staged, not_quarantined(feed, "t"))
    return None


def not_quarantined(feed: Feed, alias: str) -> sql.Composed:
    """Condition that a snapshot does not bring the row in a form that is in quarantine, and so must not delete it.

    Where the key of a row in quarantine cannot be read it may be any row's: then nothing is deleted until it is mended.
    """
    key = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(alias, name)) for name in feed.key)
    return sql.SQL(
        "not exists (select 1 from ops.quarantine q where q.dump_id = %(dump_id)s and q.resolved_at is null"
        " and (q.row_key is null or q.row_key = array[{}]) and not q.rules && {})"
    ).format(key, sql.Literal([f"unique.{name}" for name in feed.unique]))


def in_scope(feed: Feed, alias: str) -> sql.Composed:
    """Condition that a relation's row is in the scope of a partial merge."""
    same = equal(scope_columns(feed), "a", alias)
    return sql.SQL("exists (select 1 from {} a where {})").format(AFFECTED, same)


def to_history(feed: Feed, operation: str, rows: sql.Composable) -> sql.Composed:
    """Insert row versions, selected as `rows`, into the feed's history."""
    columns = columns_sql(table_columns(feed))
    return sql.SQL(
        "insert into {history} ({columns},"
        " _superseded_at, _superseded_by, _superseded_stamp, _superseded_dump, _operation)"
        " select {columns}, %(at)s, %(load_id)s, %(stamp)s, %(dump_id)s, {operation} from {rows}"
    ).format(history=history_of(feed), columns=columns, operation=sql.Literal(operation), rows=rows)
