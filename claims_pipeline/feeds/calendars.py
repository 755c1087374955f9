"""When dumps are due: weekdays, holidays, the hour, and what is early, late or too many.

Belongs here: the calendar of a sender or feed, as declared, and moments that follow from it alone. Does not belong
here: what has arrived (deliveries.py).
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from zoneinfo import ZoneInfo

_DAY = dt.timedelta(days=1)
_WEEK = 7
_YEARS_AHEAD = 10
"""Easter and lunar holidays move: ten years hold the longest pause that a calendar makes, or nearly."""


@dataclass(frozen=True)
class Holidays:
    """Public holidays, days in lieu included, as the library `holidays` knows them for past and coming years.

    Attributes:
        country: ISO 3166-1 code; "US" alone means the federal holidays.
        subdivision: the library's code of a state or region, such as "AUK" of "NZ", whose holidays count too.
    """

    country: str
    subdivision: str | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a country or subdivision that the library does not know, at import."""
        from holidays import country_holidays  # 0.2 s, which calendars without holidays save

        try:
            country_holidays(self.country, subdiv=self.subdivision, years=())
        except NotImplementedError as error:
            raise ValueError(f"unknown holidays: {error}") from None

    def __str__(self) -> str:
        """Such as "holidays of NZ-AUK"."""
        return f"holidays of {self.country}" + (f"-{self.subdivision}" if self.subdivision else "")

    def name_of(self, day: dt.date) -> str | None:
        """What the holiday is called; None for other days."""
        return _named(self.country, self.subdivision, day.year).get(day)


@functools.cache
def _named(country: str, subdivision: str | None, year: int) -> Mapping[dt.date, str]:
    from holidays import country_holidays

    # A holiday of the next year may be observed in this one, as New Year's Day on 31 December: the library knows.
    return dict(country_holidays(country, subdiv=subdivision, years=year))


@dataclass(frozen=True)
class Calendar:
    """When a sender delivers. Times of day are of the sender's zone.

    Attributes:
        weekdays: ISO weekdays on which a dump is due, 1 Monday .. 7 Sunday.
        due: time of the delivery day by which its dump must have arrived.
        holidays: days on which none is due, though their weekday says so; None for none. One that comes is welcome.
        grace: how much longer is waited before a dump is missing; one that comes meanwhile is late.
        earliest: time of the delivery day before which a dump is early; None where none can be.
        dumps: how many are due a day, told apart by their names; more are one too many ("double").
    """

    weekdays: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7)
    due: dt.time = dt.time(9, 0)
    holidays: Holidays | None = None
    grace: dt.timedelta = dt.timedelta(0)
    earliest: dt.time | None = None
    dumps: int = 1

    def __post_init__(self) -> None:
        """Raise ValueError for a calendar that contradicts itself, at import."""
        if not self.weekdays or set(self.weekdays) - set(range(1, _WEEK + 1)):
            raise ValueError(f"weekdays are 1 Monday to 7 Sunday, one at least: {self.weekdays}")
        if self.due.tzinfo or (self.earliest and self.earliest.tzinfo):
            raise ValueError("due and earliest are times of the sender's zone, without a zone of their own")
        if self.earliest and self.earliest >= self.due:
            raise ValueError(f"the earliest time, {self.earliest}, is not before the dump is due, {self.due}")
        if self.grace < dt.timedelta(0) or self.dumps < 1:
            raise ValueError("grace is no less than nothing, and one dump a day at least is due")

    def expects(self, day: dt.date) -> bool:
        """Whether a dump is due on that delivery day."""
        return day.isoweekday() in self.weekdays and self.holiday(day) is None

    def holiday(self, day: dt.date) -> str | None:
        """The name of the holiday on which none is due; None for other days, and where no holidays count."""
        return self.holidays.name_of(day) if self.holidays else None

    def due_at(self, day: dt.date, zone: ZoneInfo) -> dt.datetime:
        """When the day's dump is due, in UTC.

        A time that the zone's clocks skip is as much later as they skip; one that they show twice is the first.
        """
        return dt.datetime.combine(day, self.due, zone).astimezone(dt.UTC)

    def deadline(self, day: dt.date, zone: ZoneInfo) -> dt.datetime:
        """From when on the day's dump is missing, in UTC."""
        return self.due_at(day, zone) + self.grace  # in UTC: grace is time that passes, not what clocks show

    def earliest_at(self, day: dt.date, zone: ZoneInfo) -> dt.datetime | None:
        """Before when the day's dump is early, in UTC; None where it cannot be."""
        return dt.datetime.combine(day, self.earliest, zone).astimezone(dt.UTC) if self.earliest else None

    def longest_pause(self, start: dt.date) -> dt.timedelta:
        """The most days from one delivery day to the next, in the ten years from `start` on; whole days."""
        days = (start + n * _DAY for n in range(366 * _YEARS_AHEAD))
        return max((after - before for before, after in pairwise(filter(self.expects, days))), default=_WEEK * _DAY)

    def __str__(self) -> str:
        """In words, such as "Mon, Tue by 09:00, but on holidays of US"."""
        names = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
        every = set(self.weekdays) == set(range(1, _WEEK + 1))
        days = "every day" if every else ", ".join(names[day - 1] for day in sorted(set(self.weekdays)))
        several = f"{self.dumps} dumps " if self.dumps > 1 else ""
        earliest = f"from {self.earliest:%H:%M} " if self.earliest else ""
        but = f", but on {self.holidays}" if self.holidays else ""
        return f"{several}{days} {earliest}by {self.due:%H:%M}{but}"
