"""Reports for people and BI tools, brought up to date: as sensors, commands and `catch-up` ask for it.

Belongs here: which reports, on whose connection. Does not belong here: how one is made (`warehouse.bi`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from claims_pipeline import telemetry
from claims_pipeline.feeds import Report, Sender, all_reports, all_senders
from claims_pipeline.services import Services
from claims_pipeline.warehouse.bi import refresh as work
from claims_pipeline.warehouse.bi.refresh import Refreshed


def reports_of(sender: Sender) -> list[Report]:
    """The reports of one sender; empty where it has none."""
    return [report for report in all_reports() if report.sender == sender]


def refresh(services: Services, senders: Iterable[Sender] | None = None, *, force: bool = False) -> list[Refreshed]:
    """Bring reports up to date with tables and today's date; each sender's in one transaction.

    Args:
        services: the database, as the loader.
        senders: whose; None for all.
        force: make them even where nothing was loaded since.

    Raises:
        ClaimsPipelineError: the database is of another version, or the rules do not hold: the old rows stay.
        Transient: the database failed.
    """
    done: list[Refreshed] = []
    with services.database() as connection:
        for sender in all_senders() if senders is None else senders:
            if reports := reports_of(sender):
                of_sender = work.refresh(connection, sender, reports, force=force)
                done += of_sender
                for one in of_sender:
                    if one.made:
                        telemetry.event(
                            "report_refreshed", sender=sender.name, report=one.report, as_of=one.as_of.isoformat(),
                            rows=one.parts, merged=one.merged, seconds=round(one.seconds, 3),
                        )  # fmt: skip
    return done


def due(services: Services, sender: Sender) -> str | None:
    """Identity of the state that a sender's reports lack; None where they are up to date.

    Raises:
        Transient: the database failed.
    """
    reports = reports_of(sender)
    if not reports:
        return None
    with services.database() as connection:
        state = work.lacking(connection, sender, reports)
    return hashlib.sha256(state.encode()).hexdigest()[:24] if state else None
