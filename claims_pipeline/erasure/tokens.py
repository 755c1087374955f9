"""The tokens of an identifier, so that a person's request can be answered.

Belongs here: from an identifier to its tokens under every key. Does not belong here: where the identifier comes from,
and finding rows.
"""

from __future__ import annotations

import pyarrow as pa

from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.feeds import Feed, feeds_of
from claims_pipeline.feeds.contract import Column, Token
from claims_pipeline.frames.cast import cast_column
from claims_pipeline.frames.keys import KeyRing
from claims_pipeline.frames.treat import treat
from claims_pipeline.services import Services
from claims_pipeline.warehouse import erasure


def tokens_of(services: Services, *, sender: str, family: str, identifier: str, by: str, reason: str) -> dict[str, str]:
    """The tokens that stand for an identifier, by key version. That somebody asks is noted first, without it.

    Args:
        services: the database and the token ring.
        sender: name of the sender, whose tokens are its own.
        family: family of the tokens, or "dataset.column" of a tokenised column.
        identifier: as delivered.
        by: who asks.
        reason: why; no value of a record.

    Raises:
        ClaimsPipelineError: nothing is tokenised under that name, the identifier is not of its form, or who or why is
            missing. The identifier is not quoted.
        Transient: the database failed.
    """
    if not by.strip() or not reason.strip():
        raise ClaimsPipelineError("say why you ask, with --reason; it is kept with your name")
    feed, column = _column(sender, family)
    cast = cast_column(pa.array([identifier.strip()]), column, timezone=feed.sender.timezone)
    if not identifier.strip() or cast.values.null_count or cast.faults:
        raise ClaimsPipelineError(f"what was given cannot be read as {column.name} of {feed.name}")
    with services.owner_database() as connection:
        erasure.note_token_request(connection, sender=sender, family=family, by=by, reason=reason)
    ring, day = services.keys.token, feed.sender.start
    made = {}
    for version in ring.versions:
        alone = KeyRing(((version, ring.key(version)),))
        made[version] = treat(cast.values, column, sender=sender, keys=alone, delivery_day=day)[0][0].as_py()
    return made


def _column(sender: str, family: str) -> tuple[Feed, Column]:
    named: dict[str, tuple[Feed, Column]] = {}
    for feed in feeds_of(sender):
        for column in feed.columns:
            if isinstance(column.facts.treatment, Token):
                named.setdefault(column.facts.treatment.family or column.name, (feed, column))
                named[f"{feed.dataset}.{column.name}"] = (feed, column)
    if not named:
        raise ClaimsPipelineError(f"no sender with tokens is named {sender!r}")
    if family not in named:
        families = ", ".join(sorted(name for name in named if "." not in name))
        raise ClaimsPipelineError(f"{sender} has no tokens named {family!r}; it has {families} (or dataset.column)")
    return named[family]
