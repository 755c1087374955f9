"""The faults: what each does to a player at work, or to what the player stands on.

Belongs here: one class per kind of fault, and drawing one. Does not belong here: what follows (`rounds`).

Each strikes once and returns when nothing is left at work. Mending is the caller's.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from typing import Literal, Protocol

from claims_pipeline.cli.output import EXIT_ERROR
from claims_pipeline.failpoints import POINTS
from claims_pipeline_tests.soak.arena import Stage, ended

KILLED = -signal.SIGKILL
_TICK = 0.01

Lost = Literal["postmaster killed", "immediate stop", "backend killed", "sessions ended"]
Broken = Literal["cut mid-body", "refused", "stalled"]
Full = Literal["file size limit", "temporary files", "database"]


class Fault(Protocol):
    """Something that goes wrong.

    Attributes:
        kind: what the summary counts it under.
        keeps_order: whether the dumps are loaded in the same order as without it.
    """

    @property
    def kind(self) -> str: ...
    @property
    def keeps_order(self) -> bool: ...

    def strike(self, stage: Stage, seconds: float) -> bool:
        """Let a player work, and strike.

        Args:
            stage: where.
            seconds: how long the player would work undisturbed.

        Returns:
            Whether it hit: not where the point was never reached, or the player was faster.
        """
        ...


@dataclass(frozen=True)
class KillAt:
    """SIGKILL at a named point, at its n-th passing."""

    point: str
    passing: int = 1
    keeps_order: bool = True

    @property
    def kind(self) -> str:
        return f"killed at {self.point}"

    def strike(self, stage: Stage, seconds: float) -> bool:
        return ended(stage.start(failpoint=f"{self.point}:{self.passing}")) == KILLED


@dataclass(frozen=True)
class KillLater:
    """SIGKILL at some time; `share` of the usual duration."""

    share: float
    kind: str = "killed at a random time"
    keeps_order: bool = True

    def strike(self, stage: Stage, seconds: float) -> bool:
        player = stage.start()
        player.join(self.share * seconds)
        player.kill()
        return ended(player) == KILLED


@dataclass(frozen=True)
class PostgresLost:
    """Postgres goes away while a player works, and comes back at once or only when the player has given up."""

    how: Lost
    share: float
    at_once: bool
    keeps_order: bool = False

    @property
    def kind(self) -> str:
        return f"Postgres: {self.how}"

    def strike(self, stage: Stage, seconds: float) -> bool:
        arena, player = stage.arena, stage.start()
        player.join(self.share * seconds)
        hit = player.is_alive()
        match self.how:
            case "postmaster killed":
                arena.kill_postgres(signal.SIGKILL)
            case "immediate stop":
                arena.kill_postgres(signal.SIGQUIT)
            case "backend killed":
                arena.kill_backends(stage.name)
            case "sessions ended":
                arena.end_sessions(stage.name)
        if self.at_once:
            arena.mend()
        ended(player)
        return hit


@dataclass(frozen=True)
class S3Broken:
    """Connections to S3 break in the middle of a body, are refused, or stall and then break."""

    how: Broken
    share: float
    bytes: int
    pause: float
    keeps_order: bool = False

    @property
    def kind(self) -> str:
        return f"S3: {self.how}"

    def strike(self, stage: Stage, seconds: float) -> bool:
        proxy = stage.arena.proxy
        if self.how == "cut mid-body":
            proxy.cut_after(self.bytes)
        player = stage.start(proxied=True)
        if self.how == "cut mid-body":
            while player.is_alive() and not proxy.has_cut:
                time.sleep(_TICK)
        else:
            player.join(self.share * seconds)
        hit = player.is_alive()
        if self.how == "stalled":
            proxy.stall()
            player.join(self.pause)
        proxy.refuse()
        player.join(self.pause)
        proxy.heal()
        ended(player)
        return hit


@dataclass(frozen=True)
class DiskFull:
    """No room for temporary files, or for the database."""

    where: Full
    leave: int
    keeps_order: bool = False

    @property
    def kind(self) -> str:
        return f"disk full: {self.where}"

    def strike(self, stage: Stage, seconds: float) -> bool:
        disk = stage.arena.disk
        if self.where == "file size limit" or disk is None:
            return ended(stage.start(file_bytes=self.leave)) == EXIT_ERROR
        disk.fill(self.leave)
        temporary = disk.temporary if self.where == "temporary files" else None
        return ended(stage.start(temporary=temporary)) == EXIT_ERROR


@dataclass(frozen=True)
class AtOnce:
    """Several catch-ups at once over the same dumps: processes of so many threads; the first may be killed."""

    processes: int
    threads: int
    failpoint: str | None = None
    keeps_order: bool = False

    @property
    def kind(self) -> str:
        what = f"{self.processes} processes at once" if self.threads == 1 else f"{self.threads} threads at once"
        return f"{what}, one killed" if self.failpoint else what

    def strike(self, stage: Stage, seconds: float) -> bool:
        players = [
            stage.start(threads=self.threads, failpoint=self.failpoint if number == 0 else None)
            for number in range(self.processes)
        ]
        codes = [ended(player) for player in players]
        return self.failpoint is None or KILLED in codes


@dataclass(frozen=True)
class Sleeper:
    """A player is suspended at a point, another one does its work, then it wakes up and goes on with what it knew."""

    point: str
    passing: int = 1
    keeps_order: bool = False
    kind: str = "suspended, overtaken, woken"

    def strike(self, stage: Stage, seconds: float) -> bool:
        sleeper = _asleep(stage, self.point, self.passing)
        hit = sleeper.is_alive()
        other = stage.start()
        other.join(2 * seconds)  # it may have to wait for a lock that the sleeper holds
        wake(sleeper)
        ended(other)
        return hit


@dataclass(frozen=True)
class Revenant:
    """A player is suspended at a point outside transactions and wakes up when the world is over, days later."""

    point: str
    passing: int = 1
    keeps_order: bool = False
    kind: str = "suspended, woken days later"

    def strike(self, stage: Stage, seconds: float) -> bool:
        sleeper = _asleep(stage, self.point, self.passing)
        if sleeper.is_alive():
            stage.asleep.append(sleeper)
        return sleeper.is_alive()


def wake(player: BaseProcess) -> None:
    """Let a suspended player go on, to its end."""
    if player.is_alive() and player.pid is not None:
        os.kill(player.pid, signal.SIGCONT)
    ended(player)


def _asleep(stage: Stage, point: str, passing: int) -> BaseProcess:
    """A player that has stopped at the point, or has ended without having passed it."""
    player = stage.start(failpoint=f"{point}:{passing}:stop")
    while player.is_alive() and not _is_stopped(player):
        time.sleep(_TICK)
    return player


def _is_stopped(process: BaseProcess) -> bool:
    found = subprocess.run(["ps", "-o", "stat=", "-p", str(process.pid)], check=False, capture_output=True, text=True)
    return found.stdout.startswith("T")


# ---------------------------------------------------------------------------------------------- drawing


def draw(dice: random.Random, kind: str | None = None) -> Fault:
    """A fault by chance; of this kind if one is named."""
    if kind is None:
        (kind,) = dice.choices(KINDS, [weight for weight, _ in _DRAWN.values()])
    return _DRAWN[kind][1](dice)


def _postgres(how: Lost) -> Callable[[random.Random], Fault]:
    return lambda dice: PostgresLost(how, dice.random(), dice.random() < 0.5)


def _s3(how: Broken) -> Callable[[random.Random], Fault]:
    return lambda dice: S3Broken(how, dice.random(), int(10 ** dice.uniform(2.3, 5)), dice.choice((0.1, 0.3)))


def _full(where: Full, *leave: int) -> Callable[[random.Random], Fault]:
    return lambda dice: DiskFull(where, dice.choice(leave))


_BETWEEN = [point for point in POINTS if not point.startswith(("load.", "replay."))]
"""Points at which no lock is held: a player that sleeps there stops nobody."""

_DRAWN: dict[str, tuple[int, Callable[[random.Random], Fault]]] = {
    "kill at": (40, lambda dice: KillAt(dice.choice(POINTS), dice.choice((1, 1, 2, 3)))),
    "kill later": (14, lambda dice: KillLater(dice.random())),
    "at once": (8, lambda dice: AtOnce(dice.choice((2, 3)), 1)),
    "at once, one killed": (4, lambda dice: AtOnce(2, 1, f"{dice.choice(POINTS)}:{dice.choice((1, 2))}")),
    "threads": (4, lambda dice: AtOnce(1, dice.choice((2, 4)))),
    "sleeper": (8, lambda dice: Sleeper(dice.choice(POINTS), dice.choice((1, 1, 2)))),
    "revenant": (6, lambda dice: Revenant(dice.choice(_BETWEEN), dice.choice((1, 1, 2)))),
    "sessions": (4, _postgres("sessions ended")),
    "backend": (2, _postgres("backend killed")),
    "postmaster": (2, _postgres("postmaster killed")),
    "immediate": (2, _postgres("immediate stop")),
    "cut": (4, _s3("cut mid-body")),
    "refused": (2, _s3("refused")),
    "stalled": (2, _s3("stalled")),
    "file size": (2, _full("file size limit", *range(4_096, 20_000, 500))),
    "temporary": (2, _full("temporary files", 0, 4_096, 8_192, 12_288)),
    "database": (4, _full("database", 0, 8_192, 32_768, 65_536, 131_072)),
}
"""By kind: how often it is drawn, and how. What takes seconds to come back is drawn less."""

KINDS = tuple(_DRAWN)
