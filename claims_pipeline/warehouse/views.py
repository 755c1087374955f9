"""Views that follow from contracts: for BI (counts, small ones hidden), under names that readers know, and of the past.

Belongs here: the views' definitions. Does not belong here: tables (ddl.py), roles. Made anew by every migration.

Hidden are counts below the sender's smallest cell, each by itself. There are no totals beside them to subtract from;
but whoever joins several views of one table can narrow a hidden count down: complementary suppression is not done here.
"""

from __future__ import annotations

import psycopg
from psycopg import sql

from claims_pipeline.feeds import Feed
from claims_pipeline.warehouse.ddl import columns_sql, history_of, table_of


def ensure_views(connection: psycopg.Connection, feed: Feed) -> None:
    """Make the feed's views as the contract says."""
    _versions(connection, feed)
    connection.execute("create schema if not exists bi")
    view = sql.Identifier("bi", f"{feed.sender.name}_{feed.dataset}")
    connection.execute(sql.SQL("drop view if exists {}").format(view))
    if feed.bi:
        connection.execute(sql.SQL("create view {} with (security_barrier) as {}").format(view, _counts(feed)))
        text = f"{feed.title} Counted by month; counts below {feed.sender.smallest_cell} are NULL."
        connection.execute(sql.SQL("comment on view {} is {}").format(view, sql.Literal(text)))
    if feed.sender.reporting_schema:
        schema = sql.Identifier(feed.sender.reporting_schema)
        connection.execute(sql.SQL("create schema if not exists {}").format(schema))
        view = sql.Identifier(feed.sender.reporting_schema, feed.dataset)
        connection.execute(sql.SQL("drop view if exists {}").format(view))
        connection.execute(
            sql.SQL(
                "create view {} as select t.*, d.key as _source_file, d.stamp as _file_ts"
                " from {} t join ops.dump d on d.dump_id = t._dump_id"
            ).format(view, table_of(feed))
        )


def _versions(connection: psycopg.Connection, feed: Feed) -> None:
    """Every version of every row with its two times: what a row, or the table, was on a day."""
    view = sql.Identifier("history", f"{feed.sender.name}__{feed.dataset}__versions"[:63])
    stored = columns_sql(c.name for c in feed.stored)
    connection.execute(sql.SQL("drop view if exists {}").format(view))
    connection.execute(
        sql.SQL(
            "create view {view} as"
            " select {stored}, _dump_stamp as delivered_from, null::timestamptz as delivered_to,"
            "  _loaded_at as shown_from, null::timestamptz as shown_to, null::text as ended, _dump_id, _row_number"
            " from {table} union all"
            " select {stored}, case when _retracted_by is null then _dump_stamp end,"
            "  case when _retracted_by is null then _superseded_stamp end,"
            "  _loaded_at, _superseded_at, _operation, _dump_id, _row_number from {history}"
        ).format(view=view, stored=stored, table=table_of(feed), history=history_of(feed))
    )
    text = (
        f"{feed.title} Every version. delivered_from/to: by time stamps of dumps, NULL where a version was found wrong "
        "later; shown_from/to: when it stood in the table."
    )
    connection.execute(sql.SQL("comment on view {} is {}").format(view, sql.Literal(text)))


def _counts(feed: Feed) -> sql.Composed:
    assert feed.bi is not None  # noqa: S101 - the caller looked
    shown = [feed.soft_delete] if feed.soft_delete else []
    conditions = [sql.SQL("{} is not true").format(sql.Identifier(name)) for name in (*shown, *feed.hidden_from_bi)]
    moment = next(c.arrow for c in feed.stored if c.name == feed.bi.month_of)
    month: sql.Composable = sql.Identifier(feed.bi.month_of)
    if "timestamp" in str(moment) and moment.tz:
        month = sql.SQL("({} at time zone {})").format(month, sql.Literal(feed.sender.timezone))
    groups = [sql.Identifier(name) for name in feed.bi.by]
    smallest = sql.Literal(feed.sender.smallest_cell)
    return sql.SQL(
        "select date_trunc('month', {month})::date as month{groups},"
        " case when count(*) >= {smallest} then count(*) end as rows, count(*) < {smallest} as hidden"
        " from {table} where {conditions} group by 1{numbers}"
    ).format(
        month=month,
        groups=sql.SQL("").join(sql.SQL(", {}").format(group) for group in groups),
        smallest=smallest,
        table=table_of(feed),
        conditions=sql.SQL(" and ").join([sql.SQL("true"), *conditions]),
        numbers=sql.SQL("").join(sql.SQL(", {}").format(sql.SQL(str(n))) for n in range(2, len(groups) + 2)),
    )
