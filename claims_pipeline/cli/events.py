"""The events queue, for one-shot work: what a tick of the sensor hears, until there is nothing left.

Belongs here: how often to ask, what to print and to tell. Does not belong here: what becomes of an event (hearing.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape

from claims_pipeline.cli.output import err

if TYPE_CHECKING:
    from claims_pipeline.services import Services

_MOST_HEARINGS = 500
"""Of some thousand messages each: an end, should somebody fill the queue faster than it is emptied."""


def hear_out(services: Services) -> None:
    """Empty the events queue, where one is set; the listing that follows finds what they tell of, and more.

    A queue that cannot be read is told of and passed over.
    """
    if services.settings.events_queue_url is None:
        return
    from claims_pipeline.alerting import make_alerts
    from claims_pipeline.errors import ClaimsPipelineError
    from claims_pipeline.flow import Flow
    from claims_pipeline.hearing import hear

    alerts = make_alerts(services.settings)
    Flow(services, run_id="hearing").prepare([])
    try:
        for _ in range(_MOST_HEARINGS):
            heard = hear(services)
            if heard is None or not heard.messages:
                return
            alerts.events(heard.events, oldest_seconds=heard.oldest_seconds, not_understood=heard.not_understood)
            err.print(f"heard {heard}", highlight=False)
    except ClaimsPipelineError as error:
        alerts.events({"unheard": 1}, oldest_seconds=None)
        err.print(f"events not heard, so listed only: {escape(str(error))}", highlight=False)
