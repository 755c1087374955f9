"""Who delivers.

Belongs here: what is true of all feeds of a sender. Does not belong here: one kind of file (contract.py), the words in
which it is said when dumps are due (calendars.py).
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, field

from claims_pipeline.feeds.calendars import Calendar
from claims_pipeline.feeds.sidecars import CHECKSUM_SUFFIX


@dataclass(frozen=True)
class Sender:
    """Who drops files.

    Attributes:
        name: identifier, also the Postgres schema and the asset group.
        title: name for people.
        timezone: IANA zone of its delivery days and of time stamps without a zone.
        prefix: where its keys begin in the inbox bucket.
        start: first delivery day that partitions know.
        calendar: when its dumps are due; a feed may have its own.
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
    calendar: Calendar = field(default_factory=Calendar)
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
