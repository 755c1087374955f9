"""What one tick of an arrivals sensor hears and lists, within its minute.

Belongs here: S3's events before the listing, the listing alone where they cannot be heard, the sensor's cursor. Does
not belong here: how events are heard (hearing.py), how far a listing goes (extent.py), what is decided (arrivals.py).
"""

from dataclasses import dataclass, field

from claims_pipeline.errors import ClaimsPipelineError, safe_text
from claims_pipeline.extent import Extent, Round
from claims_pipeline.feeds import Sender
from claims_pipeline.hearing import hear
from claims_pipeline.orchestration.resources import PipelineResource
from claims_pipeline.warehouse import ledger


@dataclass
class Tick:
    """One tick; without a cursor, a round through the inbox begins.

    Attributes:
        at: where the last tick has left the round through the inbox; after this one, where it has.
        said: what was heard of events, in words; empty where no queue is set.
    """

    at: Round = field(default_factory=Round)
    said: str = ""
    _extent: Extent | None = None

    @property
    def cursor(self) -> str:
        """What the next tick is to know."""
        return (self._extent.at if self._extent else self.at).text()

    def extent(self, pipeline: PipelineResource, sender: Sender) -> Extent:
        """Hear what S3's events tell, and say what is to be listed besides."""
        confirmed: frozenset[int] = frozenset()
        hearing, services, alerts = False, pipeline.services, pipeline.alerts()
        try:
            heard = hear(services, tell=alerts.not_understood)
        except ClaimsPipelineError as error:  # the listing is there for that; where it fails too, the tick does
            self.said = f"events not heard, so listed: {safe_text(error)}"
            alerts.events({"unheard": 1}, oldest_seconds=None)
        else:
            if heard is not None:
                hearing, self.said = True, f"heard {heard}"
                confirmed = heard.confirmed.get(sender.name, confirmed)
                alerts.events(heard.events, oldest_seconds=heard.oldest_seconds)
        backlog = 0
        if self.at.large:
            with services.database() as connection:
                backlog = ledger.backlog(connection, sender.name)
        self._extent = Extent.of_tick(
            services.s3,
            pipeline.settings,
            sender,
            at=self.at,
            hearing=hearing,
            backlog=backlog,
            confirmed=confirmed,
        )
        return self._extent
