"""Taking a person's rows out of tables, history and quarantine, as SQL; and what is remembered of it.

Belongs here: which rows are a person's by what is stored, deleting them, `ops.erasure`. Does not belong here: frames
and sealed rows (erasure/ beside flow), the register (withheld.py).

Keys of rows that are a person's are in temporary tables, `gone_<dataset>`: by them, and by tokens, rows are found.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from claims_pipeline.feeds import Feed
from claims_pipeline.warehouse.ddl import columns_sql, history_of, sql_type, table_of
from claims_pipeline.warehouse.merge import equal
from claims_pipeline.warehouse.withheld import Values

Places = dict[int, set[int]]
"""Row numbers by dump."""

_AT_ONCE = 500  # sealed rows fetched at once: up to 64 MiB each in theory, kilobytes in practice


@dataclass
class Rows:
    """Rows of one feed in table and history.

    Attributes:
        table: how many are in the table.
        history: how many versions are in history.
        keys: their keys, as text.
        places: their row numbers by dump.
        tokens: tokens in them that are not registered.
    """

    table: int = 0
    history: int = 0
    keys: frozenset[Values] = frozenset()
    places: Places = field(default_factory=dict)
    tokens: frozenset[str] = frozenset()


def first_tokens(connection: psycopg.Connection, feed: Feed, tokens: Collection[str]) -> dict[str, set[str]]:
    """By token, of the rows that hold it: their first token that is not NULL, which stands for the person.

    Args:
        connection: to the warehouse.
        feed: a feed whose subject is known by tokens.
        tokens: as stored.
    """
    assert feed.subject is not None  # noqa: S101 - callers looked
    found: dict[str, set[str]] = {}
    for name in feed.subject.tokens:
        query = sql.SQL(
            "select distinct {name}, coalesce({all})"
            " from (select {all} from {table} union all select {all} from {history}) t where {name} = any(%s)"
        ).format(
            name=sql.Identifier(name),
            all=columns_sql(feed.subject.tokens),
            table=table_of(feed),
            history=history_of(feed),
        )
        for token, person in connection.execute(query, [list(tokens)]):
            found.setdefault(token, set()).add(person)
    return found


def mark(connection: psycopg.Connection, feed: Feed, tokens: Collection[str], keys: Iterable[Values]) -> Rows:
    """Find the rows of a feed that are of registered persons; those of the feed that it names must be marked before.

    Args:
        connection: within a transaction; its temporary table `gone_<dataset>` is made anew.
        feed: a feed with a subject.
        tokens: the persons'.
        keys: of rows that are known to be theirs, as text.
    """
    types = {c.name: sql_type(c.arrow) for c in feed.stored}
    gone = _gone(feed.dataset)
    connection.execute(sql.SQL("drop table if exists {}").format(gone))
    connection.execute(
        sql.SQL("create temp table {} ({}) on commit drop").format(
            gone, sql.SQL(", ").join(sql.SQL("{} {}").format(sql.Identifier(n), sql.SQL(types[n])) for n in feed.key)
        )
    )
    with (
        connection.cursor() as cursor,
        cursor.copy(sql.SQL("copy {} ({}) from stdin").format(gone, columns_sql(feed.key))) as copy,
    ):
        for key in keys:
            copy.write_row(key)
    values = {"tokens": list(tokens)}
    own = sql.SQL(
        "select {key} from {table} t where {theirs} union select {key} from {history} t where {theirs}"
    ).format(key=columns_sql(feed.key), table=table_of(feed), history=history_of(feed), theirs=theirs(feed))
    connection.execute(
        sql.SQL("insert into {gone} {own} except select * from {gone}").format(gone=gone, own=own), values
    )
    connection.execute(sql.SQL("analyze {}").format(gone))
    rows = Rows(keys=_texts(connection, feed.key, gone))
    for table, name in ((table_of(feed), "table"), (history_of(feed), "history")):
        query = sql.SQL("select _dump_id, array_agg(_row_number) from {} t where {} group by 1").format(
            table, theirs(feed)
        )
        count = 0
        for dump_id, numbers in connection.execute(query, values):
            count += len(numbers)
            rows.places.setdefault(dump_id, set()).update(numbers)
        setattr(rows, name, count)
    rows.tokens = _other_tokens(connection, feed, values)
    return rows


def theirs(feed: Feed) -> sql.Composed:
    """Condition that a row t of table or history is a marked person's; takes the parameter `tokens`."""
    subject = feed.subject
    assert subject is not None  # noqa: S101 - callers looked
    by_key = sql.SQL("exists (select 1 from {} g where {})").format(_gone(feed.dataset), equal(feed.key, "g", "t"))
    if subject.tokens:
        held = [sql.SQL("t.{} = any(%(tokens)s)").format(sql.Identifier(name)) for name in subject.tokens]
        return sql.SQL("({} or {})").format(sql.SQL(" or ").join(held), by_key)
    assert subject.of is not None  # noqa: S101 - `Subject` has one of the two
    pairs = [
        sql.SQL("p.{} = t.{}").format(sql.Identifier(key), sql.Identifier(by))
        for by, key in zip(subject.by, subject.key, strict=True)
    ]
    nameless = sql.SQL(" or ").join(sql.SQL("t.{} is null").format(sql.Identifier(by)) for by in subject.by)
    return sql.SQL("(exists (select 1 from {parent} p where {pairs}) or ({nameless}) and {by_key})").format(
        parent=_gone(subject.of), pairs=sql.SQL(" and ").join(pairs), nameless=nameless, by_key=by_key
    )


def delete(connection: psycopg.Connection, feed: Feed, tokens: Collection[str]) -> None:
    """Delete the marked rows from table and history. Feeds that name this one's rows may come before or after it."""
    for table in (table_of(feed), history_of(feed)):
        query = sql.SQL("delete from {} t where {}").format(table, theirs(feed))
        connection.execute(query, {"tokens": list(tokens)})


def _gone(dataset: str) -> sql.Identifier:
    return sql.Identifier("pg_temp", f"gone_{dataset}"[:63])


def _texts(connection: psycopg.Connection, key: Sequence[str], table: sql.Composable) -> frozenset[Values]:
    columns = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(name)) for name in key)
    return frozenset(connection.execute(sql.SQL("select {} from {}").format(columns, table)).fetchall())


def _other_tokens(connection: psycopg.Connection, feed: Feed, values: Mapping[str, object]) -> frozenset[str]:
    found: set[str] = set()
    for name in feed.subject.tokens if feed.subject else ():
        for table in (table_of(feed), history_of(feed)):
            query = sql.SQL(
                "select distinct {name} from {table} t"
                " where {name} is not null and {name} <> all(%(tokens)s) and {theirs}"
            ).format(name=sql.Identifier(name), table=table, theirs=theirs(feed))
            found |= {token for (token,) in connection.execute(query, values)}
    return frozenset(found)


# ---------------------------------------------------------------------------------------------- quarantine


@dataclass(frozen=True)
class Sealed:
    """A row in quarantine.

    Attributes:
        quarantine_id: its number.
        dump_id: its dump.
        row_number: its place there.
        key_version: of the key that sealed it.
        sealed: its content.
        by_load: whether the load set it apart: then its content is the row as stored, else as delivered.
    """

    quarantine_id: int
    dump_id: int
    row_number: int
    key_version: str
    sealed: bytes = field(repr=False)
    by_load: bool


def sealed_rows(connection: psycopg.Connection, feed: Feed) -> Iterator[list[Sealed]]:
    """All quarantined rows of a feed whose content is still there, resolved ones too, some at a time."""
    after = 0
    while rows := connection.execute(
        "select quarantine_id, dump_id, row_number, key_version, sealed, row_hash is not null from ops.quarantine"
        " where feed = %s and quarantine_id > %s and sealed <> '' order by quarantine_id limit %s",
        [feed.name, after, _AT_ONCE],
    ).fetchall():
        yield [Sealed(*row) for row in rows]
        after = rows[-1][0]


def delete_sealed(connection: psycopg.Connection, quarantine_ids: Collection[int]) -> None:
    """Delete rows from quarantine."""
    connection.execute("delete from ops.quarantine where quarantine_id = any(%s)", [list(quarantine_ids)])


# ---------------------------------------------------------------------------------------------- the ledger


def frames_written_again(
    connection: psycopg.Connection, dump_id: int, *, old: str, new: str, rows: int, rejects: int
) -> None:
    """Point a dump at frames that lack rows of an erased person: they count as left out."""
    connection.execute(
        "update ops.dump set loaded_key = %s where dump_id = %s and loaded_key = %s", [new, dump_id, old]
    )
    connection.execute(
        "update ops.dump set validated_key = %(new)s, validation = validation || jsonb_build_object("
        " 'filtered', (validation ->> 'filtered')::bigint + %(rows)s + %(rejects)s,"
        " 'quarantined', (validation ->> 'quarantined')::bigint - %(rejects)s,"
        " 'erased', coalesce((validation ->> 'erased')::bigint, 0) + %(rows)s + %(rejects)s)"
        " where dump_id = %(dump_id)s and validated_key = %(old)s",
        {"new": new, "old": old, "dump_id": dump_id, "rows": rows, "rejects": rejects},
    )


def to_be_deleted(connection: psycopg.Connection, erasure_id: int, keys: Collection[str]) -> None:
    """Remember folders of frames that are to be deleted once the erasure is committed."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into ops.erasing (key, erasure_id) values (%s, %s) on conflict do nothing",
            [(key, erasure_id) for key in keys],
        )


def left_to_delete(connection: psycopg.Connection) -> list[str]:
    """Folders of frames from before an erasure that may still be there; none that a dump has in use."""
    rows = connection.execute(
        "select key from ops.erasing e where not exists (select 1 from ops.dump d"
        " where e.key in (d.validated_key, d.loaded_key)) order by key"
    )
    return [key for (key,) in rows]


def is_deleted(connection: psycopg.Connection, key: str) -> None:
    """Forget a folder: nothing is left of it."""
    connection.execute("delete from ops.erasing where key = %s", [key])


# ---------------------------------------------------------------------------------------------- the audit


def next_number(connection: psycopg.Connection) -> int:
    """The number of the erasure at hand."""
    row = connection.execute("select nextval(pg_get_serial_sequence('ops.erasure', 'erasure_id'))").fetchone()
    assert row is not None  # noqa: S101 - a function has a result
    return int(row[0])


def record(
    connection: psycopg.Connection,
    erasure_id: int,
    *,
    kind: str,
    sender: str,
    persons: Sequence[str],
    rows: Mapping[str, int],
    objects: Sequence[Mapping[str, object]],
    not_searched: int,
    unread: int,
    note: str,
    by: str,
    reason: str,
    run_id: str,
) -> None:
    """Append an erasure to the audit; see the columns' comments for the meaning of each."""
    connection.execute(
        "insert into ops.erasure (erasure_id, kind, sender, persons, rows, objects, not_searched, unread, note,"
        " requested_by, reason, run_id) overriding system value"
        " values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        [
            erasure_id, kind, sender, list(persons), Jsonb(dict(rows)), Jsonb(list(objects)), not_searched, unread,
            note, by, reason, run_id,
        ],
    )  # fmt: skip


def note_token_request(connection: psycopg.Connection, *, sender: str, family: str, by: str, reason: str) -> None:
    """Append who has an identifier turned into its tokens, and why. To be committed before they are shown."""
    connection.execute(
        "insert into ops.token_request (sender, family, requested_by, reason) values (%s, %s, %s, %s)",
        [sender, family, by, reason],
    )
