"""Connections to the warehouse, and which of Postgres' errors may pass if tried again.

Belongs here: how to connect, and the sorting of errors. Does not belong here: SQL of any room.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors

from claims_pipeline.errors import Transient

# Classes of SQLSTATE that a later attempt may not meet again. https://www.postgresql.org/docs/current/errcodes-appendix.html
_PASSING = (
    errors.SerializationFailure,
    errors.DeadlockDetected,
    errors.LockNotAvailable,
    errors.TooManyConnections,
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.CannotConnectNow,
    errors.QueryCanceled,
    errors.DiskFull,
)


def is_transient(error: BaseException) -> bool:
    """Whether trying again may help: a lost or refused connection, a serialization failure, a server going down."""
    if isinstance(error, _PASSING):
        return True
    # Without a SQLSTATE it is the connection itself that failed.
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) and error.sqlstate is None


@contextmanager
def transient_errors() -> Iterator[None]:
    """Turn Postgres' passing errors into `Transient`, without their text.

    Raises:
        Transient: in place of an error that may pass.
    """
    try:
        yield
    except psycopg.Error as error:
        if is_transient(error):
            state = f", SQLSTATE {error.sqlstate}" if error.sqlstate else ""
            raise Transient(f"Postgres did not finish ({type(error).__name__}{state}); it may if tried again") from None
        raise


@contextmanager
def connect(url: str) -> Iterator[psycopg.Connection]:
    """A connection in UTC, closed at the end; each `with connection.transaction()` is one transaction.

    Raises:
        Transient: the server cannot be reached, or was lost within the block.
    """
    with (
        transient_errors(),
        psycopg.connect(
            url,
            autocommit=True,
            connect_timeout=10,
            application_name="claims-pipeline",
            options="-c timezone=UTC -c statement_timeout=0 -c client_min_messages=warning",
            keepalives_idle=30,
        ) as connection,
    ):
        yield connection
