"""From open dumps to runs: which feeds and days are asked for together, and when a dump is given up. Pure.

Belongs here: the decision. Does not belong here: listing, the ledger, Dagster's instance (see sensors.py).
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from claims_pipeline.warehouse.ledger import Dump

DAYS_PER_RUN = 31
"""A run takes at most a month: a backlog of years makes progress that can be seen, and a crash costs little."""


@dataclass(frozen=True)
class RunPlan:
    """One run to ask for.

    Attributes:
        datasets: of the sender, sorted.
        first: first delivery day.
        last: last delivery day; every day between has a dump of each dataset.
        dump_ids: the dumps that the run is for, sorted.
        request_id: identity of the request: which dumps, and which attempt. Never the same for a retry.
    """

    datasets: tuple[str, ...]
    first: dt.date
    last: dt.date
    dump_ids: tuple[int, ...]
    request_id: str


@dataclass(frozen=True)
class Decision:
    """What to do about the open dumps of a sender."""

    plans: tuple[RunPlan, ...]
    in_flight: tuple[Dump, ...]
    give_up: tuple[Dump, ...]


def decide(open_dumps: Iterable[Dump], *, in_flight: Iterable[str], max_attempts: int, today: dt.date) -> Decision:
    """Plan runs for open dumps.

    Days that follow each other and have dumps of the same datasets share a run, so that a missing day or dataset stays
    a hole in the UI. Dumps whose request has a run that has not ended are left to it; those that were tried
    `max_attempts` times are given up.

    Args:
        open_dumps: of one sender.
        in_flight: request ids of runs that have not ended.
        max_attempts: runs that a dump may have.
        today: of the sender; later days have no partition yet, and their dumps wait.
    """
    running = set(in_flight)
    waiting: list[Dump] = []
    busy: list[Dump] = []
    lost: list[Dump] = []
    for dump in open_dumps:
        if dump.delivery_day > today:
            continue
        if dump.request_id in running:
            busy.append(dump)
        elif dump.attempts >= max_attempts:
            lost.append(dump)
        else:
            waiting.append(dump)
    return Decision(tuple(_plans(waiting)), tuple(busy), tuple(lost))


def _plans(dumps: Sequence[Dump]) -> Iterable[RunPlan]:
    by_day: dict[dt.date, list[Dump]] = {}
    for dump in dumps:
        by_day.setdefault(dump.delivery_day, []).append(dump)
    group: list[dt.date] = []
    for day in sorted(by_day):
        datasets = _datasets(by_day[day])
        joins = group and day - group[-1] == dt.timedelta(days=1) and len(group) < DAYS_PER_RUN
        if group and not (joins and datasets == _datasets(by_day[group[0]])):
            yield _plan(group, by_day)
            group = []
        group.append(day)
    if group:
        yield _plan(group, by_day)


def _plan(days: Sequence[dt.date], by_day: dict[dt.date, list[Dump]]) -> RunPlan:
    dumps = [dump for day in days for dump in by_day[day]]
    # The last request too: approve and retry begin to count attempts anew, and Dagster never takes a run key twice.
    identity = "|".join(sorted(f"{dump.dump_id}:{dump.attempts}:{dump.requested_at or ''}" for dump in dumps))
    return RunPlan(
        datasets=_datasets(dumps),
        first=days[0],
        last=days[-1],
        dump_ids=tuple(sorted(dump.dump_id for dump in dumps)),
        request_id=hashlib.sha256(identity.encode()).hexdigest()[:24],
    )


def _datasets(dumps: Iterable[Dump]) -> tuple[str, ...]:
    return tuple(sorted({dump.dataset for dump in dumps if dump.dataset}))
