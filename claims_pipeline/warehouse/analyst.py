"""Views of rows for analysts: restricted and pseudonymised, never "de-identified", since dates and places are in them.

Belongs here: which columns they have, their definitions. Does not belong here: who may read them (roles.py), counts for
BI. Left out are columns that hold direct identifiers (class 3) or special data (class 4) after treatment, and the row
hash, which is computed over values that an analyst may not see.
"""

from __future__ import annotations

import psycopg
from psycopg import sql

from claims_pipeline.feeds import Feed
from claims_pipeline.feeds.contract import Pii, StoredColumn
from claims_pipeline.warehouse.ddl import META_COLUMNS, columns_sql, ensure_view, history_of, table_of

SCHEMA = "analyst"
MOST = Pii.QUASI
"""The highest class of personal data that analysts read."""

_PROVENANCE = tuple(meta.name for meta in META_COLUMNS if meta.name != "_row_hash")


def columns_for_analysts(feed: Feed) -> tuple[StoredColumn, ...]:
    """The stored columns that analysts may read."""
    return tuple(column for column in feed.stored if column.pii <= MOST)


def ensure_analyst_views(connection: psycopg.Connection, feed: Feed) -> None:
    """Make the feed's views in `analyst`, and that in the sender's reporting schema, as the contract says."""
    names = [column.name for column in columns_for_analysts(feed)]
    name = f"{feed.sender.name}__{feed.dataset}"
    note = "Restricted, pseudonymised rows: without direct identifiers and special data."
    ensure_view(
        connection,
        sql.Identifier(SCHEMA, name[:63]),
        sql.SQL("select {} from {}").format(columns_sql([*names, *_PROVENANCE]), table_of(feed)),
        f"{feed.title} {note}",
        barrier=True,
    )
    ensure_view(
        connection,
        sql.Identifier(SCHEMA, f"{name}__versions"[:63]),
        versions_sql(feed, names),
        f"{feed.title} Every version. {note} delivered_from/to: by time stamps of dumps, NULL where a version was "
        "found wrong later; shown_from/to: when it stood in the table.",
        barrier=True,
    )
    if feed.sender.reporting_schema:
        schema = sql.Identifier(feed.sender.reporting_schema)
        connection.execute(sql.SQL("create schema if not exists {}").format(schema))
        ensure_view(
            connection,
            sql.Identifier(feed.sender.reporting_schema, feed.dataset),
            sql.SQL(
                "select {}, d.key as _source_file, d.stamp as _file_ts"
                " from {} t join ops.dump d on d.dump_id = t._dump_id"
            ).format(columns_sql([*names, *_PROVENANCE], "t"), table_of(feed)),
            f"{feed.title} {note} With the file that each row came in.",
            barrier=True,
        )


def versions_sql(feed: Feed, names: list[str]) -> sql.Composed:
    """The query of every version of every row with its two times: what a row, or the table, was on a day.

    Args:
        feed: whose rows.
        names: stored columns to show.
    """
    return sql.SQL(
        "select {shown}, _dump_stamp as delivered_from, null::timestamptz as delivered_to,"
        "  _loaded_at as shown_from, null::timestamptz as shown_to, null::text as ended, _dump_id, _row_number"
        " from {table} union all"
        " select {shown}, case when _retracted_by is null then _dump_stamp end,"
        "  case when _retracted_by is null then _superseded_stamp end,"
        "  _loaded_at, _superseded_at, _operation, _dump_id, _row_number from {history}"
    ).format(shown=columns_sql(names), table=table_of(feed), history=history_of(feed))
