"""Taking one dump out of the tables, and putting it back: undo and redo, as persons ask for them.

Belongs here: the two, composed from flow, warehouse and decisions. Does not belong here: how tables are rewound
(warehouse/chain.py), and the wording for terminals.
"""

from __future__ import annotations

import psycopg

from claims_pipeline import decisions
from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.feeds import Feed, children_of, family
from claims_pipeline.flow import Flow
from claims_pipeline.vocabulary import DumpStatus
from claims_pipeline.warehouse import effect, ledger, load
from claims_pipeline.warehouse.ledger import Dump
from claims_pipeline.warehouse.load import Undone


def undo(flow: Flow, dump: Dump, feed: Feed, *, by: str, reason: str) -> Undone:
    """Take a dump out: its table and history as if it had never come; the earlier versions are in the table again.

    All in one transaction, with the audit, the ledger, and a note in the raw archive. A dump that it had superseded is
    in effect again. The raw bytes stay in the archive.

    Args:
        flow: the steps, for one run.
        dump: the ledger's row of a dump in effect.
        feed: its contract.
        by: who asks.
        reason: why; no value of a record.

    Raises:
        ClaimsPipelineError: the dump is not in effect, or who or why is missing.
        Transient: S3 or the database failed; nothing was changed.
    """
    flow.prepare(family(feed))
    with flow.services.database() as connection, connection.transaction():
        done = take_out(flow, connection, dump, feed, reason=f"{by}: {reason}")
        decisions.record(flow.services, dump, "undo", by, reason)
    return done


def take_out(flow: Flow, connection: psycopg.Connection, dump: Dump, feed: Feed, *, reason: str) -> Undone:
    """The undo itself, in the caller's transaction, without a note of who decided.

    Raises:
        ClaimsPipelineError, Transient: as `undo`.
    """
    done = load.undo_dump(
        connection,
        feed,
        dump,
        seal=flow.sealer(feed),
        frames=flow.frames_in_effect,
        children=children_of(feed),
        run_id=flow.run_id,
        reason=reason,
    )
    ledger.touch(connection, dump.dump_id, flow.run_id)
    return done


def redo(flow: Flow, dump: Dump, feed: Feed, *, by: str, reason: str) -> Dump:
    """Put a dump back that was undone: read again from the archive by the contract of now, and loaded at its place.

    Returns:
        The dump as it is now: loaded, or held or refused if it breaks what it did not break then.

    Raises:
        ClaimsPipelineError: the dump was not undone, or who or why is missing.
        Transient: S3 or the database failed; the dump is open, and the next run goes on with it.
    """
    flow.prepare(family(feed))
    with flow.services.database() as connection, connection.transaction():
        dump = ledger.get(connection, dump.dump_id)
        if dump.status is not DumpStatus.UNDONE:
            raise ClaimsPipelineError(f"dump {dump.dump_id} is {dump.status}: only what was undone can be redone")
        effect.reopen_undone(connection, dump.dump_id)
        decisions.record(flow.services, dump, "redo", by, reason)
        dump = ledger.get(connection, dump.dump_id)
    for step in (flow.archive, flow.validate, flow.load):
        if dump.is_open:
            dump = step(dump, feed)
    return dump
