"""The hash chains of the audit, recomputed from its entries: the first broken link of each chain, and the heads.

Belongs here: reading `ops.audit_link` and `ops.audit_head`, and the verdict on a chain. Does not belong here: writing
them (a trigger does, migrations/0011_audit_chain.sql), heads that are kept elsewhere (auditing.py).

The hashes are computed here and not by a function of the database, which its owner could replace. What the database
alone cannot show is history that its owner has written anew from some entry to the end: heads kept elsewhere do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

import psycopg
from psycopg import sql

_AT_ONCE = 5_000
"""Links fetched at once; bounds memory."""

# jsonb's text of an entry depends on these; the trigger has the same.
_TEXT_FORM = {"timezone": "UTC", "extra_float_digits": "1", "bytea_output": "hex"}

LINKS, HEADS = "ops.audit_link", "ops.audit_head"


class Damage(StrEnum):
    """What is wrong with a link, or with the entry that it stands for."""

    CHANGED = "changed"
    MISSING = "missing"
    INSERTED = "inserted"
    CUT_OFF = "cut off"
    UNCHAINED = "unchained"  # the table's trigger is gone or disabled: what is written now is not linked


@dataclass(frozen=True)
class Head:
    """Where a chain ends: how many entries it has, and the hash (hex) of the last link."""

    entries: int
    hash: str


@dataclass(frozen=True)
class Break:
    """The first broken link of a chain.

    Attributes:
        chain: its name.
        what: what is wrong there.
        table: of the entry; `LINKS` or `HEADS` where these themselves are wrong.
        entry_id: key of the entry; None where no entry is known.
        number: of the link, from 1; None for an entry without a link.
        note: in words.
    """

    chain: str
    what: Damage
    table: str
    entry_id: int | None
    number: int | None
    note: str


@dataclass(frozen=True)
class Verified:
    """What a verification found.

    Attributes:
        heads: where each chain ends, as recomputed up to its first broken link.
        entries: entries whose links hold.
        breaks: the first broken link of each chain that is not whole, and the first entry without a link.
    """

    heads: dict[str, Head]
    entries: int
    breaks: tuple[Break, ...]

    @property
    def unbroken(self) -> bool:
        """Whether nothing is wrong."""
        return not self.breaks


@dataclass(frozen=True)
class _Link:
    number: int
    table: str
    entry_id: int
    hash: bytes
    text: str | None


def heads(connection: psycopg.Connection) -> dict[str, Head]:
    """Where each chain ends, as the database says; nothing is recomputed."""
    rows = connection.execute("select chain, entries, encode(hash, 'hex') from ops.audit_head order by chain")
    return {chain: Head(entries, digest) for chain, entries, digest in rows}


def days_old(connection: psycopg.Connection) -> int:
    """Whole days since the first link was written; 0 for none."""
    row = connection.execute("select coalesce(now() - min(linked_at), '0') from ops.audit_link").fetchone()
    return row[0].days if row else 0


def verify(
    connection: psycopg.Connection,
    *,
    kept: Mapping[str, Head] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Verified:
    """Recompute every chain from its entries, of one snapshot, in flat memory.

    Args:
        connection: of a user who may read the audit.
        kept: heads that were kept elsewhere; history up to them must be as it was then.
        progress: told of links read so far.

    Returns:
        What was found. A chain is followed to its first broken link; what is behind that proves nothing.
    """
    kept = kept or {}
    breaks: list[Break] = []
    ends: dict[str, Head] = {}
    with _snapshot(connection):
        said = heads(connection)
        tables = _audited(connection)
        linked = {chain for (chain,) in connection.execute("select distinct chain from ops.audit_link")}
        for chain in sorted(said.keys() | linked | kept.keys()):
            found, ends[chain] = _follow(connection, chain, tables, said.get(chain), kept.get(chain), progress)
            breaks += [found] if found else []
        broken = {one.chain for one in breaks}
        breaks += [one for one in _unlinked(connection, tables) if one.chain not in broken]
        breaks += _unchained(connection, {chain.partition(" ")[0] for chain in linked})
    return Verified(ends, sum(head.entries for head in ends.values()), tuple(breaks))


def _follow(
    connection: psycopg.Connection,
    chain: str,
    tables: Mapping[str, str],
    said: Head | None,
    kept: Head | None,
    progress: Callable[[int], None] | None,
) -> tuple[Break | None, Head]:
    """The first break of a chain, if any, and how far it holds."""
    table = chain.partition(" ")[0]
    end = Head(0, hashlib.sha256(chain.encode()).hexdigest())
    if table not in tables:
        return Break(chain, Damage.MISSING, table, None, None, "the audit has no such table"), end
    for link in _links(connection, chain, table, tables[table]):
        after = Head(end.entries + 1, _next(end, link))
        if found := _wrong_link(chain, table, link, after, kept):
            return found, end
        end = after
        if progress is not None and end.entries % _AT_ONCE == 0:
            progress(_AT_ONCE)
    return _wrong_end(chain, table, end, said, kept), end


def _next(end: Head, link: _Link) -> str:
    return hashlib.sha256(bytes.fromhex(end.hash) + (link.text or "").encode()).hexdigest()


def _wrong_link(chain: str, table: str, link: _Link, after: Head, kept: Head | None) -> Break | None:
    """What is wrong with a link; `after` is where the chain should be with it."""
    at = after.entries
    if link.number != at:
        return Break(chain, Damage.MISSING, LINKS, None, at, f"link {at} is missing")
    if link.text is None or link.table != table:
        return Break(chain, Damage.MISSING, table, link.entry_id, at, "the entry is missing")
    if after.hash != link.hash.hex():
        note = "the entry, or its link, is not what was written"
        return Break(chain, Damage.CHANGED, table, link.entry_id, at, note)
    if kept is not None and at == kept.entries and after.hash != kept.hash:
        note = "this entry, or an earlier one, is not what it was when the kept heads were taken"
        return Break(chain, Damage.CHANGED, table, link.entry_id, at, note)
    return None


def _wrong_end(chain: str, table: str, end: Head, said: Head | None, kept: Head | None) -> Break | None:
    """What is wrong behind the last link."""
    most = max((head.entries for head in (said, kept) if head is not None), default=0)
    if end.entries < most:
        note = f"the last {most - end.entries:,} entries are missing"
        return Break(chain, Damage.CUT_OFF, table, None, end.entries + 1, note)
    if said is None:
        return Break(chain, Damage.MISSING, HEADS, None, None, "the chain's head is missing")
    if end.entries > said.entries:
        return Break(chain, Damage.INSERTED, LINKS, None, said.entries + 1, "links behind the chain's head")
    if end.hash != said.hash:
        return Break(chain, Damage.CHANGED, HEADS, None, end.entries, "the head is not the hash of the last link")
    return None


def _links(connection: psycopg.Connection, chain: str, table: str, key: str) -> Iterator[_Link]:
    """The links of a chain in their order, each with its entry's text, of the columns that it covers."""
    columns = sorted(
        name
        for (name,) in connection.execute(
            "select attname from pg_attribute where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped",
            [table],
        )
    )
    query = sql.SQL(
        "select l.number, l.table_name, l.entry_id, l.hash,"
        " case when e.{key} is null then null when l.columns = %(columns)s then to_jsonb(e)::text else"
        "  (select jsonb_object_agg(j.key, j.value)::text from jsonb_each(to_jsonb(e)) j where j.key = any(l.columns))"
        " end from ops.audit_link l left join {table} e on e.{key} = l.entry_id"
        " where l.chain = %(chain)s order by l.number"
    ).format(table=sql.Identifier(*table.split(".")), key=sql.Identifier(key))
    with connection.cursor("links") as cursor:
        cursor.itersize = _AT_ONCE
        cursor.execute(query, {"columns": columns, "chain": chain})
        for row in cursor:
            yield _Link(*row)


def _unlinked(connection: psycopg.Connection, tables: Mapping[str, str]) -> Iterator[Break]:
    """The first entry of each table that no link stands for."""
    for table, key in sorted(tables.items()):
        row = connection.execute(
            sql.SQL(
                "select min(e.{key}), count(*) from {table} e where not exists"
                " (select 1 from ops.audit_link l where l.table_name = %s and l.entry_id = e.{key})"
            ).format(table=sql.Identifier(*table.split(".")), key=sql.Identifier(key)),
            [table],
        ).fetchone()
        if row is not None and row[1]:
            yield Break(table, Damage.INSERTED, table, row[0], None, f"{row[1]:,} entries have no link")


def _unchained(connection: psycopg.Connection, chained: set[str]) -> Iterator[Break]:
    """Tables with links whose trigger does not work any more."""
    rows = connection.execute(
        "select n.nspname || '.' || c.relname from pg_trigger t join pg_class c on c.oid = t.tgrelid"
        " join pg_namespace n on n.oid = c.relnamespace where t.tgname = 'audit_chained' and t.tgenabled in ('O', 'A')"
    )
    for table in sorted(chained - {name for (name,) in rows}):
        yield Break(table, Damage.UNCHAINED, table, None, None, "its trigger is gone or off: nothing new is linked")


def _audited(connection: psycopg.Connection) -> dict[str, str]:
    """Tables of the chained audit ("schema.table"), by trigger or by link, and the name of their key column."""
    rows = connection.execute(
        "select n.nspname || '.' || c.relname, a.attname"
        " from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " join pg_index i on i.indrelid = c.oid and i.indisprimary"
        " join pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[0]"
        " where exists (select 1 from pg_trigger t where t.tgrelid = c.oid and t.tgname = 'audit_chained')"
        "  or exists (select 1 from ops.audit_head h where split_part(h.chain, ' ', 1) = n.nspname || '.' || c.relname)"
    )
    return dict(rows.fetchall())


@contextmanager
def _snapshot(connection: psycopg.Connection) -> Iterator[None]:
    """One snapshot for all that is read, under the settings of the trigger."""
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        for name, value in _TEXT_FORM.items():
            connection.execute("select set_config(%s, %s, true)", [name, value])
        yield
