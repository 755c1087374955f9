"""What the dumps in effect make of a feed, when one that is not the newest comes, changes or goes.

Belongs here: which rows such a change touches, rewinding them to before it, and keeping of history what stays true.
Does not belong here: the merge of one dump (merge.py), and which dump is in effect (ledger).

Table and history are a function of the dumps in effect, merged in the order of their places (stamp, dump number). A
dump that comes in order is merged, and that is all. For any other change the rows that it touches are rewound: their
versions since its place leave table and history, and the version before is in the table again, as history knows it.
Then the dumps since are merged again, for these rows only (`fold` does that). So each order of arrival, repetition,
undo and redo ends as if the dumps in effect had come in order.

History keeps two times. By delivery a version holds from its dump's place to the place that superseded it; that part is
rewritten here: versions that come out as before stay as they were, others are marked as retracted. By the clock every
stay in the table remains: what was to be seen at a moment can always be asked.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
import pyarrow
import pyarrow.compute as pc
from psycopg import sql

from claims_pipeline.feeds import Feed
from claims_pipeline.warehouse.ddl import columns_sql, history_of, sql_type, table_of
from claims_pipeline.warehouse.merge import (
    AFFECTED,
    MergeContext,
    equal,
    in_scope,
    not_quarantined,
    scope_columns,
    table_columns,
    to_history,
)

_FILTERED_UP_TO = 500_000
"""Values of the scope that are held in memory to pass over rows of later dumps early; beyond, Postgres does it."""


@dataclass(frozen=True)
class Rewound:
    """Rows of the table that a change took out or brought back, in the end.

    Attributes:
        removed: rows that are no longer in the table as they were.
        restored: rows that are in the table now and were not before, or otherwise.
    """

    removed: int
    restored: int


# ---------------------------------------------------------------------------------------------- what is touched


def begin_scope(connection: psycopg.Connection, feed: Feed) -> None:
    """Create the empty scope of a change."""
    types = {c.name: sql_type(c.arrow) for c in feed.stored}
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(types[name])) for name in scope_columns(feed)
    )
    scope = columns_sql(scope_columns(feed))
    connection.execute(sql.SQL("drop table if exists {}").format(AFFECTED))
    connection.execute(
        sql.SQL("create temp table {} ({}, primary key ({})) on commit drop").format(AFFECTED, columns, scope)
    )


def touch_written_by(connection: psycopg.Connection, feed: Feed, dump_id: int) -> None:
    """Add to the scope what a dump wrote or superseded."""
    _touch(
        connection,
        feed,
        "select {scope} from {table} where _dump_id = %(dump_id)s"
        " union select {scope} from {history} where _retracted_by is null"
        "  and (_dump_id = %(dump_id)s or _superseded_dump = %(dump_id)s)",
        {"dump_id": dump_id},
    )


def touch_staged(connection: psycopg.Connection, feed: Feed, context: MergeContext, *, again: bool) -> None:
    """Add to the scope what the staged dump says otherwise than table and history do at its place.

    Args:
        connection: within the load's transaction.
        feed: the contract.
        context: the staged dump.
        again: whether the dump is in effect already, and is loaded again: what it no longer says is touched too.
    """
    columns = [*feed.key, "_row_hash", "_dump_id", "_row_number", *([feed.version] if feed.version else [])]
    staged = sql.SQL("exists (select 1 from stage s where {})").format(equal(scope_columns(feed), "s", "t"))
    connection.execute("drop table if exists state")
    connection.execute(
        sql.SQL(
            "create temp table state on commit drop as"
            " select {columns} from {table} t where (_dump_stamp, _dump_id) <= (%(stamp)s, %(dump_id)s) and {named}"
            " union all select {columns} from {history} t where _retracted_by is null"
            "  and (_dump_stamp, _dump_id) <= (%(stamp)s, %(dump_id)s)"
            "  and (_superseded_stamp, _superseded_dump) > (%(stamp)s, %(dump_id)s) and {named}"
        ).format(
            columns=columns_sql(columns),
            table=table_of(feed),
            history=history_of(feed),
            named=sql.SQL("true") if feed.snapshot else staged,  # a snapshot speaks of every row
        ),
        context.values,
    )
    connection.execute("analyze state")
    moved = sql.SQL("(t._dump_id = %(dump_id)s and t._row_number <> s._row_number)")
    if feed.replaced_set:
        _touch(
            connection,
            feed,
            "select distinct coalesce(s.{by}, t.{by}) from stage s"
            " full join state t on {t_is_s}"
            " where s._row_hash is distinct from t._row_hash or {moved}",
            context.values,
            moved=moved,
        )
    else:
        older = sql.SQL("t.{0} > s.{0}").format(sql.Identifier(feed.version)) if feed.version else sql.SQL("false")
        _touch(
            connection,
            feed,
            "select {s_scope} from stage s left join state t on {t_is_s} where t._row_hash is null"
            " or (t._row_hash <> s._row_hash and not ({older} and t._dump_id <> %(dump_id)s)) or {moved}",
            context.values,
            older=older,
            moved=moved,
        )
    not_staged = sql.SQL("not exists (select 1 from stage s where {})").format(equal(scope_columns(feed), "s", "t"))
    if feed.snapshot:
        absent = sql.SQL("{} and {}").format(not_staged, not_quarantined(feed, "t"))
        _touch(connection, feed, "select {t_scope} from state t where {absent}", context.values, absent=absent)
    elif again:
        _touch(
            connection,
            feed,
            "select {t_scope} from {table} t where t._dump_id = %(dump_id)s and {not_staged}"
            " union select {t_scope} from {history} t where t._retracted_by is null and {not_staged}"
            "  and (t._dump_id = %(dump_id)s or t._superseded_dump = %(dump_id)s)",
            context.values,
            not_staged=not_staged,
        )


def ended_since(connection: psycopg.Connection, feed: Feed, context: MergeContext) -> bool:
    """Whether a staged set has already been ended by a parent that is newer than the staged dump."""
    if feed.replaced_set is None:
        return False
    query = sql.SQL(
        "select 1 from {history} t join stage s on {same} where t._superseded_dump = 0 and t._retracted_by is null"
        " and t._superseded_stamp > %(stamp)s limit 1"
    ).format(history=history_of(feed), same=equal(scope_columns(feed), "t", "s"))
    return connection.execute(query, context.values).fetchone() is not None


def known_conflicts(connection: psycopg.Connection, feed: Feed, dump_id: int) -> int:
    """Find staged rows that this dump could not write before, for a unique value, and take them out of the scope.

    Nothing that happened since can have freed the value: what frees one merges the later dumps again.

    Returns:
        How many rows these are; their numbers are in the temporary table `still`.
    """
    connection.execute("drop table if exists still")
    connection.execute("create temp table still (_row_number bigint) on commit drop")
    if not feed.unique:
        return 0
    query = sql.SQL(
        "with found as (select s._row_number, {s_scope} from stage s"
        "  join ops.quarantine q on q.dump_id = %(dump_id)s and q.row_number = s._row_number and q.resolved_at is null"
        "   and q.row_hash = s._row_hash and q.rules && %(rules)s),"
        " out as (delete from {affected} a using found where {same})"
        " insert into still select _row_number from found"
    ).format(
        affected=AFFECTED,
        s_scope=columns_sql(scope_columns(feed), "s"),
        same=equal(scope_columns(feed), "a", "found"),
    )
    rules = [f"unique.{name}" for name in feed.unique]
    return connection.execute(query, {"dump_id": dump_id, "rules": rules}).rowcount


def keep_conflicts(connection: psycopg.Connection, dump_id: int, load_id: int) -> dict[str, int]:
    """Leave the rows that `known_conflicts` found in quarantine, as this load's, and out of the stage; by rule."""
    connection.execute("delete from stage where _row_number in (select _row_number from still)")
    rules = connection.execute(
        "with kept as (update ops.quarantine set load_id = %s where dump_id = %s"
        "  and row_number in (select _row_number from still) returning rules)"
        " select rule, count(*) from kept, unnest(rules) as rule where rule like 'unique.%%' group by 1",
        [load_id, dump_id],
    )
    return dict(rules.fetchall())


def count_absent(connection: psycopg.Connection, feed: Feed, context: MergeContext) -> tuple[int, int]:
    """(rows that the staged snapshot would delete, rows) at its place, after `touch_staged`."""
    query = sql.SQL(
        "select count(*) filter (where not exists (select 1 from stage s where {}) and {}), count(*) from state t"
    ).format(equal(feed.key, "s", "t"), not_quarantined(feed, "t"))
    row = connection.execute(query, context.values).fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)


def _touch(
    connection: psycopg.Connection, feed: Feed, query: str, values: dict[str, object], **parts: sql.Composable
) -> None:
    scope = scope_columns(feed)
    connection.execute(
        sql.SQL("insert into {affected} " + query + " on conflict do nothing").format(
            affected=AFFECTED,
            scope=columns_sql(scope),
            s_scope=columns_sql(scope, "s"),
            t_scope=columns_sql(scope, "t"),
            by=sql.Identifier(scope[0]),
            table=table_of(feed),
            history=history_of(feed),
            t_is_s=equal(feed.key, "t", "s"),
            **parts,
        ),
        values,
    )


def touched(connection: psycopg.Connection) -> int:
    """How many keys, or sets, the scope has; plans of what follows rely on its statistics."""
    connection.execute(sql.SQL("analyze {}").format(AFFECTED))
    row = connection.execute(sql.SQL("select count(*) from {}").format(AFFECTED)).fetchone()
    return int(row[0]) if row else 0


def stage_only_touched(connection: psycopg.Connection, feed: Feed) -> dict[str, int]:
    """Leave only touched rows in the stage; returns the verdicts on the others: unchanged, stale."""
    taken = sql.SQL("delete from stage s where not {} returning {}, _row_hash").format(
        in_scope(feed, "s"), columns_sql(feed.key, "s")
    )
    same = sql.SQL("left join state t on {} and t._row_hash = s._row_hash").format(equal(feed.key, "t", "s"))
    query = sql.SQL(
        "with s as ({taken}) select case when t._row_hash is null then 'stale' else 'unchanged' end, count(*)"
        " from s {same} group by 1"
    ).format(taken=taken, same=same)
    return dict(connection.execute(query).fetchall())


def drop_untouched(connection: psycopg.Connection, feed: Feed) -> int:
    """Leave only touched rows in the stage of a later dump; returns how many there are."""
    connection.execute(sql.SQL("delete from stage s where not {}").format(in_scope(feed, "s")))
    row = connection.execute("select count(*) from stage").fetchone()
    return int(row[0]) if row else 0


class ScopeFilter:
    """Passes over rows of later dumps that are surely not touched, before they are sent to Postgres."""

    def __init__(self, connection: psycopg.Connection, feed: Feed, size: int) -> None:
        """Read the scope's first column, unless it is large."""
        self._name = scope_columns(feed)[0]
        self._values: pyarrow.Array | None = None
        if size <= _FILTERED_UP_TO:
            arrow = next(c.arrow for c in feed.stored if c.name == self._name)
            query = sql.SQL("select distinct {} from {}").format(sql.Identifier(self._name), AFFECTED)
            self._values = pyarrow.array([row[0] for row in connection.execute(query)], arrow)

    def __call__(self, batch: pyarrow.RecordBatch) -> pyarrow.RecordBatch:
        """The rows that may be touched."""
        if self._values is None:
            return batch
        return batch.filter(pc.is_in(batch.column(self._name), value_set=self._values))


# ---------------------------------------------------------------------------------------------- rewinding


def rewind(connection: psycopg.Connection, feed: Feed, since: MergeContext, *, partial: bool) -> None:
    """Take the touched rows back to before a place: that of the dump in `since`.

    Args:
        connection: within the load's transaction.
        feed: the contract.
        since: the place (stamp, dump number), the load that does it, and when.
        partial: only rows that AFFECTED names; otherwise all.
    """
    columns = columns_sql(table_columns(feed))
    parts: dict[str, sql.Composable] = {
        "table": table_of(feed),
        "history": history_of(feed),
        "columns": columns,
        "t_columns": columns_sql(table_columns(feed), "t"),
        "stored": columns_sql(c.name for c in feed.stored),
        "t_in_scope": in_scope(feed, "t") if partial else sql.SQL("true"),
    }

    def run(statement: str) -> None:
        connection.execute(sql.SQL(statement).format(**parts), since.values)

    # `case` hides the condition from the planner: the table's statistics do not know the newest dumps, so that it would
    # expect no row, and join by comparing all with all.
    connection.execute("drop table if exists was")
    run("create temp table was on commit drop as select {columns} from {table} where false")
    run(
        "with gone as (delete from {table} t where"
        " case when (t._dump_stamp, t._dump_id) >= (%(stamp)s, %(dump_id)s) then true end"
        " and {t_in_scope} returning {t_columns}) insert into was ({columns}) select {columns} from gone"
    )
    run(
        "update {history} t set _retracted_by = %(load_id)s, _retracted_at = %(at)s where _retracted_by is null"
        " and case when (t._dump_stamp, t._dump_id) >= (%(stamp)s, %(dump_id)s)"
        "  or (t._superseded_stamp, t._superseded_dump) >= (%(stamp)s, %(dump_id)s) then true end and {t_in_scope}"
    )
    run(
        "insert into {table} ({stored}, _dump_id, _row_number, _dump_stamp, _row_hash, _load_id, _loaded_at)"
        " select {stored}, _dump_id, _row_number, _dump_stamp, _row_hash, %(load_id)s, %(at)s from {history}"
        " t where _retracted_by = %(load_id)s and (_dump_stamp, _dump_id) < (%(stamp)s, %(dump_id)s) and {t_in_scope}"
    )
    connection.execute("analyze was")


def settle(connection: psycopg.Connection, feed: Feed, since: MergeContext, *, partial: bool) -> Rewound:
    """After the dumps were merged again: what came out as it had been keeps its past, the rest is told in history.

    Args:
        connection: within the load's transaction.
        feed: the contract.
        since: as given to `rewind`; its load's number is the first of this change.
        partial: as given to `rewind`.
    """
    parts: dict[str, sql.Composable] = {
        "table": table_of(feed),
        "history": history_of(feed),
        "columns": columns_sql(table_columns(feed)),
        "w_columns": columns_sql(table_columns(feed), "w"),
        "t_is_w": _same_version(feed, "t", "w"),
        "n_is_o": _same_version(feed, "n", "o"),
        "n_in_scope": in_scope(feed, "n") if partial else sql.SQL("true"),
        "t_in_scope": in_scope(feed, "t") if partial else sql.SQL("true"),
    }

    def run(statement: str) -> int:
        return connection.execute(sql.SQL(statement).format(**parts), since.values).rowcount

    # A version with the same end as before: the old entry stands again, the new one goes.
    run(
        "with twin as (delete from {history} n using {history} o"
        "  where n._superseded_by >= %(load_id)s and n._retracted_by is null and o._retracted_by = %(load_id)s"
        "   and {n_in_scope} and {n_is_o} and (n._superseded_stamp, n._superseded_dump, n._operation)"
        "    = (o._superseded_stamp, o._superseded_dump, o._operation) returning o.ctid)"
        " update {history} set _retracted_by = null, _retracted_at = null where ctid in (select ctid from twin)"
    )
    kept = run("update {table} t set _load_id = w._load_id, _loaded_at = w._loaded_at from was w where {t_is_w}")
    # A version that was in the table until now, and has an end now.
    run(
        "update {history} t set _load_id = w._load_id, _loaded_at = w._loaded_at from was w"
        " where t._superseded_by >= %(load_id)s and t._retracted_by is null and {t_is_w}"
    )
    run(
        "insert into {history} ({columns}, _superseded_at, _superseded_by, _operation, _retracted_by, _retracted_at)"
        " select {w_columns}, %(at)s, %(load_id)s, 'rewound', %(load_id)s, %(at)s from was w"
        " where not exists (select 1 from {table} t where {t_is_w})"
        "  and not exists (select 1 from {history} t where t._superseded_by >= %(load_id)s"
        "   and t._retracted_by is null and {t_is_w})"
    )
    taken = connection.execute("select count(*) from was").fetchone()
    restored = connection.execute(
        sql.SQL("select count(*) from {table} t where _load_id >= %(load_id)s and {t_in_scope}").format(**parts),
        since.values,
    ).fetchone()
    return Rewound(removed=(taken[0] if taken else 0) - kept, restored=restored[0] if restored else 0)


def verdicts_in_the_end(
    connection: psycopg.Connection, feed: Feed, since: MergeContext, *, dump_id: int, load_id: int, partial: bool
) -> dict[str, int]:
    """Of the rows that a dump wrote at its place, those that are in the table when all is merged: by verdict.

    A row that was superseded again, by a dump that had come before it, is not among them: for a reader it is stale.

    Args:
        connection: within the load's transaction, after `settle`.
        feed: the contract.
        since: as given to `rewind`.
        dump_id: the dump.
        load_id: of its load.
        partial: as given to `rewind`.

    Returns:
        Counts of inserted, updated and unchanged rows: those that were in the table as they are.
    """
    query = sql.SQL(
        "with before as (select {key} from was union select {key} from {history} t"
        "  where t._superseded_by = %(own)s and t._load_id < %(first)s and {scope})"
        " select count(*) filter (where t._load_id = %(own)s and b.{first_key} is null),"
        "  count(*) filter (where t._load_id = %(own)s and b.{first_key} is not null),"
        "  count(*) filter (where t._load_id <> %(own)s)"
        " from {table} t left join before b on {b_is_t}"
        " where case when t._dump_id = %(dump_id)s then true end and {scope}"
    ).format(
        key=columns_sql(feed.key),
        first_key=sql.Identifier(feed.key[0]),
        table=table_of(feed),
        history=history_of(feed),
        b_is_t=equal(feed.key, "b", "t"),
        scope=in_scope(feed, "t") if partial else sql.SQL("true"),
    )
    values = {"own": load_id, "first": since.load_id, "dump_id": dump_id}
    row = connection.execute(query, values).fetchone() or (0, 0, 0)
    return {"inserted": row[0], "updated": row[1], "unchanged": row[2]}


def _same_version(feed: Feed, left: str, right: str) -> sql.Composed:
    """Condition that two entries are one row of one dump, with the same content."""
    return equal((*feed.key, "_dump_id", "_row_number", "_row_hash"), left, right)


# ---------------------------------------------------------------------------------------------- sets without rows


def empty_sets(
    connection: psycopg.Connection,
    child: Feed,
    context: MergeContext,
    *,
    after: object,
    until: object | None,
    scope: sql.Composable,
) -> int:
    """Remove sets of parents that say, by a count of zero, that they have none; removed rows go to history.

    A dump of children cannot say "none": only its parent's count can. At one time stamp a parent's dump comes before
    its children's.

    Args:
        connection: within the load's transaction.
        child: the feed of the sets.
        context: the load; its dump and stamp do not count.
        after: time stamp; what parents said until then was heeded.
        until: time stamp up to which parents are heard; None for no limit.
        scope: condition on the parent's key, as p.key.

    Returns:
        How many rows were removed.
    """
    of = child.replaced_set
    if of is None:
        return 0
    parts: dict[str, sql.Composable] = {
        "parent": sql.Identifier(child.sender.name, of.parent),
        "parent_past": sql.Identifier("history", f"{child.sender.name}__{of.parent}"),
        "parent_key": sql.Identifier(of.parent_key),
        "count": sql.Identifier(of.count),
        "table": table_of(child),
        "by": sql.Identifier(of.by),
        "t_columns": columns_sql(table_columns(child), "t"),
        "scope": scope,
    }
    values = context.values | {"after": after, "until": until}
    connection.execute("drop table if exists emptied")
    connection.execute(
        sql.SQL(
            "create temp table emptied on commit drop as select p.{parent_key} as parent, min(p._dump_stamp) as stamp"
            " from (select {parent_key}, _dump_stamp from {parent} where {count} = 0"
            "  union all select {parent_key}, _dump_stamp from {parent_past}"
            "   where {count} = 0 and _retracted_by is null"
            " ) p where p._dump_stamp > %(after)s and (%(until)s::timestamptz is null or p._dump_stamp <= %(until)s)"
            "  and {scope} group by 1"
        ).format(**parts),
        values,
    )
    removed = 0
    # One statement per time stamp: history says for each row when it ended.
    for (stamp,) in connection.execute("select distinct stamp from emptied order by 1").fetchall():
        removed += connection.execute(
            sql.SQL(
                "with gone as (delete from {table} t using emptied e where t.{by} = e.parent and e.stamp = %(stamp)s"
                " and t._dump_stamp < %(stamp)s returning {t_columns}) {to_history}"
            ).format(**parts, to_history=to_history(child, "deleted", sql.SQL("gone"))),
            context.values | {"stamp": stamp, "dump_id": 0},
        ).rowcount
    return removed
