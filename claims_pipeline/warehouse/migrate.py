"""Brings the database to this version of the code: numbered SQL files, then the tables of all contracts.

Belongs here: running migrations, once each, in order, and recording contracts. Run by the owner role, never by a load.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable
from importlib import resources
from importlib.resources.abc import Traversable

import psycopg
from psycopg.types.json import Jsonb

from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.feeds import Feed, reports_on
from claims_pipeline.warehouse.bi.operations import ensure_operations
from claims_pipeline.warehouse.bi.views import ensure_reports
from claims_pipeline.warehouse.ddl import ensure_feed, lacking
from claims_pipeline.warehouse.grants import as_owner, ensure_rights
from claims_pipeline.warehouse.views import ensure_views

_LOCK = 526_000_001  # advisory lock: one migration at a time


def migrate(connection: psycopg.Connection, feeds: Iterable[Feed]) -> list[str]:
    """Apply what is missing, in one transaction. Idempotent; two at once serialise.

    Everything is made as claims_owner, and rights are brought to the declaration (roles.py).

    Args:
        connection: of claims_owner, or of one who may become it (and make the roles, the first time).
        feeds: whose tables and views to make.

    Returns:
        What was changed, a line each; empty when the database was up to date.

    Raises:
        ClaimsPipelineError: a migration that was applied has changed since, a column's type contradicts, or the user
            may not do what is needed; the message has the SQL for one who may.
    """
    wanted = list(feeds)
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
        with as_owner(connection, wanted) as changes:
            changes += _apply_files(connection)
            changes += ensure_operations(connection)
            for feed in wanted:
                changes += ensure_feed(connection, feed)
                ensure_views(connection, feed)
                if record_contract(connection, feed):
                    changes.append(f"recorded contract {feed.fingerprint[:12]} of {feed.name}")
            changes += ensure_reports(connection, reports_on(wanted), sorted({feed.sender.name for feed in wanted}))
        changes += ensure_rights(connection, wanted)
    return changes


def record_contract(connection: psycopg.Connection, feed: Feed) -> bool:
    """Record the feed's contract in `ops.contract`; False when it was there already."""
    cursor = connection.execute(
        "insert into ops.contract (fingerprint, feed, description) values (%s, %s, %s) on conflict do nothing",
        [feed.fingerprint, feed.name, Jsonb(feed.describe())],
    )
    return cursor.rowcount == 1


def pending(connection: psycopg.Connection, feeds: Iterable[Feed]) -> list[Feed]:
    """Feeds whose contract the database has not recorded in this version; all where a migration is missing."""
    if not is_migrated(connection):
        return list(feeds)
    known = {row[0] for row in connection.execute("select fingerprint from ops.contract")}
    return [feed for feed in feeds if feed.fingerprint not in known]


def record_if_it_fits(connection: psycopg.Connection, feed: Feed) -> bool:
    """Record a contract whose table already has its columns: a loader may do that, without the owner.

    Returns:
        False where the table must change first, and nothing was recorded.
    """
    if not is_migrated(connection) or lacking(connection, feed):
        return False
    record_contract(connection, feed)
    return True


def is_migrated(connection: psycopg.Connection) -> bool:
    """Whether every SQL file of this version has been applied."""
    if connection.execute("select to_regclass('public.claims_pipeline_migration')").fetchone() == (None,):
        return False
    applied = {row[0] for row in connection.execute("select name from public.claims_pipeline_migration")}
    return all(file.name in applied for file in _files())


def set_up_at(connection: psycopg.Connection) -> dt.datetime:
    """When the first SQL file was applied, UTC: the age of a database that is migrated."""
    row = connection.execute("select min(applied_at) from public.claims_pipeline_migration").fetchone()
    assert row is not None  # noqa: S101 - an aggregate has one row
    moment: dt.datetime = row[0]
    return moment


def _files() -> list[Traversable]:
    folder = resources.files("claims_pipeline.warehouse") / "migrations"
    return sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)


def _apply_files(connection: psycopg.Connection) -> list[str]:
    connection.execute(
        "create table if not exists public.claims_pipeline_migration ("
        "name text primary key, sha256 text not null, applied_at timestamptz not null default now())"
    )
    applied: dict[str, str] = dict(
        connection.execute("select name, sha256 from public.claims_pipeline_migration").fetchall()
    )
    changes = []
    for file in _files():
        body = file.read_bytes()
        digest = hashlib.sha256(body).hexdigest()
        if file.name not in applied:
            connection.execute(body)
            connection.execute(
                "insert into public.claims_pipeline_migration (name, sha256) values (%s, %s)", [file.name, digest]
            )
            changes.append(f"applied {file.name}")
        elif applied[file.name] != digest:
            raise ClaimsPipelineError(
                f"migration {file.name} was applied in another form than it has now; "
                "never change an applied migration, add one"
            )
    return changes
