"""Defects to plant into the product of a player, so that it is seen that the soak notices them.

Belongs here: what a careless change could do to the order of writes. Does not belong here: running it (`test_soak`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import psycopg

from claims_pipeline.services import Services
from claims_pipeline.settings import get_settings
from claims_pipeline.vocabulary import DumpStatus
from claims_pipeline.warehouse import ledger, load
from claims_pipeline.warehouse.ledger import Dump


def settles_before_the_commit() -> None:
    """The ledger says "loaded" in a transaction of its own, before the rows are committed."""
    _before_each_load(lambda connection, dump: ledger.settle(connection, dump.dump_id, DumpStatus.LOADED))


def audits_before_the_commit() -> None:
    """The audit tells of a load in a transaction of its own, before the rows are committed."""

    def early(connection: psycopg.Connection, dump: Dump) -> None:
        connection.execute(
            "insert into ops.load (kind, dump_id, feed, run_id, contract, started_at)"
            " values ('cascade', %s, %s, 'early', %s, now())",
            [dump.dump_id, dump.feed, dump.contract],
        )

    _before_each_load(early)


def _before_each_load(early: Callable[[psycopg.Connection, Dump], None]) -> None:
    whole: Callable[..., Any] = load.load_dump

    @functools.wraps(whole)
    def load_dump(connection: psycopg.Connection, feed: object, dump: Dump, **rest: Any) -> Any:
        with Services(get_settings()).database() as another:
            early(another, dump)
            dump = ledger.get(another, dump.dump_id)  # else the load sees that the ledger has gone on without it
        return whole(connection, feed, dump, **rest)

    load.load_dump = load_dump
