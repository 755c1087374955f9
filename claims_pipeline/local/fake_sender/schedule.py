"""When a sender's dumps are made, and in which order they arrive: with the troubles of real deliveries.

Belongs here: the plan for a sender of any kind, times, order. Does not belong here: what dumps hold.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from zoneinfo import ZoneInfo

from claims_pipeline.feeds import Sender
from claims_pipeline.local.fake_sender import fields
from claims_pipeline.local.fake_sender.dice import Dice

MOST_DAYS = 1 << 16
_ON_THE_WAY = dt.timedelta(minutes=1)  # from a dump's stamp to its arrival
_SHARES = 1 << 20


class Trouble(StrEnum):
    """What can go wrong with a delivery while its file is sound."""

    LATE = "late"  # arrives one to three days after its stamp, when newer dumps have been loaded
    EARLY = "early"  # arrives before its predecessor, ahead of the time in its own name
    OUT_OF_ORDER = "out_of_order"  # changes places with its successor
    REPEATED = "repeated"  # arrives once more: the same bytes under another name
    EMPTY = "empty"  # holds no row


CALM: Mapping[Trouble, float] = {}
LIVELY: Mapping[Trouble, float] = {
    Trouble.LATE: 0.02,
    Trouble.EARLY: 0.02,
    Trouble.OUT_OF_ORDER: 0.03,
    Trouble.REPEATED: 0.02,
    Trouble.EMPTY: 0.02,
}


@dataclass(frozen=True)
class SenderPlan:
    """What to generate for a sender from its contracts.

    Attributes:
        sender: the sender's name.
        first: first delivery day, in the sender's zone.
        days: how many days of the calendar; those without a delivery by the sender's calendar are passed over.
        rows: new rows per dataset and delivery day; re-sent rows come on top, and a world may weigh its datasets.
        seed: another seed is another world.
        dirt: share of the rows with a planted defect, 0..1.
        files_a_day: dumps per dataset and delivery day.
        troubles: share of the dumps with each trouble, 0..1; a dump has one at most.
    """

    sender: str
    first: dt.date
    days: int
    rows: int
    seed: int = 526
    dirt: float = 0.02
    files_a_day: int = 1
    troubles: Mapping[Trouble, float] = field(default_factory=lambda: dict(CALM))

    def __post_init__(self) -> None:
        """Raise ValueError for a plan that cannot be carried out."""
        if not 1 <= self.days <= MOST_DAYS or self.rows < 1:
            raise ValueError(f"days must be 1 to {MOST_DAYS}, and rows 1 or more")
        if not 1 <= self.files_a_day <= 24:
            raise ValueError("files_a_day must be 1 to 24")
        if not 0 <= self.dirt <= 1 or sum(self.troubles.values()) > 1 or min(self.troubles.values(), default=0) < 0:
            raise ValueError("dirt and the troubles' sum are shares: 0 .. 1")


@dataclass(frozen=True)
class Shipment:
    """One dump on its way.

    Attributes:
        number: of its dump among all of its dataset, by stamp, from 0.
        dataset: its dataset.
        day: index of its delivery day among the plan's.
        part: its place among the day's dumps, from 0.
        stamp: when it was made, aware, in the sender's zone; of a repeat, a minute later than the dump it repeats.
        arrives: when it is seen in the inbox, UTC.
        trouble: what is wrong with its delivery.
    """

    number: int
    dataset: str
    day: int
    part: int
    stamp: dt.datetime
    arrives: dt.datetime
    trouble: Trouble | None = None


class Schedule:
    """The times of a plan.

    Attributes:
        days: the delivery days.
        stamps: when the dumps of any dataset are made, by number; aware, in the sender's zone.
    """

    def __init__(self, plan: SenderPlan, sender: Sender, *, first_dump: dt.time | None = None) -> None:
        """Lay out the times.

        Args:
            plan: what to generate.
            sender: its zone and calendar.
            first_dump: local time of a day's first dump; None for an hour before it is due.

        Raises:
            ValueError: no day of the plan is a delivery day.
        """
        self.plan = plan
        zone = ZoneInfo(sender.timezone)
        all_days = [plan.first + dt.timedelta(days=i) for i in range(plan.days)]
        self.days = [day for day in all_days if sender.calendar.expects(day)]
        if not self.days:
            raise ValueError(f"the calendar of {sender.name} knows no delivery in the days of the plan")
        due = sender.calendar.due
        begin = first_dump or due.replace(hour=max(due.hour - 1, 0))
        step = dt.timedelta(minutes=(24 * 60 - begin.hour * 60 - begin.minute) // plan.files_a_day)
        self.stamps = [
            dt.datetime.combine(day, begin, zone) + part * step for day in self.days for part in range(plan.files_a_day)
        ]
        before = self.stamps[0] - dt.timedelta(days=1)
        moments = [round(stamp.timestamp()) * fields.SECOND for stamp in (before, *self.stamps)]
        self.windows = fields.as_ints(moments)  # microseconds since 1970: dump i holds what changed from i to i + 1

    def shipments(self, datasets: list[str]) -> list[Shipment]:
        """All dumps of the datasets, repeats included, in the order of their arrival."""
        dice = Dice(self.plan.seed)
        found = list(itertools.chain.from_iterable(self._of_dataset(name, dice) for name in datasets))
        return sorted(found, key=lambda s: (s.arrives, datasets.index(s.dataset), s.number))

    def _of_dataset(self, dataset: str, dice: Dice) -> list[Shipment]:
        count = len(self.stamps)
        numbers = fields.as_ints(list(range(count)))
        draws = dice.below(f"trouble {dataset}", numbers, _SHARES).tolist()
        delays = (1 + dice.below(f"delay {dataset}", numbers, 3)).tolist()
        on_time = [stamp.astimezone(dt.UTC) + _ON_THE_WAY for stamp in self.stamps]
        found = []
        for number, stamp in enumerate(self.stamps):
            trouble = self._trouble(draws[number] / _SHARES)
            arrives = on_time[number]
            if trouble is Trouble.LATE:
                arrives += dt.timedelta(days=delays[number], hours=3)
            elif trouble is Trouble.EARLY:
                arrives = on_time[max(number - 1, 0)] - 10 * _ON_THE_WAY
            elif trouble is Trouble.OUT_OF_ORDER:
                arrives = on_time[min(number + 1, count - 1)] + _ON_THE_WAY
            day, part = divmod(number, self.plan.files_a_day)
            repeated = trouble is Trouble.REPEATED
            found.append(Shipment(number, dataset, day, part, stamp, arrives, None if repeated else trouble))
            if repeated:
                later = stamp + _ON_THE_WAY
                found.append(Shipment(number, dataset, day, part, later, arrives + _ON_THE_WAY, trouble))
        return found

    def _trouble(self, draw: float) -> Trouble | None:
        for trouble, share in self.plan.troubles.items():
            if draw < share:
                return trouble
            draw -= share
        return None
