"""What a sender's fake data knows beyond its contracts: a world; and the plain one, of senders without a world.

Belongs here: the questions that the engine asks a world, with the answers that a contract alone gives. Does not belong
here: any sender (`indici`).
"""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow

from claims_pipeline.feeds import Feed
from claims_pipeline.local.fake_sender.lives import Lives, Rows, Volume
from claims_pipeline.local.fake_sender.patterns import texts_of
from claims_pipeline.local.fake_sender.schedule import SenderPlan, Shipment
from claims_pipeline.local.fake_sender.spelling import Header

_DAYS_ONLY = ("%Y%m%d", "%Y-%m-%d", "")
_STAMPS = ("%Y%m%d%H%M%S", "%Y%m%dT%H%M%S", "%Y%m%d_%H%M%S", "%Y-%m-%dT%H%M%S", "%Y-%m-%dT%H:%M:%S", "%Y%m%dT%H%M%SZ",
           "%Y%m%d%H%M", "%y%m%d%H%M", *_DAYS_ONLY)  # fmt: skip

_FIRST = np.zeros(1, dtype=np.int64)


class World:
    """A sender without a world of its own: its contracts say all."""

    def __init__(self, plan: SenderPlan) -> None:
        self.plan = plan

    def volume(self, feed: Feed) -> Volume:
        """How many rows a dataset has."""
        return Volume(0, self.plan.rows)

    def header(self, feed: Feed, shipment: Shipment) -> Header:
        """The columns of a dump: the contract's."""
        names = tuple(column.name for column in feed.columns)
        return Header(names, names)

    def columns(self, feed: Feed, rows: Rows, lives: Mapping[str, Lives]) -> Mapping[str, pyarrow.Array]:
        """Columns that the world makes itself, typed as the contract says but for times, which are naive and local."""
        return {}

    def first_dump(self, feeds: Sequence[Feed]) -> dt.time | None:
        """Local time of a day's first dump; None for the time by which it is due.

        Midnight where a name tells the day only: it is then the time that the pipeline takes the dump to be made at.
        """
        return dt.time() if any(_form(feed.file_names[0]) in _DAYS_ONLY for feed in feeds) else None

    def key(self, feed: Feed, shipment: Shipment) -> str:
        """The object key of a dump: a text of the feed's first pattern, with the dump's time in it.

        Raises:
            ValueError: the pattern cannot be read, or no known form of a time fits it.
        """
        pattern = feed.file_names[0]
        return feed.sender.prefix + _named(pattern, _form(pattern), shipment.stamp, shipment.part)


@functools.cache
def _form(pattern: str) -> str:
    """The first of the known forms of a time that a pattern takes."""
    groups = re.compile(pattern).groupindex
    if "stamp" not in groups:
        return "epoch" if "epoch" in groups else ""
    trial = dt.datetime(2025, 1, 31, 17, 30, tzinfo=dt.UTC)
    for form in _STAMPS:
        if _named(pattern, form, trial, 0):
            return form
    raise ValueError(f"no time can be written as the file name {pattern} wants it")


def _named(pattern: str, form: str, stamp: dt.datetime, part: int) -> str:
    """A name that the pattern matches, with its groups as asked for; empty if there is none."""
    moment = stamp.astimezone(dt.UTC) if form.endswith("Z") else stamp
    groups = {
        "stamp": format(moment, form),
        "day": stamp.date().isoformat(),
        "epoch": str(round(stamp.timestamp())),
        "sequence": str(part + 1),
    }
    name: str = texts_of(pattern, groups=groups).at(_FIRST)[0].as_py()
    match = re.search(pattern, name)
    told = {} if match is None else match.groupdict()
    return name if match and all(told[group] in (None, groups[group]) for group in told if group in groups) else ""
