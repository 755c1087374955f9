"""Who may do what in the warehouse: the four roles, and the rights of each on every kind of object.

Belongs here: the declaration, the roles themselves, their settings, logins of persons. Does not belong here: comparing
the declaration with the catalogue and carrying it out (grants.py), the views that analysts read (analyst.py).

An object without a decision here is granted to nobody; a test reads the catalogue and names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import psycopg
from psycopg import errors, sql
from psycopg.conninfo import conninfo_to_dict

from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.vocabulary import Role

if TYPE_CHECKING:
    from collections.abc import Sequence


PUBLIC = "public"
"""Everybody, as `grant ... to public` means it."""

LOGINS = (Role.LOADER, Role.ANALYST, Role.BI_READER)
"""Roles that the embedded parts connect as; its superuser stands for the owner."""

READERS = (Role.ANALYST, Role.BI_READER)

ANALYST_TIMEOUT = "5min"
"""A question over ten million rows takes seconds; one that takes longer forgot a join condition."""
BI_TIMEOUT = "1min"
"""Longer than any view of `bi` takes, shorter than people wait."""

SETTINGS: Mapping[Role, Mapping[str, str]] = {
    Role.ANALYST: {
        "statement_timeout": ANALYST_TIMEOUT,
        "idle_in_transaction_session_timeout": ANALYST_TIMEOUT,
        "default_transaction_read_only": "on",
        "search_path": "analyst",
    },
    Role.BI_READER: {
        "statement_timeout": BI_TIMEOUT,
        "idle_in_transaction_session_timeout": BI_TIMEOUT,
        "default_transaction_read_only": "on",
        "search_path": "bi",
    },
}
"""Of sessions in this database. They protect the server from accidents, not the data from people: a session may change
them. The loader has none: a load waits for the load before it, and takes as long as its dump is large."""

# ---------------------------------------------------------------------------------------------- rights

Kind = Literal["database", "schema", "table", "view", "sequence", "routine"]
Rights = Mapping[str, frozenset[str]]
"""Privileges by grantee: a role, or PUBLIC."""

MIGRATIONS = ("public", "claims_pipeline_migration")

_APPEND = "SELECT INSERT"
_WRITE = "SELECT INSERT UPDATE"
_ALL_ROWS = "SELECT INSERT UPDATE DELETE"

OPS_TABLES: Mapping[str, str] = {
    "contract": _APPEND,
    "dump": _WRITE,
    "load": _APPEND,
    "quarantine": _WRITE,
    "message": _ALL_ROWS,  # prune deletes old ones
    "backup": _APPEND,
    "upkeep": _APPEND,
    "quarantine_look": _APPEND,
    "decision": _APPEND,
    "rebuild": _APPEND,
    "expectation": _WRITE,
    "audit_link": "",  # a trigger writes them, as the owner, who verifies them
    "audit_head": "",
    "withheld": _APPEND,  # validation adds the tokens by other keys that it meets
    "erasure": "SELECT",
    "erasing": _APPEND,  # a validation that a person was erased under has written frames that are to go
    "token_request": "",
    "report": "SELECT UPDATE",
    "report_part": "SELECT INSERT DELETE",  # cells that protect each other are computed anew together
    "report_seed": "SELECT",
}
"""What the loader may do with the tables of `ops`; a table that is missing here it may not even read."""

OPS_SEQUENCES: Mapping[str, str] = {"load_load_id_seq": "USAGE"}
"""Those that are asked for a number; the others fill identity columns, which needs no right."""

_IN_PUBLIC: Mapping[Kind, Mapping[str, str]] = {
    "schema": {Role.OWNER: "USAGE CREATE", Role.LOADER: "USAGE"},
    "table": {Role.LOADER: "SELECT"},  # of ours there, the migrations: is the database of this version?
}
_DATABASE = {
    Role.OWNER: "CONNECT CREATE TEMPORARY",
    Role.LOADER: "CONNECT TEMPORARY",  # the tables that a load compares with are temporary
    Role.ANALYST: "CONNECT",
    Role.BI_READER: "CONNECT",
}


def rights(
    kind: Kind, schema: str, name: str, *, senders: Sequence[str] = (), reporting: Sequence[str] = ()
) -> Rights | None:
    """Who may do what with an object, besides its owner.

    Args:
        kind: of the object.
        schema: that it lies in, or is.
        name: its name.
        senders: schemas of senders.
        reporting: schemas of senders' reporting views.

    Returns:
        Privileges by grantee, none for everybody who is not named; None where nobody has decided yet.
    """
    found: Mapping[str, str] | Mapping[Role, str] | None = None
    if kind == "database":
        found = _DATABASE
    elif schema == "public":
        found = _IN_PUBLIC.get(kind) if kind == "schema" or (schema, name) == MIGRATIONS else {}
    elif schema in senders:
        found = _loader_alone(kind, {"table": _ALL_ROWS}.get(kind))
    elif schema in reporting or schema == "analyst":
        found = {"schema": {Role.ANALYST: "USAGE"}, "view": {Role.ANALYST: "SELECT"}}.get(kind)
    elif schema == "history":
        found = _loader_alone(kind, {"table": _ALL_ROWS, "view": "SELECT"}.get(kind))
    elif schema == "ops":
        found = _loader_alone(kind, _in_ops(kind, name))
    elif schema == "bi":
        both = {"schema": "USAGE", "view": "SELECT"}.get(kind)
        found = None if both is None else {Role.LOADER: both, Role.BI_READER: both}
    return None if found is None else {grantee: frozenset(text.split()) for grantee, text in found.items()}


def _loader_alone(kind: Kind, privileges: str | None) -> Mapping[Role, str] | None:
    if kind == "schema":
        return {Role.LOADER: "USAGE"}
    return None if privileges is None else {Role.LOADER: privileges}


def _in_ops(kind: Kind, name: str) -> str | None:
    if kind == "table":
        return OPS_TABLES.get(name)
    if kind == "sequence":
        return OPS_SEQUENCES.get(name, "")
    if kind == "routine":
        return ""  # triggers call theirs by themselves
    return "SELECT"


# ---------------------------------------------------------------------------------------------- roles


def missing_roles(connection: psycopg.Connection) -> list[Role]:
    """Roles that the server lacks."""
    found = {name for (name,) in connection.execute("select rolname from pg_roles where rolname = any(%s)", [[*Role]])}
    return [role for role in Role if role not in found]


def ensure_roles(connection: psycopg.Connection) -> list[str]:
    """Make the roles that the server lacks, without passwords: nobody can log in as one until it is given one.

    Looks before it writes. Databases of one server may be migrated at once: whoever comes second finds the roles.

    Returns:
        What was made, a line each.

    Raises:
        ClaimsPipelineError: the user may not make roles; the message has the SQL for one who may.
    """
    made = []
    missing = {role: sql.SQL("create role {} login").format(sql.Identifier(role)) for role in missing_roles(connection)}
    for role, statement in missing.items():
        try:
            with connection.transaction():
                connection.execute(statement)
        except (errors.DuplicateObject, errors.UniqueViolation):
            continue
        except errors.InsufficientPrivilege:
            raise not_allowed(connection, [*missing.values()], "the roles of the warehouse are missing") from None
        made.append(f"created role {role}")
    return made


def carry_out(connection: psycopg.Connection, statements: Sequence[sql.Composed], why: str) -> None:
    """Execute statements about roles and rights.

    Raises:
        ClaimsPipelineError: the user may not; the message has the SQL for one who may.
    """
    try:
        with connection.transaction():
            for statement in statements:
                connection.execute(statement)
    except errors.InsufficientPrivilege:
        raise not_allowed(connection, statements, why) from None


def not_allowed(connection: psycopg.Connection, statements: Sequence[sql.Composed], why: str) -> ClaimsPipelineError:
    """The error that tells a database administrator what to execute."""
    user = connection.info.user
    text = "; ".join(statement.as_string(connection) for statement in statements)
    return ClaimsPipelineError(
        f"{why}, and {user} may not change that. Have someone who may execute this in the database "
        f"{connection.info.dbname}, then `claims-pipeline migrate` again: {text};"
    )


# ---------------------------------------------------------------------------------------------- logins


def login_url(url: str, role: Role, password: str) -> str:
    """The URL of the same database for another user: "postgresql://role:password@host:port/name"."""
    parts = conninfo_to_dict(url)
    return f"postgresql://{role}:{password}@{parts['host']}:{parts['port']}/{parts['dbname']}"


def ensure_passwords(connection: psycopg.Connection, passwords: Mapping[Role, str]) -> None:
    """Give roles without a password one. The server is sent a SCRAM verifier, not the password.

    Args:
        connection: of a superuser.
        passwords: by role.
    """
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", [_LOCK])  # two at once would write one row of pg_authid
        lacking = connection.execute(
            "select rolname from pg_authid where rolpassword is null and rolname = any(%s)", [[*passwords]]
        ).fetchall()
        for (name,) in lacking:
            role = Role(name)
            verifier = connection.pgconn.encrypt_password(passwords[role].encode(), role.encode(), b"scram-sha-256")
            statement = sql.SQL("alter role {} password {}")
            connection.execute(statement.format(sql.Identifier(role), sql.Literal(verifier.decode())))


_LOCK = 526_000_009  # advisory lock: one process at a time gives out passwords


def login_statements(name: str, role: Role, database: str) -> list[sql.Composed]:
    """The SQL that makes a login for a person or a tool: a member of a role, with settings of its own.

    Members inherit the rights of a role, but not its settings. https://www.postgresql.org/docs/current/role-membership.html
    """
    return [
        sql.SQL("create role {} login in role {}").format(sql.Identifier(name), sql.Identifier(role)),
        *setting_statements(name, role, database),
    ]


def setting_statements(name: str, role: Role, database: str) -> list[sql.Composed]:
    """The SQL of a role's settings in a database, for the role itself or a member by name."""
    return [
        sql.SQL("alter role {} in database {} set {} = {}").format(
            sql.Identifier(name), sql.Identifier(database), sql.Identifier(setting), sql.Literal(value)
        )
        for setting, value in SETTINGS.get(role, {}).items()
    ]
