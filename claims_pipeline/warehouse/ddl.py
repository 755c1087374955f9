"""Tables that follow from a contract: the feed's table, its history, and the staging table of one load.

Belongs here: everything that turns a contract's stored columns into SQL types and statements. Does not belong here:
the ops schema (migrations/) and data.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import psycopg
import pyarrow
from psycopg import errors, sql

from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.feeds import Feed

_SQL_TYPES: dict[pyarrow.DataType, str] = {
    pyarrow.int64(): "bigint",
    pyarrow.int32(): "integer",
    pyarrow.int16(): "smallint",
    pyarrow.bool_(): "boolean",
    pyarrow.string(): "text",
    pyarrow.list_(pyarrow.string()): "text[]",
    pyarrow.date32(): "date",
    pyarrow.timestamp("us", "UTC"): "timestamp with time zone",
    pyarrow.float64(): "double precision",
    pyarrow.timestamp("us"): "timestamp without time zone",  # a copy as delivered, in the sender's local time
    pyarrow.binary(): "bytea",
}


def sql_type(arrow: pyarrow.DataType) -> str:
    """The Postgres type of an Arrow type, as `format_type` spells it.

    Raises:
        TypeError: a type that no contract may use.
    """
    if pyarrow.types.is_decimal128(arrow):
        return f"numeric({arrow.precision},{arrow.scale})"
    try:
        return _SQL_TYPES[arrow]
    except KeyError:
        raise TypeError(f"no Postgres type is declared for Arrow type {arrow}") from None


@dataclass(frozen=True)
class MetaColumn:
    """A column that the loader adds to every row."""

    name: str
    type: str
    description: str


META_COLUMNS = (
    MetaColumn("_dump_id", "bigint", "Dump the row came in (ops.dump)"),
    MetaColumn("_row_number", "bigint", "Place of the row in its dump, from 1, header not counted"),
    MetaColumn("_dump_stamp", "timestamp with time zone", "Time stamp of the dump"),
    MetaColumn("_load_id", "bigint", "Load that wrote the row (ops.load)"),
    MetaColumn("_loaded_at", "timestamp with time zone", "When it was written"),
    MetaColumn("_row_hash", "bytea", "BLAKE2b-128 of the row's content; equal content, equal hash"),
)
PAST_COLUMNS = (
    MetaColumn("_superseded_at", "timestamp with time zone", "When it left the table"),
    MetaColumn("_superseded_by", "bigint", "Load that replaced or removed it (ops.load)"),
    MetaColumn("_operation", "text", "updated, deleted, or rewound (taken out as if it had never come)"),
    MetaColumn("_superseded_stamp", "timestamp with time zone", "Time stamp of the dump that replaced or removed it"),
    MetaColumn("_superseded_dump", "bigint", "That dump (ops.dump); 0: its parent's, which says that it has no rows"),
    MetaColumn("_retracted_by", "bigint", "Load that found it to be no version of the row; NULL: it is one"),
    MetaColumn("_retracted_at", "timestamp with time zone", "When that was found"),
)
"""What history adds: the version ended by delivery (stamp, dump), its stay in the table by the clock (at).

A row version is of the table's past by delivery while `_retracted_by` is NULL; every stay in the table remains, so that
what the table showed at a moment can be asked, right or wrong.
"""

STAGED_META = ("_row_number", "_row_hash")  # the others are the same for the whole load


def table_of(feed: Feed) -> sql.Identifier:
    """The feed's table."""
    return sql.Identifier(feed.sender.name, feed.dataset)


def history_of(feed: Feed) -> sql.Identifier:
    """The feed's table of superseded row versions."""
    return sql.Identifier("history", f"{feed.sender.name}__{feed.dataset}")


def columns_sql(names: Iterable[str], prefix: str | None = None) -> sql.Composed:
    """Quoted names, comma-separated, each after "prefix." where one is given."""
    parts = [sql.Identifier(prefix, name) if prefix else sql.Identifier(name) for name in names]
    return sql.SQL(", ").join(parts)


def _definition(name: str, type_: str, *, nullable: bool) -> sql.Composed:
    return sql.SQL("{} {}{}").format(sql.Identifier(name), sql.SQL(type_), sql.SQL("" if nullable else " not null"))


def staged_columns(feed: Feed) -> tuple[str, ...]:
    """Stored columns that rows are judged by: the key, the version, and unique columns."""
    judged = {*feed.key, *feed.unique, *([feed.version] if feed.version else [])}
    return tuple(c.name for c in feed.stored if c.name in judged)


def create_stage(connection: psycopg.Connection, feed: Feed) -> None:
    """Create the temporary table `stage` of one load, of what rows are judged by; it goes with the transaction."""
    connection.execute("drop table if exists stage")
    _create_temporary(connection, feed, "stage", staged_columns(feed))


def create_changed(connection: psycopg.Connection, feed: Feed) -> None:
    """Create the temporary table `changed`, of whole rows as a dump brings them; it goes with the transaction."""
    connection.execute("drop table if exists changed")
    _create_temporary(connection, feed, "changed", tuple(c.name for c in feed.stored))


def _create_temporary(connection: psycopg.Connection, feed: Feed, name: str, stored: tuple[str, ...]) -> None:
    columns = [_definition(c.name, sql_type(c.arrow), nullable=True) for c in feed.stored if c.name in stored]
    columns += [_definition(m.name, m.type, nullable=False) for m in META_COLUMNS if m.name in STAGED_META]
    connection.execute(
        sql.SQL("create temp table {} ({}) on commit drop").format(sql.Identifier(name), sql.SQL(", ").join(columns))
    )


def ensure_feed(connection: psycopg.Connection, feed: Feed) -> list[str]:
    """Bring the feed's table and history to the contract. Run by the owner (`claims-pipeline migrate`).

    New columns are added, columns that left the contract stay and become NULL-able; nothing is dropped.

    Returns:
        What was changed, a line each; empty when all was in order.

    Raises:
        ClaimsPipelineError: a column's type in the table is another than in the contract, which needs a person.
    """
    changes: list[str] = []
    connection.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(feed.sender.name)))
    stored = [(c.name, sql_type(c.arrow), c.nullable) for c in feed.stored]
    meta = [(m.name, m.type, False) for m in META_COLUMNS]
    past = [(m.name, m.type, m.name not in _ENDED) for m in PAST_COLUMNS]
    nullable_past = [(name, type_, True) for name, type_, _ in stored]
    for table, columns in ((table_of(feed), stored + meta), (history_of(feed), nullable_past + meta + past)):
        changes += _ensure_table(connection, table, columns)
    if f"added {_plain(history_of(feed))}._superseded_dump" in changes:
        _fill_superseded(connection, feed)
    target = table_of(feed)
    if not _has_primary_key(connection, target):
        connection.execute(sql.SQL("alter table {} add primary key ({})").format(target, columns_sql(feed.key)))
        # Half the rows of a delta are updates: leave room on the page, so that they stay there (HOT).
        connection.execute(sql.SQL("alter table {} set (fillfactor = 90)").format(target))
        history_index = sql.SQL("create index on {} ({})").format(history_of(feed), columns_sql(feed.key))
        connection.execute(history_index)
        for name in feed.unique:
            # Deferred: values may change hands within one load.
            unique = sql.SQL("alter table {} add unique ({}) deferrable initially deferred")
            connection.execute(unique.format(target, sql.Identifier(name)))
    _comment(connection, feed)
    return changes


def ensure_view(
    connection: psycopg.Connection, view: sql.Identifier, query: sql.Composed, comment: str, *, barrier: bool
) -> None:
    """Make a view, in place of another form of it; its readers keep their rights.

    Args:
        connection: of the owner, within a transaction.
        view: its name.
        query: what it shows.
        comment: what people are told about it.
        barrier: no function of a reader's condition sees a row before the view has chosen it.
    """
    options = sql.SQL(" with (security_barrier)" if barrier else "")
    create = sql.SQL("create or replace view {}{} as {}").format(view, options, query)
    try:
        with connection.transaction():
            connection.execute(create)
    except errors.InvalidTableDefinition:  # a column went, or has another type or place
        connection.execute(sql.SQL("drop view {}").format(view))
        connection.execute(create)
    connection.execute(sql.SQL("comment on view {} is {}").format(view, sql.Literal(comment)))


def lacking(connection: psycopg.Connection, feed: Feed) -> list[str]:
    """Columns that the feed's table lacks, or has in another type, for its contract."""
    found = _columns_in_database(connection, table_of(feed))
    wanted = [(c.name, sql_type(c.arrow)) for c in feed.stored] + [(m.name, m.type) for m in META_COLUMNS]
    return [name for name, type_ in wanted if found.get(name) != type_]


_ENDED = ("_superseded_at", "_superseded_by", "_operation")


def _fill_superseded(connection: psycopg.Connection, feed: Feed) -> None:
    """History from before migration 0002 learns from the audit by which dump it was superseded."""
    connection.execute(
        sql.SQL(
            "update {history} h set _superseded_stamp = d.stamp,"
            " _superseded_dump = case l.kind when 'cascade' then 0 else d.dump_id end"
            " from ops.load l join ops.dump d on d.dump_id = l.dump_id where l.load_id = h._superseded_by"
        ).format(history=history_of(feed))
    )


def _plain(table: sql.Identifier) -> str:
    return table.as_string(None).replace('"', "")


def _ensure_table(
    connection: psycopg.Connection, table: sql.Identifier, columns: list[tuple[str, str, bool]]
) -> list[str]:
    name = _plain(table)
    found = _columns_in_database(connection, table)
    if not found:
        body = sql.SQL(", ").join(_definition(column, type_, nullable=null) for column, type_, null in columns)
        connection.execute(sql.SQL("create table {} ({})").format(table, body))
        return [f"created {name}"]
    changes = []
    for column, type_, _ in columns:
        if column not in found:
            add = sql.SQL("alter table {} add column {}").format(table, _definition(column, type_, nullable=True))
            connection.execute(add)
            changes.append(f"added {name}.{column}")
        elif found[column] != type_:
            raise ClaimsPipelineError(
                f"{name}.{column} is {found[column]} in the database and {type_} in the contract. "
                f"Convert it by hand (alter table ... using ...), or name the new column differently."
            )
    for gone in found.keys() - {column for column, _, _ in columns}:
        connection.execute(sql.SQL("alter table {} alter column {} drop not null").format(table, sql.Identifier(gone)))
    return changes


def _columns_in_database(connection: psycopg.Connection, table: sql.Identifier) -> dict[str, str]:
    rows = connection.execute(
        "select attname, format_type(atttypid, atttypmod) from pg_attribute"
        " where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped",
        [table.as_string(None)],
    )
    return dict(rows.fetchall())


def _has_primary_key(connection: psycopg.Connection, table: sql.Identifier) -> bool:
    query = "select 1 from pg_index where indrelid = to_regclass(%s) and indisprimary"
    return connection.execute(query, [table.as_string(None)]).fetchone() is not None


def _comment(connection: psycopg.Connection, feed: Feed) -> None:
    target = table_of(feed)
    connection.execute(sql.SQL("comment on table {} is {}").format(target, sql.Literal(feed.title)))
    described = [(c.name, c.description) for c in feed.stored] + [(m.name, m.description) for m in META_COLUMNS]
    for name, text in described:
        column = sql.Identifier(feed.sender.name, feed.dataset, name)
        connection.execute(sql.SQL("comment on column {} is {}").format(column, sql.Literal(text)))
