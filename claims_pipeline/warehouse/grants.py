"""Brings rights and ownership in the database to the declaration in roles.py, and tells what they are.

Belongs here: reading the catalogue, the differences, carrying them out. Does not belong here: who may do what.

Everything is compared before it is written: where nothing differs, nothing is. Rights of roles that are not ours stay
as their administrators made them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import psycopg
from psycopg import sql

from claims_pipeline.feeds import Feed
from claims_pipeline.vocabulary import Role
from claims_pipeline.warehouse import roles
from claims_pipeline.warehouse.roles import MIGRATIONS, PUBLIC, READERS, Kind, Rights

_SCHEMAS = ("ops", "history", "analyst", "bi")
_OF_COLUMNS = " (some columns)"
"""Behind a privilege that is held for columns alone: `grant select (name) on ...`."""


@dataclass(frozen=True)
class Object:
    """Something that rights can be given to, as the catalogue has it.

    Attributes:
        kind: what it is.
        schema: where it lies, or its own name; empty for the database.
        name: its name.
        place: quoted and qualified, with argument types, for statements.
        owner: role.
        ours: whether claims_owner is to own it.
        held: privileges of everybody but the owner, by grantee; those of columns alone say so.
    """

    kind: Kind
    schema: str
    name: str
    place: str
    owner: str
    ours: bool
    held: Rights


@dataclass(frozen=True)
class Schemas:
    """The schemas of the feeds of a database."""

    senders: tuple[str, ...]
    reporting: tuple[str, ...]

    @staticmethod
    def of(feeds: Iterable[Feed]) -> Schemas:
        """Those of some feeds."""
        senders = dict.fromkeys(feed.sender for feed in feeds)
        named = dict.fromkeys(sender.reporting_schema for sender in senders if sender.reporting_schema)
        return Schemas(tuple(sender.name for sender in senders), tuple(named))

    def wanted(self, found: Object) -> Rights:
        """Who may do what with an object; nobody anything where nothing was decided."""
        return roles.rights(found.kind, found.schema, found.name, senders=self.senders, reporting=self.reporting) or {}


# An identity column's sequence changes its owner with the table.
_OBJECTS = """
with object (kind, schema, name, id, place, owner, ours, acl) as (
    select 'database', '', datname, oid, quote_ident(datname), datdba, false, coalesce(datacl, acldefault('d', datdba))
    from pg_database where datname = current_database()
    union all
    select 'schema', nspname, nspname, oid, quote_ident(nspname), nspowner, nspname <> 'public',
           coalesce(nspacl, acldefault('n', nspowner))
    from pg_namespace where nspname = any(%(schemas)s) or nspname = 'public'
    union all
    select case when c.relkind = 'S' then 'sequence' when c.relkind in ('v', 'm') then 'view' else 'table' end,
           n.nspname, c.relname, c.oid, format('%%I.%%I', n.nspname, c.relname), c.relowner,
           c.relkind <> 'S' or not exists (
               select from pg_depend d
               where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype in ('a', 'i')),
           coalesce(c.relacl, acldefault(case c.relkind when 'S' then 's' else 'r' end::"char", c.relowner))
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
      and (n.nspname = any(%(schemas)s) or (n.nspname, c.relname) = (%(public)s, %(migrations)s))
    union all
    select 'routine', n.nspname, p.proname, p.oid,
           format('%%I.%%I(%%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)), p.proowner, true,
           coalesce(p.proacl, acldefault('f', p.proowner))
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = any(%(schemas)s)
)
select o.kind, o.schema, o.name, o.place, w.rolname, o.ours,
       case a.grantee when 0 then %(everybody)s else g.rolname end, a.privilege_type
from object o
join pg_roles w on w.oid = o.owner
left join lateral (
    select grantee, privilege_type from aclexplode(o.acl)
    union all
    select x.grantee, x.privilege_type || %(of_columns)s
    from pg_attribute t cross join lateral aclexplode(t.attacl) x
    where o.kind in ('table', 'view') and t.attrelid = o.id and t.attacl is not null
) a on a.grantee <> o.owner
left join pg_roles g on g.oid = a.grantee
order by array_position(array['database', 'schema'], o.kind), o.place
"""


def objects(connection: psycopg.Connection, schemas: Schemas) -> list[Object]:
    """Every object of ours, the database and schema public, with who may do what now."""
    rows = connection.execute(
        _OBJECTS,
        {
            "schemas": [*_SCHEMAS, *schemas.senders, *schemas.reporting],
            "public": MIGRATIONS[0],
            "migrations": MIGRATIONS[1],
            "everybody": PUBLIC,
            "of_columns": _OF_COLUMNS,
        },
    )
    held: dict[tuple[str, ...], defaultdict[str, set[str]]] = {}
    for *found, grantee, privilege in rows:
        one = held.setdefault(tuple(found), defaultdict(set))
        if grantee is not None:
            one[grantee].add(privilege)
    return [
        Object(
            cast("Kind", kind), schema, name, place, owner, bool(ours),
            {grantee: frozenset(privileges) for grantee, privileges in of_one.items()},
        )
        for (kind, schema, name, place, owner, ours), of_one in held.items()
    ]  # fmt: skip


# ---------------------------------------------------------------------------------------------- ownership


@contextmanager
def as_owner(connection: psycopg.Connection, feeds: Iterable[Feed]) -> Iterator[list[str]]:
    """Work as claims_owner, so that it owns what is made; what a user of an older version owns is handed over first.

    Args:
        connection: within a transaction; of claims_owner, or of one who may make it and become it.
        feeds: whose schemas count.

    Yields:
        What was changed, a line each; the caller adds to it.

    Raises:
        ClaimsPipelineError: the user may not; the message has the SQL for one who may.
    """
    changes = roles.ensure_roles(connection)
    _become_possible(connection)
    changes += _hand_over(connection, Schemas.of(feeds))
    before = connection.execute("select current_setting('role')").fetchone()
    assert before is not None  # noqa: S101 - a function has a result
    connection.execute(sql.SQL("set local role {}").format(sql.Identifier(Role.OWNER)))
    yield changes
    connection.execute("select set_config('role', %s, true)", before)  # after an error the rollback does it


def _become_possible(connection: psycopg.Connection) -> None:
    """Let our user act as the owner, and the owner make schemas."""
    owner, needed = sql.Identifier(Role.OWNER), []
    # From Postgres 16 on, who makes a role may give it to others, and is not a member by that itself.
    since_16 = connection.info.server_version >= 160_000
    row = connection.execute(
        "select pg_has_role(%(owner)s::name, 'USAGE') and pg_has_role(%(owner)s::name, %(become)s),"
        " has_database_privilege(%(owner)s::name, current_database(), 'CREATE'),"
        " has_schema_privilege(%(owner)s::name, 'public', 'CREATE')"
        " and has_schema_privilege(%(owner)s::name, 'public', 'USAGE')",
        {"owner": Role.OWNER.value, "become": "SET" if since_16 else "MEMBER"},
    ).fetchone()
    assert row is not None  # noqa: S101 - functions have results
    if not row[0]:
        options = sql.SQL(" with set true, inherit true" if since_16 else "")
        needed.append(sql.SQL("grant {} to current_user{}").format(owner, options))
    if not row[1]:
        database = sql.Identifier(connection.info.dbname)
        needed.append(sql.SQL("grant create on database {} to {}").format(database, owner))
    if not row[2]:
        needed.append(sql.SQL("grant usage, create on schema public to {}").format(owner))
    if needed:
        roles.carry_out(connection, needed, f"{Role.OWNER} cannot make schemas here yet")


def _hand_over(connection: psycopg.Connection, schemas: Schemas) -> list[str]:
    others = [found for found in objects(connection, schemas) if found.ours and found.owner != Role.OWNER]
    if not others:
        return []
    keyword = {"schema": "schema", "routine": "routine"}  # of all others ALTER TABLE changes the owner
    statements = [
        sql.SQL("alter {} {} owner to {}").format(
            sql.SQL(keyword.get(found.kind, "table")), sql.SQL(found.place), sql.Identifier(Role.OWNER)
        )
        for found in others
    ]
    roles.carry_out(connection, statements, f"{len(others)} objects belong to others than {Role.OWNER}")
    return [f"handed {len(others)} objects over to {Role.OWNER}"]


# ---------------------------------------------------------------------------------------------- rights


def ensure_rights(connection: psycopg.Connection, feeds: Iterable[Feed]) -> list[str]:
    """Give and take rights, and set the readers' settings, until they are as declared. Idempotent.

    Returns:
        What was changed, a line each; empty when all was in order.

    Raises:
        ClaimsPipelineError: the user may not; the message has the SQL for one who may.
    """
    schemas = Schemas.of(feeds)
    why = "the rights in this database are not as declared"
    statements = [*_differences(objects(connection, schemas), schemas), *_settings(connection)]
    if not statements:
        return []
    roles.carry_out(connection, statements, why)
    # Postgres only warns where a user may give some rights and not others.
    if left := _differences(objects(connection, schemas), schemas):
        raise roles.not_allowed(connection, left, why)
    return [f"changed rights: {len(statements)} statements"]


def _differences(found: Iterable[Object], schemas: Schemas) -> list[sql.Composed]:
    places: defaultdict[tuple[str, str, str, str], list[str]] = defaultdict(list)
    for one in found:
        wanted = schemas.wanted(one)
        for grantee in (PUBLIC, *Role):
            if grantee == one.owner:
                continue
            now, then = one.held.get(grantee, frozenset()), wanted.get(grantee, frozenset())
            kind = "table" if one.kind == "view" else one.kind
            # Who loses a privilege of a table loses it for its columns.
            if gone := {privilege.removesuffix(_OF_COLUMNS) for privilege in now} - then:
                places["revoke", ", ".join(sorted(gone)), kind, grantee].append(one.place)
            if new := then - now:
                places["grant", ", ".join(sorted(new)), kind, grantee].append(one.place)
    return [
        sql.SQL("{} {} on {} {} {} {}").format(
            *(sql.SQL(part) for part in (verb, privileges, kind, ", ".join(of_these))),
            sql.SQL("from" if verb == "revoke" else "to"),
            sql.SQL(PUBLIC) if grantee == PUBLIC else sql.Identifier(grantee),
        )
        for (verb, privileges, kind, grantee), of_these in places.items()
    ]


def _settings(connection: psycopg.Connection) -> list[sql.Composed]:
    rows = connection.execute(
        "select r.rolname, s.setconfig from pg_db_role_setting s join pg_roles r on r.oid = s.setrole"
        " join pg_database d on d.oid = s.setdatabase where d.datname = current_database() and r.rolname = any(%s)",
        [[*READERS]],
    )
    found = {role: set(settings) for role, settings in rows}
    return [
        statement
        for role in READERS
        if not {f"{name}={value}" for name, value in roles.SETTINGS[role].items()} <= found.get(role, set())
        for statement in roles.setting_statements(role, role, connection.info.dbname)
    ]


def undecided(connection: psycopg.Connection, feeds: Iterable[Feed]) -> list[str]:
    """Objects that roles.py says nothing about, "kind schema.name": granted to nobody."""
    schemas = Schemas.of(feeds)
    return [
        f"{one.kind} {one.place}"
        for one in objects(connection, schemas)
        if roles.rights(one.kind, one.schema, one.name, senders=schemas.senders, reporting=schemas.reporting) is None
    ]


# ---------------------------------------------------------------------------------------------- for people


@dataclass(frozen=True)
class Grant:
    """What somebody may do with some objects of one kind and schema.

    Attributes:
        grantee: role, "public" for everybody.
        schema: where they lie; empty for the database.
        kind: what they are.
        names: their names.
        privileges: what is allowed with each; "OWNER" for everything.
    """

    grantee: str
    schema: str
    kind: Kind
    names: tuple[str, ...]
    privileges: tuple[str, ...]


def all_grants(connection: psycopg.Connection, feeds: Iterable[Feed]) -> list[Grant]:
    """Who may do what in this database, by the catalogue; roles that are not ours included, superusers not."""
    names: defaultdict[tuple[str, str, Kind, tuple[str, ...]], list[str]] = defaultdict(list)
    for one in objects(connection, Schemas.of(feeds)):
        held = {**one.held, one.owner: frozenset({"OWNER"})}
        for grantee, privileges in held.items():
            names[grantee, one.schema, one.kind, tuple(sorted(privileges))].append(one.name)
    return [
        Grant(grantee, schema, kind, tuple(of_these), privileges)
        for (grantee, schema, kind, privileges), of_these in sorted(names.items())
    ]


def members(connection: psycopg.Connection) -> dict[str, list[str]]:
    """Logins that have the rights of each of our roles, by membership, direct or not; superusers left out."""
    rows = connection.execute(
        "select r.rolname, m.rolname from pg_roles r join pg_roles m on m.oid <> r.oid and not m.rolsuper"
        " where r.rolname = any(%s) and pg_has_role(m.oid, r.oid, 'MEMBER') order by 1, 2",
        [[*Role]],
    )
    return _by_role(rows)


def memberships(connection: psycopg.Connection) -> dict[str, list[str]]:
    """Roles of which ours are members, direct or not, and by which they may more than is granted to them.

    "superuser" stands for one that needs no membership. As it should be there are none.
    """
    rows = connection.execute(
        "select distinct r.rolname, case when r.rolsuper then 'superuser' else m.rolname end"
        " from pg_roles r join pg_roles m on m.oid <> r.oid and pg_has_role(r.oid, m.oid, 'MEMBER')"
        " where r.rolname = any(%s) order by 1, 2",
        [[*Role]],
    )
    return _by_role(rows)


def _by_role(rows: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for role, other in rows:
        found[role].append(other)
    return dict(found)
