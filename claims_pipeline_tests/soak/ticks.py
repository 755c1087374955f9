"""Rounds through Dagster: `claims-pipeline dev` at work, its run killed at a named point, the next ticks make it good.

Belongs here: the daemon's own sensor, launcher and runs, in processes of their own. Does not belong here: the fast
rounds (`rounds`), whose catch-up is that of a CronJob.

One day of dumps is a round. All rounds share one system, as days do in real life.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from claims_pipeline.failpoints import POINTS, VARIABLE
from claims_pipeline.warehouse.connection import connect
from claims_pipeline_tests.fix_dagster import DagsterDev, dagster_dev_in
from claims_pipeline_tests.soak.arena import Arena, ended
from claims_pipeline_tests.soak.content import Content, content, open_dumps
from claims_pipeline_tests.soak.worlds import Delivery, calm_days

_SENDER = "va_form526"
_KILLED_IN_A_RUN = [point for point in POINTS if not point.startswith(("discover.", "replay."))]
_PATIENCE = 600.0
_TICKS = """
{ instigationStateOrError(instigationSelector: {repositoryLocationName: "claims_pipeline",
    repositoryName: "__repository__", name: "arrivals_va_form526"}) {
  ... on InstigationState { ticks(limit: 200) { timestamp status } } } }
"""
_RUNS = """
{ runsOrError(filter: {statuses: [QUEUED, NOT_STARTED, STARTING, STARTED, CANCELING]}) {
  ... on Runs { results { runId } } } }
"""


@dataclass(frozen=True)
class Recovery:
    """How a round through Dagster went.

    Attributes:
        point: where the run's process was killed.
        ticks: looks of the arrivals sensor from the death to the last dump loaded.
        seconds: from the death to the last dump loaded.
        failures: what was lost or doubled.
    """

    point: str
    ticks: int
    seconds: float
    failures: tuple[str, ...]


def play(arena: Arena, folder: Path, *, rounds: int, seed: int) -> Iterator[Recovery]:
    """Play so many rounds, and hand out each when it has ended.

    Raises:
        AssertionError: the system did not come to rest in ten minutes; with the end of its log.
    """
    days = calm_days(rounds, seed=seed)
    due = list(_undisturbed(arena, days))
    armed = folder / "failpoint"
    dice = random.Random(seed)
    settings = {VARIABLE: f"@{armed}", "CLAIMS_SETTLE_SECONDS": "0", **arena.keys}
    with dagster_dev_in(folder / "dev", settings) as dev:
        try:
            for number, then in enumerate(due, 1):
                yield _round(dev, armed, dice.choice(_KILLED_IN_A_RUN), days[:number], then)
        finally:
            os.killpg(dev.process.pid, signal.SIGKILL)  # how it ends when it is asked to is another test's


def _round(dev: DagsterDev, armed: Path, point: str, days: tuple[Delivery, ...], due: Content) -> Recovery:
    """Play the last of these days."""
    armed.write_text(point)
    _deliver(dev, days[-1])
    dev.wait_for(lambda: not armed.exists(), seconds=_PATIENCE)
    died, moment = time.monotonic(), time.time()
    dev.wait_for(lambda: _is_quiet(dev, sum(len(day) for day in days)), seconds=_PATIENCE)
    seconds, ticks = time.monotonic() - died, _ticks_since(dev, moment)
    with connect(dev.database_url) as connection:
        found = content(connection).differences(due, same_order=True)
    dev.wait_for(lambda: not _runs_at_work(dev), seconds=_PATIENCE)  # what comes after the load ends, too
    return Recovery(point, ticks, seconds, tuple(found))


def _undisturbed(arena: Arena, days: tuple[Delivery, ...]) -> Iterator[Content]:
    with arena.stage(_SENDER) as stage:
        for day in days:
            stage.deliver(day)
            ended(stage.start())
            yield stage.content()[0]


def _deliver(dev: DagsterDev, day: Delivery) -> None:
    for key, body in day:
        dev.s3.put_object(Bucket=dev.inbox, Key=key, Body=body)


def _is_quiet(dev: DagsterDev, count: int) -> bool:
    with connect(dev.database_url) as connection:
        row = connection.execute("select count(*) from ops.dump").fetchone()
        return row == (count,) and open_dumps(connection) == 0


def _runs_at_work(dev: DagsterDev) -> int:
    answer: Any = dev.graphql(_RUNS)
    return len(answer["runsOrError"]["results"])


def _ticks_since(dev: DagsterDev, moment: float) -> int:
    answer: Any = dev.graphql(_TICKS)
    found = answer["instigationStateOrError"]["ticks"]
    return sum(tick["timestamp"] > moment for tick in found)
