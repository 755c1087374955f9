"""The life of a dataset's rows: when each is first sent, when again, and which of its states is sent.

Belongs here: pure functions of a row's number e, over whole arrays. A row that is sent again has mostly changed; some
are sent again as they were, as senders do. Does not belong here: what columns say (`invented`, `indici`).

(`life` is the same for the claims of the VA, whose lives have a plot.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from claims_pipeline.local.fake_sender.dice import Dice, Ints, Mask
from claims_pipeline.local.fake_sender.schedule import Schedule

_DAYS = 16  # bits of a day's index within a draw's number
_LONGEST_GAP = 3  # days between two changes of a row
_MOST_CHANGES = 4
_LIFE = _LONGEST_GAP * _MOST_CHANGES  # days after which a row is not sent again
_SHORTEST_SLOW_GAP, _SLOW_GAPS = 7, 60  # rows that were there from the start change for ever, but seldom
_UNCHANGED = 0.02  # share of the living rows that a day sends again as they were
_LONGEST_STAY = 120  # days after which a row has left the snapshots: about one in a hundred a day


@dataclass(frozen=True)
class Volume:
    """How many rows a dataset has.

    Attributes:
        initial: rows sent with the first delivery day, that may change for ever.
        a_day: new rows per delivery day, that change for some days.
    """

    initial: int
    a_day: int


@dataclass(frozen=True)
class Rows:
    """Rows of a dump.

    Attributes:
        e: numbers of the rows in their dataset.
        k: how often each has changed since it was made.
        day: index of the delivery day.
    """

    e: Ints
    k: Ints
    day: Ints

    def __len__(self) -> int:
        return len(self.e)

    def take(self, index: Ints | Mask) -> Rows:
        """Some of the rows."""
        return Rows(self.e[index], self.k[index], self.day[index])

    @property
    def state(self) -> Ints:
        """A number per row and state."""
        return (self.e << _DAYS) | self.k

    @property
    def delivery(self) -> Ints:
        """A number per row and delivery."""
        return (self.e << _DAYS) | self.day


class Lives:
    """The rows of one dataset."""

    def __init__(self, dataset: str, volume: Volume, schedule: Schedule, *, snapshot: bool = False) -> None:
        self.volume = volume
        self._snapshot = snapshot
        self._dataset = dataset
        self._schedule = schedule
        self._dice = Dice(schedule.plan.seed)
        self._files = schedule.plan.files_a_day

    @property
    def count(self) -> int:
        """Rows in the whole plan."""
        return self.known(len(self._schedule.days) - 1)

    def known(self, day: int) -> int:
        """Rows that were sent at least once by the end of a day."""
        return self.volume.initial + (day + 1) * self.volume.a_day

    def born(self, e: Ints) -> Ints:
        """Index of the day on which a row is first sent."""
        return np.maximum((e - self.volume.initial) // max(self.volume.a_day, 1), 0)

    def sent(self, day: int, part: int) -> Rows:
        """The rows of one dump, ascending: of a snapshot all that are there, else those that are new or sent again."""
        initial, a_day = self.volume.initial, self.volume.a_day
        if self._snapshot:
            e = np.arange(self.known(day))
            e = e[day <= self.born(e) + self._dice.below(f"stay {self._dataset}", e, _LONGEST_STAY)]
            return Rows(e, self._changes(e, day), np.full(len(e), day))
        again = [self._again(np.arange(initial), day)] if day else []
        if day and a_day:
            first, last = self.known(max(day - _LIFE, 0) - 1), self.known(day - 1)
            again.append(self._again(np.arange(first, last), day))
        new = np.arange(0 if day == 0 else self.known(day - 1), self.known(day))
        e = np.concatenate([*again, new])
        rows = Rows(e, self._changes(e, day), np.full(len(e), day))
        return rows if self._files == 1 else rows.take(self._part(e, rows.day) == part)

    def changed(self, rows: Rows) -> Ints:
        """When the rows took the state in which they are sent, in microseconds since 1970, whole milliseconds.

        It lies between the stamps of the dump that first sends the state, and of the dump before.
        """
        day = self.born(rows.e) + rows.k * self._gap(rows.e)
        number = day * self._files + self._part(rows.e, day)
        start, end = self._schedule.windows[number], self._schedule.windows[number + 1]
        thousandths = self._dice.below(f"changed {self._dataset}", rows.state, (end - start) // 1000)
        return start + thousandths * 1000

    def made(self, e: Ints) -> Ints:
        """When the rows were made."""
        return self.changed(Rows(e, np.zeros_like(e), self.born(e)))

    def _gap(self, e: Ints) -> Ints:
        fast = 1 + self._dice.below(f"gap {self._dataset}", e, _LONGEST_GAP)
        slow = _SHORTEST_SLOW_GAP + self._dice.below(f"slow gap {self._dataset}", e, _SLOW_GAPS)
        return np.where(e < self.volume.initial, slow, fast)

    def _changes(self, e: Ints, day: int) -> Ints:
        """How often the rows have changed by a day."""
        changes = (day - self.born(e)) // self._gap(e)
        most = self._dice.below(f"changes {self._dataset}", e, _MOST_CHANGES + 1)
        return np.where(e < self.volume.initial, changes, np.minimum(changes, most))

    def _again(self, e: Ints, day: int) -> Ints:
        """Those of some older rows that a day sends again."""
        changed = self._changes(e, day) > self._changes(e, day - 1)
        unchanged = self._dice.chance(f"again {self._dataset}", (e << _DAYS) | day, _UNCHANGED)
        return e[changed | unchanged]

    def _part(self, e: Ints, day: Ints) -> Ints:
        """In which of a day's dumps a row is sent."""
        if self._files == 1 or self._snapshot:
            return np.zeros_like(e)
        return self._dice.below(f"part {self._dataset}", (e << _DAYS) | day, self._files)
