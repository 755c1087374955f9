"""What persons decided about dumps, noted twice: in the database, and in the raw archive beside the dump.

Belongs here: the two notes, and approve and reject, which are nothing but a decision. Does not belong here: what undo
and redo do to tables (they call `record`), and reading the notes back into a ledger (the rebuild).

The note in the archive (`<archive key>.decision.<n>.json`, n from 1) is what a rebuild from the archive alone goes by.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import asdict, dataclass
from typing import Literal, get_args

from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.landing import layout, s3
from claims_pipeline.services import Services
from claims_pipeline.warehouse import ledger
from claims_pipeline.warehouse.ledger import Dump

What = Literal["approve", "reject", "undo", "redo"]

MAX_REASON = 500
"""Characters of a reason: a sentence, and no extract of a dump."""


@dataclass(frozen=True)
class Decision:
    """One decision about one dump.

    Attributes:
        number: n of its note, from 1; later decisions have higher ones.
        what: the decision.
        by: who decided.
        reason: why, in that person's words; holds no value of a record.
        at: when, UTC.
    """

    number: int
    what: What
    by: str
    reason: str
    at: dt.datetime


def decide(services: Services, dump: Dump, what: Literal["approve", "reject"], *, by: str, reason: str) -> Dump:
    """Release a held dump, or refuse it for good. An approved one is loaded by the next run, whatever its budget.

    Returns:
        The dump as it is now.

    Raises:
        ClaimsPipelineError: the dump is not held, or who or why is missing.
        Transient: S3 or the database failed; nothing is decided.
    """
    _check(by, reason)
    with services.database() as connection, connection.transaction():
        if what == "approve":
            decided = ledger.approve(connection, dump.dump_id, by)
        else:
            decided = ledger.reject(connection, dump.dump_id, by, reason)
        if not decided:
            raise ClaimsPipelineError(f"dump {dump.dump_id} is not held: there is nothing to {what}")
        record(services, dump, what, by, reason)
        return ledger.get(connection, dump.dump_id)


def record(services: Services, dump: Dump, what: What, by: str, reason: str) -> None:
    """Note a decision. Call it last in the transaction that carries the decision out, before its commit.

    That transaction may have updated the ledger's row of the dump, but must not hold it by `select ... for update`: the
    note refers to the row from another connection, and would wait for ever. When this raises, let the transaction roll
    back, so that nothing is decided without a note. (Should the commit fail after that, a note stays of a decision that
    the person has to repeat.)

    Args:
        services: database and archive.
        dump: which dump.
        what: the decision.
        by: who decided.
        reason: why; no value of a record.

    Raises:
        ClaimsPipelineError: who or why is missing or too long.
        Transient: S3 or the database failed.
    """
    _check(by, reason)
    at = dt.datetime.now(dt.UTC)
    with services.database() as connection, connection.transaction():
        ledger.note_decision(connection, dump.dump_id, what=what, by=by, reason=reason, at=at)  # one at a time per dump
        if dump.archive_key is None:
            return
        number = max((decision.number for decision in read(services, dump.archive_key)), default=0) + 1
        note = {"dump_id": dump.dump_id, **asdict(Decision(number, what, by, reason, at)), "at": at.isoformat()}
        s3.put_bytes(
            services.s3,
            bucket=services.settings.archive_bucket,
            key=layout.decision_key(dump.archive_key, number),
            body=json.dumps(note, indent=1).encode(),
            content_type="application/json",
        )


def read(services: Services, archive_key: str) -> list[Decision]:
    """The decisions about a dump as the raw archive knows them, oldest first.

    Raises:
        ClaimsPipelineError: a note is no note.
        Transient: S3 failed.
    """
    bucket = services.settings.archive_bucket
    found = []
    for page in s3.list_objects(services.s3, bucket, layout.decision_prefix(archive_key)):
        for item in page:
            with s3.open_object(services.s3, bucket=bucket, key=item.key) as body:
                found.append(_understood(body.read(), item.key))
    return sorted(found, key=lambda decision: decision.number)


def _understood(body: bytes, key: str) -> Decision:
    try:
        note = json.loads(body)
        if note["what"] in get_args(What):
            at = dt.datetime.fromisoformat(note["at"])
            return Decision(int(note["number"]), note["what"], note["by"], note["reason"], at)
    except (ValueError, KeyError, TypeError):
        pass
    raise ClaimsPipelineError(f"the archive's note {key} cannot be read as a decision")


def _check(by: str, reason: str) -> None:
    if not by.strip() or not reason.strip():
        raise ClaimsPipelineError("a decision needs who decides and why (--reason)")
    if len(reason) > MAX_REASON:
        raise ClaimsPipelineError(f"the reason is longer than {MAX_REASON} characters; never paste parts of a dump")
