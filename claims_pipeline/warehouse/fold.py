"""Merging dumps in the order of their places: the newest one alone, or every later one again after a change.

Belongs here: the order of merge, rewinding and sets without rows, for one feed. Does not belong here: the statements
(merge.py, chain.py), what is decided about the dump, its rejects and the audit (load.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import psycopg
from psycopg import sql

from claims_pipeline.failpoints import reach
from claims_pipeline.feeds import Feed
from claims_pipeline.feeds.contract import ReplacedSet
from claims_pipeline.vocabulary import RowCounts
from claims_pipeline.warehouse import chain, effect, merge
from claims_pipeline.warehouse.chain import Rewound
from claims_pipeline.warehouse.ddl import history_of, table_of
from claims_pipeline.warehouse.ledger import Dump
from claims_pipeline.warehouse.merge import AFFECTED, MergeContext, UniqueConflict
from claims_pipeline.warehouse.staging import Rows, stage

Frames = Callable[[Feed, Dump], Rows]
"""The validated rows of a dump in effect."""


@dataclass(frozen=True)
class Merged:
    """What merging one dump did: rows by verdict, conflicts included as quarantined, and those conflicts.

    `known_conflicts` are those, by rule, that lie in quarantine since an earlier load of the dump.
    """

    dump: Dump
    load_id: int
    rows: RowCounts
    conflicts: list[UniqueConflict]
    known_conflicts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Refolded:
    """What a change did: the dump that came, the later ones that were merged again, and the rows in the end."""

    own: Merged | None
    later: list[Merged]
    rewound: Rewound


def merge_staged(
    connection: psycopg.Connection, feed: Feed, dump: Dump, context: MergeContext, rows: Rows, *, partial: bool
) -> Merged:
    """Merge the stage, a part of a dump's rows, when the dump's predecessors are all merged."""
    deleted = merge.remove_absent(connection, feed, context, partial=partial)
    merge.judge(connection, feed)
    conflicts = merge.take_unique_conflicts(connection, feed, rows)
    counted = merge.merge(connection, feed, context, rows)
    read = sum(counted.values()) + len(conflicts)
    return Merged(
        dump, context.load_id, RowCounts(read=read, deleted=deleted, quarantined=len(conflicts), **counted), conflicts
    )


def refold(
    connection: psycopg.Connection,
    feed: Feed,
    since: MergeContext,
    *,
    own: Dump | None,
    own_rows: Rows | None = None,
    own_load_id: int = 0,
    without: Sequence[Dump],
    frames: Frames,
    next_load_id: Callable[[], int],
    size: int,
) -> Refolded:
    """Rewind what a change touches and merge every dump in effect since again.

    Args:
        connection: within the load's transaction.
        feed: the contract. Where it has unique columns everything since is merged again, since any row may then free
            or take a value of any other; else what AFFECTED names.
        since: the first place that changes, and the load that changes it.
        own: the dump in the stage, merged at its place; None where dumps only go.
        own_rows: its rows.
        own_load_id: number of its load.
        without: dumps that are no longer in effect.
        frames: gives the rows of later dumps.
        next_load_id: numbers the loads of later dumps.
        size: how many keys or sets AFFECTED names.
    """
    partial = not feed.unique
    left_out = {dump.dump_id for dump in without}
    events = [
        dump
        for dump in effect.in_effect_since(connection, feed.sender.name, feed.dataset, since.stamp, since.dump_id)
        if dump.dump_id not in left_out and (own is None or dump.dump_id != own.dump_id)
    ]
    if own is not None:
        events = sorted([*events, own], key=lambda dump: dump.place)
        connection.execute("alter table stage rename to own_stage")
    chain.rewind(connection, feed, since, partial=partial)
    reach("replay.rewound")
    passed = chain.ScopeFilter(connection, feed, size) if partial else None
    heard = since.stamp - dt.timedelta(microseconds=1)
    merged: dict[int, Merged] = {}
    for dump in events:
        _empty_sets(connection, feed, since, after=heard, until=dump.stamp, partial=partial)
        heard = dump.stamp
        if own is not None and dump.dump_id == own.dump_id:
            connection.execute("alter table own_stage rename to stage")
            connection.execute("analyze stage")  # fewer rows than when it was filled
            assert own_rows is not None  # noqa: S101 - given with `own`
            rows = own_rows
            context = replace(since, dump_id=dump.dump_id, stamp=dump.stamp, load_id=own_load_id)
        else:
            rows = frames(feed, dump)
            staged = stage(connection, feed, rows, only=passed)
            merge.drop_duplicates(connection, feed, staged)
            if partial:
                chain.drop_untouched(connection, feed)
            connection.execute("analyze stage")
            context = replace(since, dump_id=dump.dump_id, stamp=dump.stamp, load_id=next_load_id())
        merged[dump.dump_id] = merge_staged(connection, feed, dump, context, rows, partial=partial)
        connection.execute("drop table stage")
        reach("replay.folded")
    _empty_sets(connection, feed, since, after=heard, until=None, partial=partial)
    rewound = chain.settle(connection, feed, since, partial=partial)
    if own is None:
        return Refolded(None, list(merged.values()), rewound)
    mine = merged.pop(own.dump_id)
    in_table = chain.verdicts_in_the_end(
        connection, feed, since, dump_id=own.dump_id, load_id=own_load_id, partial=partial
    )
    counts = replace(
        mine.rows,
        inserted=in_table["inserted"],
        updated=in_table["updated"],
        unchanged=mine.rows.unchanged + in_table["unchanged"],
        stale=mine.rows.stale + mine.rows.inserted + mine.rows.updated - sum(in_table.values()),
    )
    return Refolded(replace(mine, rows=counts), list(merged.values()), rewound)


def _empty_sets(
    connection: psycopg.Connection,
    feed: Feed,
    context: MergeContext,
    *,
    after: dt.datetime,
    until: dt.datetime | None,
    partial: bool,
) -> None:
    if feed.replaced_set is None:
        return
    scope: sql.Composable = sql.SQL("true")
    if partial:
        scope = sql.SQL("exists (select 1 from {} a where a.{} = p.{})").format(
            AFFECTED, sql.Identifier(feed.replaced_set.by), sql.Identifier(feed.replaced_set.parent_key)
        )
    chain.empty_sets(connection, feed, context, after=after, until=until, scope=scope)


def empty_staged_sets(connection: psycopg.Connection, feed: Feed, context: MergeContext) -> int:
    """Remove sets just merged of which a newer dump of parents has said that they have no rows; returns how many rows.

    Parents may be ahead of their children.
    """
    if feed.replaced_set is None:
        return 0
    scope = sql.SQL("exists (select 1 from stage s where s.{} = p.{})").format(
        sql.Identifier(feed.replaced_set.by), sql.Identifier(feed.replaced_set.parent_key)
    )
    return chain.empty_sets(connection, feed, context, after=context.stamp, until=None, scope=scope)


# ---------------------------------------------------------------------------------------------- children


def note_empty_parents(
    connection: psycopg.Connection, feed: Feed, child: Feed, since: MergeContext, *, when: str, partial: bool
) -> None:
    """Remember which parents say since a place that they have no children: once before a change, once after it.

    Args:
        connection: within the load's transaction.
        feed: the parents.
        child: the sets.
        since: the place.
        when: "before" or "after".
        partial: only parents that AFFECTED names.
    """
    of = _set_of(child)
    said = sql.SQL(
        "select t.{key} as parent, t._dump_stamp as stamp from {table} t"
        " where t.{count} = 0 and t._dump_stamp >= %(stamp)s and {scope}"
        " union all select t.{key}, t._dump_stamp from {history} t"
        " where t.{count} = 0 and t._dump_stamp >= %(stamp)s and t._retracted_by is null and {scope}"
    ).format(
        key=sql.Identifier(of.parent_key),
        count=sql.Identifier(of.count),
        table=table_of(feed),
        history=history_of(feed),
        scope=merge.in_scope(feed, "t") if partial else sql.SQL("true"),
    )
    name = _noted(child, when)
    connection.execute(sql.SQL("drop table if exists {}").format(name))
    connection.execute(sql.SQL("create temp table {} on commit drop as {}").format(name, said), since.values)


def touch_changed_parents(connection: psycopg.Connection, child: Feed) -> int:
    """Make the parents that say otherwise after a change than before it the scope; returns how many they are."""
    return _touch_sets(
        connection,
        child,
        sql.SQL("((table {0} except table {1}) union (table {1} except table {0}))").format(
            _noted(child, "before"), _noted(child, "after")
        ),
    )


def touch_emptied_parents(connection: psycopg.Connection, feed: Feed, child: Feed, load_id: int) -> int:
    """Make the parents that this load wrote with a count of zero the scope; returns how many they are.

    The load's stage is `parent_stage` now: merging children again needs the name.
    """
    of = _set_of(child)
    emptied = sql.SQL(
        "(select t.{key} as parent from parent_stage s join {table} t on {same}"
        " where t.{count} = 0 and t._load_id = {load_id})"
    ).format(
        key=sql.Identifier(of.parent_key),
        count=sql.Identifier(of.count),
        table=table_of(feed),
        same=merge.equal(feed.key, "t", "s"),
        load_id=sql.Literal(load_id),
    )
    return _touch_sets(connection, child, emptied)


def _touch_sets(connection: psycopg.Connection, child: Feed, parents: sql.Composable) -> int:
    chain.begin_scope(connection, child)
    connection.execute(
        sql.SQL(
            "insert into {affected} select distinct c.parent from {parents} c"
            # A parent that never had rows needs no removal of any.
            " where exists (select 1 from {table} t where t.{by} = c.parent)"
            "  or exists (select 1 from {history} t where t.{by} = c.parent)"
        ).format(
            affected=AFFECTED,
            parents=parents,
            table=table_of(child),
            history=history_of(child),
            by=sql.Identifier(_set_of(child).by),
        )
    )
    return chain.touched(connection)


def _noted(child: Feed, when: str) -> sql.Identifier:
    return sql.Identifier(f"empty_{when}_{child.dataset}"[:63])


def _set_of(child: Feed) -> ReplacedSet:
    if child.replaced_set is None:
        raise ValueError(f"{child.name}: its rows are not replaced as sets")
    return child.replaced_set


def rows_in_scope(connection: psycopg.Connection, feed: Feed) -> int:
    """Rows of the table that AFFECTED names."""
    query = sql.SQL("select count(*) from {} t where {}").format(table_of(feed), merge.in_scope(feed, "t"))
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0
