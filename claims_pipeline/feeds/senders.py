"""Who delivers, and when.

Belongs here: what is true of all feeds of a sender. Does not belong here: one kind of file (contract.py).
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

from claims_pipeline.feeds.sidecars import CHECKSUM_SUFFIX


@dataclass(frozen=True)
class Calendar:
    """When a sender delivers.

    Attributes:
        weekdays: ISO weekdays on which a dump is due, 1 Monday .. 7 Sunday.
        due: local time of the sender's zone by which the dump of the day must have arrived.
    """

    weekdays: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7)
    due: dt.time = dt.time(9, 0)

    def expects(self, day: dt.date) -> bool:
        """Whether a dump is due on that delivery day."""
        return day.isoweekday() in self.weekdays


@dataclass(frozen=True)
class Sender:
    """Who drops files.

    Attributes:
        name: identifier, also the Postgres schema and the asset group.
        title: name for people.
        timezone: IANA zone of its delivery days and of time stamps without a zone.
        prefix: where its keys begin in the inbox bucket.
        start: first delivery day that partitions know.
        calendar: when it delivers.
        owners: Dagster owners ("team:..." or an e-mail address).
        ignore: regular expressions of keys that are no dumps and are passed over silently: uploads under way, what
            operating systems leave beside files, markers, folders, checksums. Declared sidecars need no mention.
        reporting_schema: schema of views under the names that the sender's readers know: each table with the file name
            and time stamp of its dump beside every row; None for none.
        smallest_cell: persons of whom a number in views for BI tells at least (11: CMS; 6: New Zealand's MSD; feeds.md
            section 5).
        rounding: counts there are rounded at random to a multiple of it (3: Stats NZ); 1 for none.
    """

    name: str
    title: str
    timezone: str
    prefix: str
    start: dt.date
    calendar: Calendar = Calendar()
    owners: tuple[str, ...] = ("team:data-engineering",)
    ignore: tuple[str, ...] = (
        r"(^|/)in_progress/",
        r"(?i)\.(tmp|part|crdownload)$",
        r"~$",
        r"(^|/)\._",
        r"(^|/)_SUCCESS$",
        r"/$",
        re.escape(CHECKSUM_SUFFIX) + "$",
    )
    reporting_schema: str | None = None
    smallest_cell: int = 11
    rounding: int = 1
