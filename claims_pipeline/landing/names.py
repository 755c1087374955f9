"""What a key in the inbox says: which feed, which delivery day, which time stamp. Pure.

Belongs here: matching keys against the patterns that feeds declare. Does not belong here: bytes, S3, the ledger.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from claims_pipeline.feeds import Feed, Sender


@dataclass(frozen=True)
class Named:
    """A key as understood.

    Attributes:
        feed: the feed; None where no contract knows the name.
        delivery_day: date in the sender's time zone: the name's `day`, else its stamp's, else the arrival's.
        stamp: UTC; the name's, else midnight of its `day`, else the arrival's. The name's `sequence` number is added
            as microseconds: where a sender cuts a delivery into pieces, the later piece is the newer one.
    """

    feed: Feed | None
    delivery_day: dt.date
    stamp: dt.datetime


def is_ignored(sender: Sender, key: str) -> bool:
    """Whether the key is no dump by rule: half-written, hidden, a marker or a folder."""
    return any(re.search(pattern, key) for pattern in sender.ignore)


def understand(sender: Sender, feeds: Iterable[Feed], key: str, last_modified: dt.datetime) -> Named:
    """Match a key with the file names of a sender's feeds.

    Args:
        sender: whose prefix the key begins with.
        feeds: the sender's feeds; the first pattern that matches decides.
        key: the whole key.
        last_modified: arrival, aware.
    """
    zone = ZoneInfo(sender.timezone)
    arrival = last_modified.astimezone(dt.UTC)
    name = key.removeprefix(sender.prefix)
    for feed in feeds:
        for pattern in feed.file_names:
            match = re.search(pattern, name)
            if match is None:
                continue
            groups = {group: value for group, value in match.groupdict().items() if value}
            try:
                return Named(feed, *_time_of(groups, zone, arrival))
            # A stamp such as 20260231, or of year 1 in a zone ahead of UTC: the name matches in form only.
            except (ValueError, OverflowError):
                continue
    return Named(None, arrival.astimezone(zone).date(), arrival)


def dated_prefixes(sender: Sender, feeds: Iterable[Feed]) -> tuple[str, ...]:
    """Beginnings of keys that an ISO date follows, so that S3's order of them is that of the days.

    Read off the patterns: those that begin with plain text and then the group `day`.
    """
    begins = (re.match(r"\^([\w/=-]*)\(\?P<day>", pattern) for feed in feeds for pattern in feed.file_names)
    return tuple(dict.fromkeys(sender.prefix + begin[1] for begin in begins if begin))


def _time_of(groups: dict[str, str], zone: ZoneInfo, arrival: dt.datetime) -> tuple[dt.date, dt.datetime]:
    day = dt.date.fromisoformat(groups["day"]) if "day" in groups else None
    if "stamp" in groups:
        stamp = parse_stamp(groups["stamp"], zone)
    elif "epoch" in groups:
        stamp = dt.datetime.fromtimestamp(int(groups["epoch"]), dt.UTC)
    elif day is not None:
        stamp = dt.datetime.combine(day, dt.time(), zone).astimezone(dt.UTC)
    else:
        stamp = arrival
    stamp += dt.timedelta(microseconds=int(groups.get("sequence", 0)))
    return day or stamp.astimezone(zone).date(), stamp


def parse_stamp(text: str, zone: ZoneInfo) -> dt.datetime:
    """A time stamp of a file name, as UTC: YYYYMMDD, +HHMM, +HHMMSS, with or without T, Z or punctuation; YYMMDDHHMM.

    A trailing Z is UTC; all else is local time of the sender (the first of the two in a clock-change overlap).

    Raises:
        ValueError: not a time stamp, or not a date of the calendar.
    """
    digits = re.sub(r"[^0-9]", "", text)
    formats = {8: "%Y%m%d", 10: "%y%m%d%H%M", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
    if len(digits) not in formats:
        raise ValueError("a time stamp has 8, 10, 12 or 14 digits")
    naive = dt.datetime.strptime(digits, formats[len(digits)])  # noqa: DTZ007 - the zone is given in the next line
    return naive.replace(tzinfo=dt.UTC if text.endswith("Z") else zone).astimezone(dt.UTC)
