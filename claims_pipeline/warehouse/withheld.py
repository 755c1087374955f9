"""The register of erased persons (`ops.withheld`): whom validation leaves out.

Belongs here: reading it, adding to it, and the lock by which a validation and an erasure keep out of each other's way.
Does not belong here: recognising rows (frames), taking rows out (erasure.py).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import psycopg

from claims_pipeline.feeds import Feed

Values = tuple[str, ...]

_LOCK = 5_271
"""First number of the advisory locks on senders' registers; loads use 526, decisions 527."""


@dataclass(frozen=True)
class Register:
    """What is registered of one sender.

    Attributes:
        generation: number of the sender's last erasure; 0 for none. Frames of an earlier one may hold erased persons.
        tokens: tokens, each with the one under which the same identifier was registered first.
        keys: keys of erased rows as text, by dataset.
    """

    generation: int = 0
    tokens: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, frozenset[Values]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether anybody is registered."""
        return bool(self.tokens or self.keys)


def read(connection: psycopg.Connection, sender: str, datasets: Collection[str] | None = None) -> Register:
    """The register of a sender.

    Args:
        connection: to the warehouse.
        sender: its name.
        datasets: of whose rows keys are wanted; None for all.
    """
    rows = connection.execute(
        "select dataset, values, person from ops.withheld"
        " where sender = %s and (dataset = '' or %s or dataset = any(%s))",
        [sender, datasets is None, list(datasets or ())],
    ).fetchall()
    keys: dict[str, set[Values]] = {}
    for dataset, values, _ in rows:
        if dataset:
            keys.setdefault(dataset, set()).add(tuple(values))
    return Register(
        generation(connection, sender),
        {values[0]: person for dataset, values, person in rows if not dataset},
        {dataset: frozenset(found) for dataset, found in keys.items()},
    )


def of_feed(connection: psycopg.Connection, feed: Feed) -> Register:
    """What of the register a feed's rows are compared with."""
    parents = [feed.subject.of] if feed.subject and feed.subject.of else []
    return read(connection, feed.sender.name, [feed.dataset, *parents])


def generation(connection: psycopg.Connection, sender: str) -> int:
    """Number of a sender's last erasure; 0 for none."""
    row = connection.execute("select coalesce(max(erasure_id), 0) from ops.erasure where sender = %s", [sender])
    found = row.fetchone()
    return int(found[0]) if found else 0


def is_still(connection: psycopg.Connection, sender: str, generation_read: int) -> bool:
    """Whether no erasure came since the register was read, and none comes until the transaction ends."""
    connection.execute("select pg_advisory_xact_lock_shared(%s, hashtext(%s))", [_LOCK, sender])
    return generation(connection, sender) == generation_read


def lock(connection: psycopg.Connection, sender: str) -> None:
    """Let no validation of the sender's dumps be noted until the transaction ends."""
    connection.execute("select pg_advisory_xact_lock(%s, hashtext(%s))", [_LOCK, sender])


def add(
    connection: psycopg.Connection,
    sender: str,
    *,
    tokens: Mapping[str, str],
    keys: Mapping[str, Iterable[Values]],
    erasure_id: int | None = None,
) -> int:
    """Add to the register what it lacks; returns how much that was.

    Args:
        connection: to the warehouse.
        sender: its name.
        tokens: tokens, each with the one under which the same identifier was registered first.
        keys: keys of rows by dataset.
        erasure_id: the erasure that adds them; None for what was found later.
    """
    entries: list[tuple[str, list[str], str]] = [("", [token], person) for token, person in sorted(tokens.items())]
    entries += [(dataset, list(key), "") for dataset, found in keys.items() for key in sorted(found)]
    if not entries:
        return 0
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into ops.withheld (erasure_id, sender, dataset, values, person) values (%s, %s, %s, %s, %s)"
            " on conflict do nothing",
            [(erasure_id, sender, *entry) for entry in entries],
        )
        return cursor.rowcount
