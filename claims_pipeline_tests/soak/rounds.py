"""A round: a world is played with faults, the system recovers by itself, and what is there is compared.

Belongs here: drawing a round, playing it, the verdict. Does not belong here: the faults themselves, the summary.

A round follows from the soak's seed and its number, up to the moments at which the machine is hit.
"""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from claims_pipeline.failpoints import POINTS
from claims_pipeline_tests.soak.arena import Arena, Stage, ended
from claims_pipeline_tests.soak.content import Content
from claims_pipeline_tests.soak.faults import KINDS, DiskFull, Fault, KillAt, draw, wake
from claims_pipeline_tests.soak.worlds import STEPS, World, troubles_of, world

WORLDS = 24
"""How many worlds there are to draw from: each is played undisturbed once, which takes as long as a round."""

_MOST_TICKS = 4
_REPLAYS = "superseding"  # the trouble that always makes the loader fold dumps in again


@dataclass(frozen=True)
class Round:
    """What is to be played.

    Attributes:
        number: its place in the soak.
        world: number of the world.
        faults: by step of the world; several are one after another, without a recovery between.
    """

    number: int
    world: int
    faults: tuple[tuple[Fault, ...], ...]


@dataclass(frozen=True)
class Outcome:
    """How a round went.

    Attributes:
        round: what was played.
        hits: by fault, in order, whether it hit.
        ticks: the most catch-ups that a recovery took; 1 is the next tick.
        recovery: the longest recovery, seconds from the mended machine to nothing left open.
        seconds: of the whole round.
        failures: what was lost or doubled; empty when it survived.
    """

    round: Round
    hits: tuple[bool, ...]
    ticks: int
    recovery: float
    seconds: float
    failures: tuple[str, ...]

    @property
    def faults(self) -> list[tuple[Fault, bool]]:
        """Each fault of the round, and whether it hit."""
        return list(zip((fault for step in self.round.faults for fault in step), self.hits, strict=False))


def draw_round(seed: int, number: int, *, worlds: Sequence[int] = range(WORLDS)) -> Round:
    """The round of a number: first each point once, then each kind of fault once, then by chance.

    One round in six strikes again while the system recovers.
    """
    dice = random.Random(f"{seed}:{number}")
    chosen = dice.choice(worlds)
    if number < len(POINTS):
        if POINTS[number].startswith("replay."):
            chosen = dice.choice([n for n in worlds if _REPLAYS in troubles_of(n)])
        return Round(number, chosen, tuple((KillAt(POINTS[number]),) for _ in range(STEPS)))
    kind = KINDS[number - len(POINTS)] if number - len(POINTS) < len(KINDS) else None
    again = kind is None and dice.random() < 1 / 6
    faults = tuple(tuple(draw(dice, kind) for _ in range(2 if again else 1)) for _ in range(STEPS))
    return Round(number, chosen, faults)


class Soak:
    """Plays rounds.

    Args:
        arena: where.
        plant: a defect to plant into the product, with and without faults.
    """

    def __init__(self, arena: Arena, *, plant: Callable[[], None] | None = None) -> None:
        self._arena = arena
        self._plant = plant

    @functools.cache  # noqa: B019 - a soak lives as long as the process
    def undisturbed(self, number: int) -> tuple[Content, tuple[float, ...]]:
        """What a world leaves behind without a fault, and how long each step took."""
        played, seconds = world(number), []
        with self._arena.stage(played.sender, plant=self._plant) as stage:
            for step in played.steps:
                stage.deliver(step)
                begun = time.monotonic()
                code = ended(stage.start())
                seconds.append(time.monotonic() - begun)
                if code not in (0, 1):
                    raise RuntimeError(f"world {number} cannot be played undisturbed: {stage.last_words()}")
            due, missing = stage.content()
        if missing:
            raise RuntimeError(f"world {number}, undisturbed: {', '.join(missing)}")
        return due, tuple(seconds)

    def play(self, round_: Round) -> Outcome:
        """Play a round."""
        played = world(round_.world)
        due, usual = self.undisturbed(round_.world)
        faults = [fault for step in round_.faults for fault in step]
        tiny = any(isinstance(fault, DiskFull) and fault.where == "database" for fault in faults)
        begun, hits, recoveries, failures = time.monotonic(), list[bool](), [(1, 0.0)], list[str]()
        with self._arena.stage(played.sender, plant=self._plant, tiny=tiny) as stage:
            try:
                for step, now, seconds in zip(played.steps, round_.faults, usual, strict=True):
                    stage.deliver(step)
                    for fault in now:
                        hits.append(fault.strike(stage, seconds))
                        self._arena.mend()
                    recoveries.append(_recover(stage))
                for player in stage.asleep:
                    wake(player)
                    recoveries.append(_recover(stage))
                found, missing = stage.content()
            except TimeoutError as error:
                self._arena.mend()
                failures = [str(error)]
            else:
                same_order = all(fault.keeps_order for fault in faults)
                failures = missing + found.differences(due, same_order=same_order)
        ticks, recovery = (max(column) for column in zip(*recoveries, strict=True))
        return Outcome(round_, tuple(hits), ticks, recovery, time.monotonic() - begun, tuple(failures))


def _recover(stage: Stage) -> tuple[int, float]:
    """Let the system recover as a CronJob does: catch-ups, until nothing is open. How many, and seconds."""
    begun = time.monotonic()
    for tick in range(1, _MOST_TICKS + 1):
        if ended(stage.start()) in (0, 1) and stage.is_quiet():
            return tick, time.monotonic() - begun
    raise TimeoutError(f"not recovered after {_MOST_TICKS} catch-ups; the last one said: {stage.last_words()}")


def describe(played: World) -> str:
    """A world in words."""
    return f"world {played.number} ({played.sender}: {', '.join(played.troubles)})"
