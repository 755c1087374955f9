"""Databases for a drill: made beside the warehouse, on its server, and dropped when the drill ends.

Belongs here: making and dropping them. Does not belong here: what a drill does in one. Those that a killed drill left
are dropped by the next one that looks (`sole_drill`), and by upkeep.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg import errors, sql
from psycopg.conninfo import make_conninfo

from claims_pipeline.errors import ClaimsPipelineError, Transient
from claims_pipeline.warehouse.connection import connect
from claims_pipeline.warehouse.upkeep import SCRATCH


@contextmanager
def scratch_database(url: str, label: str) -> Iterator[str]:
    """The conninfo of an empty database on the same server, for as long as the block lasts.

    Args:
        url: of a database there, of a user who may create databases.
        label: lower-case word that tells in its name what it is for.

    Raises:
        ClaimsPipelineError: the user may not create databases.
        Transient: the server cannot be reached.
    """
    name = sql.Identifier(f"{SCRATCH}{label}_{secrets.token_hex(6)}")
    with connect(url) as connection:
        try:
            connection.execute(sql.SQL("create database {} template template0").format(name))
        except errors.InsufficientPrivilege:
            raise ClaimsPipelineError(
                "a drill needs a scratch database, and the database's user may not create one: "
                "`alter role <user> createdb`, or run drills with a user who may"
            ) from None
    try:
        yield make_conninfo(url, dbname=name.as_string(None).strip('"'))
    finally:
        # What the block found is what counts; upkeep drops what stays.
        with suppress(Transient, psycopg.Error), connect(url) as connection:
            connection.execute(sql.SQL("drop database if exists {} with (force)").format(name))


@contextmanager
def sole_drill(url: str, purpose: str) -> Iterator[str]:
    """Be the only drill of its purpose beside a database, and drop what killed ones have left.

    Args:
        url: of the database.
        purpose: lower-case word, such as "restore".

    Yields:
        The label for `scratch_database`: the names of two warehouses on one server do not mix.

    Raises:
        ClaimsPipelineError: another such drill is running.
        Transient: the server cannot be reached.
    """
    with connect(url) as connection:
        row = connection.execute(
            "select oid, pg_try_advisory_lock(hashtextextended(%s, 0)) from pg_database"
            " where datname = current_database()",
            [SCRATCH + purpose],
        ).fetchone()
        assert row is not None  # noqa: S101 - we are connected to it
        label, ours = f"{purpose}_{row[0]}", row[1]
        if not ours:
            raise ClaimsPipelineError(f"another {purpose} drill of this database is running: wait until it has ended")
        left = connection.execute(
            "select datname from pg_database where starts_with(datname::text, %s)", [f"{SCRATCH}{label}_"]
        )
        for (name,) in left.fetchall():
            connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))
        yield label
