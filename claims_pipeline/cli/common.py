"""What several commands begin with: the parts by the settings, senders and dumps by name, options that they share.

Belongs here: what more than one command asks for. Does not belong here: printing (output.py), telling (telling.py).
Imports nothing of the rooms when it is imported: `--help` is to come at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from claims_pipeline.feeds import Sender
    from claims_pipeline.services import Services
    from claims_pipeline.warehouse.ledger import Dump

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table.")]
SenderName = Annotated[str | None, typer.Option("--sender", help="Only this sender.", show_default="all")]


def make_services() -> Services:
    """The parts that the settings point to.

    Raises:
        SettingsError: a setting is not what it must be.
    """
    from claims_pipeline.services import Services
    from claims_pipeline.settings import get_settings

    return Services(get_settings())


def senders_named(name: str | None) -> list[Sender]:
    """The sender of that name, or all for None.

    Raises:
        ClaimsPipelineError: no such sender; the message lists those that exist.
    """
    from claims_pipeline.errors import ClaimsPipelineError
    from claims_pipeline.feeds import all_senders

    found = [sender for sender in all_senders() if name in (None, sender.name)]
    if not found:
        known = ", ".join(sender.name for sender in all_senders())
        raise ClaimsPipelineError(f"no sender is named {name!r}; known: {known}")
    return found


def the_one(
    found: Sequence[Dump], file: str, *, state: str = "", fits: Callable[[Dump], bool] = lambda _: True
) -> Dump:
    """The one dump that a command is about.

    Args:
        found: dumps of the name that was given, as the ledger finds them.
        file: that name.
        state: what the command takes, in a word for people such as "held"; empty where it takes any.
        fits: whether a dump is in that state.

    Raises:
        ClaimsPipelineError: none fits, or several do; the message says what there is.
    """
    from claims_pipeline.errors import ClaimsPipelineError

    fit = [dump for dump in found if fits(dump)]
    if len(fit) == 1:
        return fit[0]
    if not found:
        raise ClaimsPipelineError(f"no dump is named {file}; names are case-sensitive")
    there = ", ".join(f"dump {dump.dump_id} is {dump.status}" for dump in fit or found)
    if not fit:
        raise ClaimsPipelineError(f"no dump named {file} is {state}: {there}")
    raise ClaimsPipelineError(f"{len(fit)} dumps are named {file} ({there}): give the number of one")
