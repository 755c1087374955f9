"""Views that follow from a contract: for analysts, under names that readers know, and of the past.

Belongs here: when they are made (anew by every migration), and that of the past. Does not belong here: tables (ddl.py),
what analysts may see (analyst.py), counts for BI (bi/), roles.
"""

from __future__ import annotations

import psycopg
from psycopg import sql

from claims_pipeline.feeds import Feed
from claims_pipeline.warehouse.analyst import ensure_analyst_views, versions_sql
from claims_pipeline.warehouse.ddl import ensure_view


def ensure_views(connection: psycopg.Connection, feed: Feed) -> None:
    """Make the feed's views as the contract says."""
    _versions(connection, feed)
    ensure_analyst_views(connection, feed)


def _versions(connection: psycopg.Connection, feed: Feed) -> None:
    """Every version of every row with its two times: what a row, or the table, was on a day."""
    view = sql.Identifier("history", f"{feed.sender.name}__{feed.dataset}__versions"[:63])
    text = (
        f"{feed.title} Every version. delivered_from/to: by time stamps of dumps, NULL where a version was found wrong "
        "later; shown_from/to: when it stood in the table."
    )
    ensure_view(connection, view, versions_sql(feed, [c.name for c in feed.stored]), text, barrier=False)
