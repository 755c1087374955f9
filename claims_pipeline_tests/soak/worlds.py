"""Small worlds of dumps: a few days of two or three feeds, with the troubles of real deliveries.

Belongs here: which objects arrive, in which steps. Does not belong here: playing them, faults.

A world is a function of its number: the same number gives the same bytes.
"""

from __future__ import annotations

import datetime as dt
import functools
import io
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import pyarrow.parquet as pq

from claims_pipeline.local.fake_sender import Dialect, Plan, SenderPlan, generate, generate_sender

DAY = dt.date(2026, 5, 4)
"""First delivery day of every world: long over, so that no round depends on today."""

Delivery = tuple[tuple[str, bytes], ...]
"""Objects by key, in the order of their upload; a key may come twice."""

STEPS = 2
"""Deliveries of a world: a day each."""

_DATASETS = {
    "va_form526": (
        ("form526_submissions", "form526_contentions"),
        ("form526_submissions", "form526_job_statuses"),
        ("form526_uploads", "form526_job_statuses", "form526_submission_remediations"),
    ),
    "indici": (("invoices", "invoice_details"), ("diagnoses", "allergies"), ("appointments",)),
}
_TROUBLES = ("resent", "duplicate", "superseding", "late", "garbage", "empty", "unknown", "misdated")
_STAMP = re.compile(r"(\d{8}T?\d{2})(\d{2})(?=\d{2}Z?\.)")


@dataclass(frozen=True)
class World:
    """What arrives.

    Attributes:
        number: which world.
        sender: name of the sender.
        troubles: what is wrong with its deliveries.
        steps: deliveries, each caught up with before the next one arrives.
    """

    number: int
    sender: str
    troubles: tuple[str, ...]
    steps: tuple[Delivery, ...]


def troubles_of(number: int) -> tuple[str, ...]:
    """What is wrong with the deliveries of a world: three troubles, in turn."""
    return tuple(_TROUBLES[(number + number // 8 + i * 3) % len(_TROUBLES)] for i in range(3))


@functools.cache
def world(number: int) -> World:
    """The world of a number. Even ones are the VA's CSV, odd ones Indici's Parquet."""
    dice = random.Random(number)
    sender = ("va_form526", "indici")[number % 2]
    datasets = dice.choice(_DATASETS[sender])
    days = [list(day.items()) for day in _days(sender, datasets, number)]
    troubles = troubles_of(number)
    plain = {key for day in days for key, _ in day}  # no trouble befalls another trouble
    for trouble in troubles:
        _add(trouble, days, dice, plain, other=_days(sender, datasets, number + 1_000)[0])
    return World(number, sender, troubles, tuple(tuple(day) for day in days))


def calm_days(days: int, *, seed: int) -> tuple[Delivery, ...]:
    """So many days of two of the VA's feeds, without troubles."""
    return tuple(tuple(day.items()) for day in _days("va_form526", _DATASETS["va_form526"][1], seed, days=days))


def _days(sender: str, datasets: tuple[str, ...], seed: int, *, days: int = STEPS) -> list[dict[str, bytes]]:
    """Days of dumps, a dict by key for each."""
    dumps: dict[str, bytes] = {}

    @contextmanager
    def kept(key: str) -> Iterator[BinaryIO]:
        body = io.BytesIO()
        yield body
        dumps[key] = body.getvalue()

    if sender == "indici":
        made = generate_sender(SenderPlan(sender, DAY, days=days, rows=8, seed=seed, dirt=0.1), kept, datasets=datasets)
    else:
        plan = Plan(DAY, days=days, rows=8, seed=seed, dirt=0.1, dialect=Dialect())
        made = generate(plan, kept, datasets=datasets)
    dates = [DAY + dt.timedelta(days=n) for n in range(days)]
    return [{dump.key: dumps[dump.key] for dump in made.dumps if dump.delivery_day == day} for day in dates]


def _add(
    trouble: str, days: list[list[tuple[str, bytes]]], dice: random.Random, plain: set[str], *, other: dict[str, bytes]
) -> None:
    first, second = days
    key, body = dice.choice([(key, body) for key, body in first if key in plain])
    folder, _, name = key.rpartition("/")
    match trouble:
        case "resent":
            second.append((key, body))
        case "duplicate":
            second.append((_minutes_later(key, 1), body))
        case "superseding":
            second.append((key, other[key] if key in other and dice.random() < 0.5 else _shorter(key, body)))
        case "late" if len(first) > 1:  # the newer dump of the same feed comes first
            dataset = key.rpartition("_")[0].rpartition("/")[2]
            newer = [item for item in second if dataset in item[0].rpartition("/")[2]]
            days[0], days[1] = (
                [item for item in first if item[0] != key] + newer,
                [item for item in second if item not in newer] + [(key, body)],
            )
        case "garbage":
            second.append((_minutes_later(key, 7), b"PAR1 \x00\xff neither a table nor text \x00"))
        case "empty":
            first.append((_minutes_later(key, 9), b""))
        case "unknown":
            first.append((f"{folder}/nobody_knows_{name}", body))
        case "misdated":
            first.append((re.sub("2026", "2096", key), body))


def _minutes_later(key: str, minutes: int) -> str:
    """The key with a later minute in its stamp."""
    return _STAMP.sub(lambda found: f"{found[1]}{(int(found[2]) + minutes) % 60:02}", key)


def _shorter(key: str, body: bytes) -> bytes:
    """The dump without its last row."""
    if not key.endswith(".parquet"):
        return body[: body.rstrip(b"\n").rindex(b"\n") + 1]
    table = pq.read_table(io.BytesIO(body))
    out = io.BytesIO()
    pq.write_table(table.slice(0, max(table.num_rows - 1, 0)), out)
    return out.getvalue()
