"""From the tokens of an older key to those of the current one, in place: tables, histories, quarantine, ledger.

Belongs here: SQL on rows whose tokens change. Does not belong here: making tokens (frames), reading dumps again
(retokening.py), key rings.

Every row says from which dump and which place in it it comes, so nothing is merged again: the dump is read again with
the current key, and its tokens and row hashes replace the old ones. That it brings the very same row is proven by the
row hash, which is made once more with the old key.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import psycopg
import pyarrow
from psycopg import sql

from claims_pipeline.feeds import Feed
from claims_pipeline.warehouse.ddl import columns_sql, history_of, table_of
from claims_pipeline.warehouse.merge import equal
from claims_pipeline.warehouse.staging import Numbers, copy_into

_DUMP = ("_dump_id", "_row_number", "_dump_stamp", "_load_id", "_loaded_at")


@dataclass(frozen=True)
class Outdated:
    """A dump with rows whose tokens are of older keys.

    Attributes:
        dump_id: its number.
        versions: of the older keys.
        rows: how many, those in history and quarantine included.
    """

    dump_id: int
    versions: tuple[str, ...]
    rows: int


@dataclass(frozen=True)
class Changed:
    """What was done to one feed.

    Attributes:
        table: rows of the table.
        history: rows of its history.
        quarantine: rows in quarantine whose hash, or key, was made anew.
        joined: versions that were none: two dumps brought one row under two keys.
    """

    table: int
    history: int
    quarantine: int
    joined: int


def keyed(feed: Feed) -> bool:
    """Whether tokens are part of the feed's key."""
    return not set(feed.key).isdisjoint(feed.token_columns)


def begin(connection: psycopg.Connection, feed: Feed) -> None:
    """Make the temporary tables of a feed: what its dumps bring when they are read again."""
    tokens = sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(name)) for name in feed.token_columns)
    for statement in (
        "create temp table {fresh} (dump_id bigint, _row_number bigint, _row_hash bytea, {tokens})",
        "create temp table {told} (dump_id bigint, _row_number bigint, _row_hash bytea)",
        "create temp table {keys} (dump_id bigint, row_number bigint, row_key text[])",
        "create index on {fresh} (dump_id, _row_number)",
        "create index on {told} (dump_id, _row_number)",
    ):
        connection.execute(sql.SQL(statement).format(**_names(feed), tokens=tokens))


def outdated(connection: psycopg.Connection, feed: Feed, version: str) -> list[Outdated]:
    """Dumps with rows that carry tokens of other keys than this version, in order of their numbers.

    The temporary table `wanted` of the feed, made anew, names these rows.
    """
    names = _names(feed)
    connection.execute(sql.SQL("drop table if exists {wanted}").format(**names))
    connection.execute(
        sql.SQL(
            "create temp table {wanted} as select _dump_id as dump_id, _row_number, _row_hash, version,"
            " bool_or(standing) as standing from ("
            "  select _dump_id, _row_number, _row_hash, {version} as version, true as standing from {table} where {old}"
            "  union all select _dump_id, _row_number, _row_hash, {version}, _retracted_by is null from {history}"
            "  where {old}) rows group by 1, 2, 3, 4"
        ).format(
            **names,
            version=sql.SQL("split_part(coalesce({}), '_', 1)").format(columns_sql(feed.token_columns)),
            old=_is_old(feed, version),
        )
    )
    connection.execute(sql.SQL("create index on {wanted} (dump_id, _row_number)").format(**names))
    connection.execute(sql.SQL("analyze {wanted}").format(**names))
    # A row that the load itself set apart is known again by its hash; its dump's frames say by which key that was made.
    rows = connection.execute(
        sql.SQL(
            "select dump_id, array_agg(distinct version order by version), count(*) from ("
            " select dump_id, version from {wanted} union all"
            " select q.dump_id, substring(d.loaded_key from '-k([A-Za-z0-9]+)$') from ops.quarantine q"
            " join ops.dump d using (dump_id) where q.feed = %(feed)s and d.in_effect"
            "  and substring(d.loaded_key from '-k([A-Za-z0-9]+)$') is distinct from %(version)s"
            "  and (q.row_hash is not null or (q.row_key is not null and {keyed}))) found group by 1 order by 1"
        ).format(**names, keyed=sql.Literal(keyed(feed))),
        {"feed": feed.name, "version": version},
    )
    return [Outdated(dump_id, tuple(v for v in versions if v), count) for dump_id, versions, count in rows]


def wanted(connection: psycopg.Connection, feed: Feed, dump_id: int) -> Numbers:
    """The rows of a dump that are to be read again, after `outdated`. Memory: a byte for each row of the dump."""
    rows = connection.execute(
        sql.SQL(
            "select _row_number from {wanted} where dump_id = %(dump_id)s union"
            " select row_number from ops.quarantine where dump_id = %(dump_id)s and row_hash is not null"
        ).format(**_names(feed)),
        {"dump_id": dump_id},
    )
    found = np.fromiter((number for (number,) in rows), np.int64)
    numbers = np.zeros(int(found.max(initial=0)) + 1, np.bool_)
    numbers[found] = True
    return numbers


def forget(connection: psycopg.Connection, feed: Feed, dump_id: int) -> None:
    """Forget what a dump brought: it is to be read once more."""
    for name in ("fresh", "told", "keys"):
        query = sql.SQL("delete from {} where dump_id = %s").format(_names(feed)[name])
        connection.execute(query, [dump_id])


def bring(connection: psycopg.Connection, feed: Feed, dump_id: int, rows: Iterable[pyarrow.RecordBatch]) -> None:
    """What a dump brings with the current key: `_row_number`, `_row_hash` and the token columns."""
    copy_into(connection, _names(feed)["fresh"], (_of(dump_id, batch) for batch in rows))


def tell(connection: psycopg.Connection, feed: Feed, dump_id: int, rows: Iterable[pyarrow.RecordBatch]) -> None:
    """What a dump brings with an older key: `_row_number` and `_row_hash`."""
    copy_into(connection, _names(feed)["told"], (_of(dump_id, batch) for batch in rows))


def bring_keys(connection: psycopg.Connection, feed: Feed, dump_id: int, rows: Iterable[pyarrow.RecordBatch]) -> None:
    """Keys of rows that a dump sets apart, made with the current key: `row_number` and `row_key`."""
    copy_into(connection, _names(feed)["keys"], (_of(dump_id, batch) for batch in rows))


def differing(connection: psycopg.Connection, feed: Feed) -> list[int]:
    """Dumps that do not bring, read again, the rows that table and history have of them.

    Stays in the table that were found to be no versions of a row need not be the same: only their tokens are replaced.
    """
    for name in ("fresh", "told"):
        connection.execute(sql.SQL("analyze {}").format(_names(feed)[name]))
    rows = connection.execute(
        sql.SQL(
            "select distinct w.dump_id from {wanted} w"
            " left join {fresh} f using (dump_id, _row_number)"
            " left join {told} o on (o.dump_id, o._row_number, o._row_hash) = (w.dump_id, w._row_number, w._row_hash)"
            " where f.dump_id is null or (w.standing and o.dump_id is null) order by 1"
        ).format(**_names(feed))
    )
    return [number for (number,) in rows]


def apply(connection: psycopg.Connection, feed: Feed, version: str) -> Changed:
    """Replace tokens and row hashes, in the caller's transaction and under the lock of the feed's table.

    Raises:
        psycopg.errors.UniqueViolation: the key holds a token, and two rows of one identifier are there under two keys.
    """
    names = _names(feed)
    tokens = sql.SQL(", ").join(sql.SQL("{0} = f.{0}").format(sql.Identifier(name)) for name in feed.token_columns)
    update = (
        "update {place} t set {tokens},"
        " _row_hash = case when o.dump_id is null then t._row_hash else f._row_hash end"
        " from {wanted} w join {fresh} f using (dump_id, _row_number)"
        " left join (select distinct * from {told}) o"
        "  on (o.dump_id, o._row_number, o._row_hash) = (w.dump_id, w._row_number, w._row_hash)"
        " where (t._dump_id, t._row_number, t._row_hash) = (w.dump_id, w._row_number, w._row_hash) and {old}"
    )
    values = {**names, "tokens": tokens, "old": _is_old(feed, version, "t")}
    counts = [
        connection.execute(sql.SQL(update).format(**values, place=names[place])).rowcount
        for place in ("table", "history")
    ]
    connection.execute("set constraints all immediate")
    joined = _join_versions(connection, feed)
    hashes = connection.execute(
        sql.SQL(
            "update ops.quarantine q set row_hash = f._row_hash"
            " from {told} o join {fresh} f using (dump_id, _row_number)"
            " where (q.dump_id, q.row_number, q.row_hash) = (o.dump_id, o._row_number, o._row_hash)"
        ).format(**names)
    ).rowcount
    keys = connection.execute(
        sql.SQL(
            "update ops.quarantine q set row_key = k.row_key from {keys} k"
            " where (q.dump_id, q.row_number) = (k.dump_id, k.row_number) and q.row_key is distinct from k.row_key"
        ).format(**names)
    ).rowcount
    return Changed(counts[0], counts[1], hashes + keys, joined)


def _join_versions(connection: psycopg.Connection, feed: Feed) -> int:
    """Make one version of two that differed by their tokens' key only.

    A dump that came after the key was changed brings rows that the table has, under other tokens: it updates them. With
    one key they would have been unchanged, and a rebuild finds them so. Where the key is a token, a snapshot deletes
    the row and brings it, which no dump does otherwise.
    """
    columns = (*(c.name for c in feed.stored), *_DUMP)
    names = _names(feed)
    joined = 0
    for place, standing in (("history", "t._retracted_by is null"), ("table", "true")):
        parts = {
            **names,
            "place": names[place],
            "standing": sql.SQL(standing),
            "same": equal(feed.key, "t", "e"),
            "columns": columns_sql(columns),
            "of_e": columns_sql(columns, "e"),
            "of_p": columns_sql(columns, "p"),
            "last": sql.Literal(place == "table"),
        }
        # An earlier version e and the later one t; of several in a row the earliest two first.
        step = sql.SQL(
            "with found as materialized ("
            " select distinct on (t.ctid) t.ctid as later, e.ctid as earlier, {of_e}"
            " from {wanted} w join {history} e on (e._dump_id, e._row_number) = (w.dump_id, w._row_number)"
            " join {place} t on {same} and t._dump_id = e._superseded_dump and t._row_hash = e._row_hash and {standing}"
            " where e._retracted_by is null and e._operation in ('updated', 'deleted')),"
            " pair as materialized ("
            "  select * from found where {last} or earlier not in (select later from found)),"
            " gone as (delete from {history} h using pair p where h.ctid = p.earlier)"
            " update {place} t set ({columns}) = row({of_p}) from pair p where t.ctid = p.later"
        ).format(**parts)
        while done := connection.execute(step).rowcount:
            joined += done
        if keyed(feed):
            connection.execute(
                sql.SQL(
                    "update {history} e set _operation = 'updated' from {place} t where e._operation = 'deleted'"
                    " and e._retracted_by is null and t._dump_id = e._superseded_dump and {same} and {standing}"
                ).format(**parts)
            )
    return joined


def note_frames(connection: psycopg.Connection, dump_id: int, frames_key: str) -> int:
    """Name the frames of a dump that are of the current key; the older ones become leftovers, which a prune deletes.

    Frames that wait for a load are left alone: the load sees that their key is another one, and makes them anew.

    Returns:
        1 where the ledger named others, 0 where it did not.
    """
    return connection.execute(
        "update ops.dump set loaded_key = case when loaded_key is null then null else %(key)s end, validated_key ="
        " case when status in ('loaded', 'superseded', 'undone', 'skipped') and validated_key is not null then %(key)s"
        " else validated_key end where dump_id = %(dump_id)s"
        " and (loaded_key is not null or status in ('loaded', 'superseded', 'undone', 'skipped'))",
        {"key": frames_key, "dump_id": dump_id},
    ).rowcount


# ---------------------------------------------------------------------------------------------- which keys are in use


@dataclass(frozen=True)
class Use:
    """Rows that hold something of one version of a key.

    Attributes:
        key: "token" or "quarantine".
        version: of the key.
        where: "schema.table", or what it is.
        rows: how many.
    """

    key: str
    version: str
    where: str
    rows: int


def token_uses(connection: psycopg.Connection, feed: Feed) -> list[Use]:
    """Versions of the tokens in a feed's table and history."""
    found = []
    for table in (table_of(feed), history_of(feed)):
        rows = connection.execute(
            sql.SQL(
                "select v.version, count(*) from {table} cross join lateral ("
                " select distinct split_part(token, '_', 1) as version from unnest(array[{tokens}]) as token"
                " where token is not null) v group by 1 order by 1"
            ).format(table=table, tokens=columns_sql(feed.token_columns))
        )
        name = table.as_string(None).replace('"', "")
        found += [Use("token", version, name, count) for version, count in rows]
    return found


def registered_uses(connection: psycopg.Connection) -> list[Use]:
    """Versions under which erased persons are registered and no later one is: without the key they come back unseen."""
    rows = connection.execute(
        "select split_part(values[1], '_', 1), count(*) from ops.withheld w where dataset = '' and not exists ("
        " select 1 from ops.withheld l where (l.sender, l.dataset, l.person) = (w.sender, '', w.person)"
        "  and l.withheld_id > w.withheld_id) group by 1 order by 1"
    )
    return [Use("token", version, "register of erased persons", count) for version, count in rows]


def sealed_uses(connection: psycopg.Connection) -> list[Use]:
    """Versions of the keys that seal rows in quarantine, by feed, resolved rows included."""
    rows = connection.execute(
        "select key_version, feed || case when resolved_at is null then ' (open)' else ' (resolved)' end, count(*)"
        " from ops.quarantine group by 1, 2 order by 1, 2"
    )
    return [Use("quarantine", *row) for row in rows]


def _names(feed: Feed) -> dict[str, sql.Identifier]:
    """The feed's tables, and the temporary ones of this work."""
    temporary = {name: sql.Identifier(f"{name}_{feed.dataset}"[:63]) for name in ("wanted", "fresh", "told", "keys")}
    return {"table": table_of(feed), "history": history_of(feed), **temporary}


def _is_old(feed: Feed, version: str, prefix: str = "") -> sql.Composed:
    """Condition that a row has a token of another key."""
    columns = [sql.Identifier(*([prefix] if prefix else []), name) for name in feed.token_columns]
    old = [sql.SQL("not starts_with({}, {})").format(column, sql.Literal(f"{version}_")) for column in columns]
    return sql.SQL("({})").format(sql.SQL(" or ").join(old))


def _of(dump_id: int, batch: pyarrow.RecordBatch) -> pyarrow.RecordBatch:
    return batch.append_column("dump_id", pyarrow.repeat(pyarrow.scalar(dump_id, pyarrow.int64()), batch.num_rows))
