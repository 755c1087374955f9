"""Notes of erasures in the archive bucket: what a rebuild, and a database restored from a backup, learn of them.

Belongs here: the form of a note, writing it, taking what notes say into a database's register. A note holds tokens and
keys as stored, like the frames in the same bucket; no identifier.
"""

from __future__ import annotations

import datetime as dt
import json
import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import psycopg

from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.landing import layout, s3
from claims_pipeline.services import Services
from claims_pipeline.warehouse import withheld
from claims_pipeline.warehouse.withheld import Register, Values

_FORM = 1


@dataclass(frozen=True)
class Note:
    """What an erasure adds to the register.

    Attributes:
        sender: whose person.
        tokens: tokens, each with the one under which the same identifier was registered first.
        keys: keys of erased rows, by dataset.
    """

    sender: str
    tokens: Mapping[str, str]
    keys: Mapping[str, frozenset[Values]]


def new_key(sender: str) -> str:
    """Key of a note that is about to be written."""
    return layout.erasure_key(sender, dt.datetime.now(dt.UTC), secrets.token_hex(4))


def write(services: Services, key: str, note: Note, *, by: str, reason: str) -> None:
    """Write a note. Call it last in the transaction that carries the erasure out: if it raises, let that roll back.

    Raises:
        Transient, ClaimsPipelineError: S3 failed or refused.
    """
    body = {
        "form": _FORM, "sender": note.sender, "by": by, "reason": reason, "at": dt.datetime.now(dt.UTC).isoformat(),
        "tokens": dict(note.tokens), "keys": {dataset: sorted(keys) for dataset, keys in note.keys.items()},
    }  # fmt: skip
    s3.put_bytes(
        services.s3,
        bucket=services.settings.archive_bucket,
        key=key,
        body=json.dumps(body, indent=1).encode(),
        content_type="application/json",
    )


def take_notes(
    services: Services, connection: psycopg.Connection, *, senders: Collection[str] | None = None
) -> set[str]:
    """Add to a database's register what the notes in the archive say and it does not.

    Args:
        services: whose archive.
        connection: to the database.
        senders: only of these; None for all.

    Returns:
        Senders of whom something was added.

    Raises:
        Transient, ClaimsPipelineError: S3 failed, or a note cannot be understood.
    """
    return {
        note.sender
        for note in _read(services)
        if (senders is None or note.sender in senders)
        and withheld.add(connection, note.sender, tokens=note.tokens, keys=note.keys)
    }


def added_to(services: Services, sender: str, register: Register) -> Register:
    """A sender's register as `take_notes` would leave it; nothing is written.

    Raises:
        Transient, ClaimsPipelineError: as `take_notes`.
    """
    tokens, keys = dict(register.tokens), dict(register.keys)
    for note in _read(services):
        if note.sender == sender:
            tokens = {**note.tokens, **tokens}
            keys |= {dataset: keys.get(dataset, frozenset()) | found for dataset, found in note.keys.items()}
    return Register(register.generation, tokens, keys)


def _read(services: Services) -> Iterable[Note]:
    bucket = services.settings.archive_bucket
    for page in s3.list_objects(services.s3, bucket, layout.ERASURES):
        for item in page:
            with s3.open_object(services.s3, bucket=bucket, key=item.key) as body:
                yield _understood(body.read(), item.key)


def _understood(body: bytes, key: str) -> Note:
    try:
        said = json.loads(body)
        if said["form"] == _FORM:
            keys = {str(d): frozenset(tuple(map(str, k)) for k in found) for d, found in said["keys"].items()}
            return Note(str(said["sender"]), {str(t): str(p) for t, p in said["tokens"].items()}, keys)
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise ClaimsPipelineError(f"the archive's note {key} cannot be read as an erasure")
