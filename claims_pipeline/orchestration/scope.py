"""How much of the pipeline a code location holds: everything, some senders alone, or the rest.

Belongs here: `CLAIMS_SENDERS` and `CLAIMS_SENDERS_ELSEWHERE`, and whether they make sense. Does not belong here: what
is made of it (definitions.py), whether every sender is looked after (unwatched.py).

What there is once (backups, prune, digest...) is with the location that is not named after senders, and so is a sender
that no setting names: a new one is never forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass

from claims_pipeline.errors import SettingsError
from claims_pipeline.feeds import Sender, all_senders
from claims_pipeline.settings import Settings


@dataclass(frozen=True)
class Scope:
    """What a code location holds.

    Attributes:
        senders: whose assets, sensors and schedules.
        upkeep: whether it holds besides what there is once.
    """

    senders: tuple[Sender, ...]
    upkeep: bool


def everything() -> Scope:
    """All senders and upkeep: the only code location."""
    return Scope(all_senders(), upkeep=True)


def scope_of(settings: Settings) -> Scope:
    """What the settings ask for.

    Raises:
        SettingsError: an unknown sender, or both settings at once.
    """
    only, elsewhere = settings.senders.strip(), settings.senders_elsewhere.strip()
    if only and elsewhere:
        raise SettingsError(
            "CLAIMS_SENDERS and CLAIMS_SENDERS_ELSEWHERE are both set: a code location has either some senders alone, "
            "or all others and upkeep"
        )
    if only:
        chosen = _named("CLAIMS_SENDERS", only)
        return Scope(tuple(sender for sender in all_senders() if sender.name in chosen), upkeep=False)
    others = _named("CLAIMS_SENDERS_ELSEWHERE", elsewhere) if elsewhere else frozenset()
    return Scope(tuple(sender for sender in all_senders() if sender.name not in others), upkeep=True)


def _named(setting: str, text: str) -> frozenset[str]:
    names = frozenset(name.strip() for name in text.split(","))
    known = [sender.name for sender in all_senders()]
    if unknown := sorted(names - set(known)):
        raise SettingsError(f"{setting} names no sender: {', '.join(map(repr, unknown))}; known: {', '.join(known)}")
    return names
