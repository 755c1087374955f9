"""The one connection of the dashboard: reads `bi`, refuses a login that could read more, and caches for a minute.

Belongs here: connecting, running a query, errors that a page can explain. Does not belong here: queries.
"""

from __future__ import annotations

import os
import threading

import pandas as pd
import psycopg
import streamlit as st
from psycopg import errors, sql

from claims_pipeline.errors import ClaimsPipelineError

URL_VARIABLE = "CLAIMS_BI_DATABASE_URL"
"""The only setting of this process; `claims-pipeline dashboard` hands it on, and no other."""

CACHE_SECONDS = 60
"""How long an answer is shown again. Reports are refreshed after loads, minutes apart."""

_STATEMENT_SECONDS = 20

# Whoever may look into the pipeline's own schema, or is a superuser, is no reader of `bi` alone.
_SEES_MORE = """
select coalesce((select rolsuper from pg_roles where rolname = current_user), false)
    or exists (select from pg_namespace where nspname not in ('bi', 'pg_catalog', 'information_schema', 'public')
               and nspname !~ '^pg_' and has_schema_privilege(oid, 'usage'))
"""


class UnreachableError(ClaimsPipelineError):
    """The database does not answer, or not in time."""


class NotThereError(ClaimsPipelineError):
    """A view of `bi` does not exist or may not be read: the database was not migrated to this version."""


class NotTheReaderError(ClaimsPipelineError):
    """The login can read more than `bi`."""


class _Link:
    """A connection for all sessions of the process, made again when it was lost."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._connection: psycopg.Connection | None = None

    def rows(self, query: str) -> tuple[list[str], list[tuple[object, ...]]]:
        with self._lock:
            try:
                return self._ask(query)
            except psycopg.OperationalError as error:
                if isinstance(error, errors.QueryCanceled):
                    raise
                self._connection = None  # it was lost since the last query: once more, on a new one
                return self._ask(query)

    def _ask(self, query: str) -> tuple[list[str], list[tuple[object, ...]]]:
        if self._connection is None or self._connection.closed:
            self._connection = _connect(self._url)
        cursor = self._connection.execute(query.encode())
        return [column.name for column in cursor.description or ()], cursor.fetchall()


def _connect(url: str) -> psycopg.Connection:
    connection = psycopg.connect(
        url,
        autocommit=True,
        connect_timeout=5,
        application_name="claims-dashboard",
        options="-c timezone=UTC -c default_transaction_read_only=on"
        f" -c statement_timeout={_STATEMENT_SECONDS}s -c search_path=",
    )
    if connection.execute(_SEES_MORE).fetchone() != (False,):
        connection.close()
        raise NotTheReaderError(
            f"the login of {URL_VARIABLE} can read more than schema bi; the dashboard works with bi_reader only"
        )
    return connection


@st.cache_resource(show_spinner=False)
def _link(url: str) -> _Link:
    return _Link(url)


@st.cache_data(ttl=CACHE_SECONDS, max_entries=2_000, show_spinner=False)
def _answer(url: str, query: str) -> pd.DataFrame:
    # The URL is a part of the key: an answer to one login is never shown to another.
    names, rows = _link(url).rows(query)
    return pd.DataFrame(rows, columns=names)


def ask(query: sql.Composable) -> pd.DataFrame:
    """Rows that a query on `bi` gives, at most a minute old.

    Raises:
        UnreachableError: the database does not answer, or takes too long.
        NotThereError: a view is missing, or this login may not read it.
        NotTheReaderError: the login can read more than `bi`.
    """
    url = os.environ.get(URL_VARIABLE)
    if not url:
        raise UnreachableError(f"{URL_VARIABLE} is not set: start the dashboard by `claims-pipeline dashboard`")
    try:
        return _answer(url, query.as_string(None))
    except errors.QueryCanceled:
        raise UnreachableError(f"a query took longer than {_STATEMENT_SECONDS} s") from None
    except (errors.UndefinedTable, errors.UndefinedColumn, errors.InvalidSchemaName, errors.InsufficientPrivilege):
        raise NotThereError("a view of schema bi is missing, or bi_reader may not read it") from None
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        state = f" (SQLSTATE {error.sqlstate})" if error.sqlstate else ""
        raise UnreachableError(f"the database does not answer{state}") from None
