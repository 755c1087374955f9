"""`make soak`: plays rounds of faults and ends with the count. Exit code 1 when anything was lost or doubled."""

from __future__ import annotations

import argparse
import logging
import random
import signal
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from claims_pipeline_tests.soak import ticks
from claims_pipeline_tests.soak.arena import Arena
from claims_pipeline_tests.soak.rounds import WORLDS, Outcome, Soak, describe, draw_round
from claims_pipeline_tests.soak.worlds import world

_EVERY = 20.0  # seconds between two words of progress

out = Console(highlight=False, width=140)


def main() -> int:
    """Play, and say how it went."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100, help="how many rounds (default 100)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000), help="of the draws")
    parser.add_argument(
        "--ticks", type=int, default=0, help="rounds through Dagster besides, a minute each (default 0)"
    )
    parser.add_argument("--round", type=int, help="only the round of this number, to repeat a failure")
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the parts must not outlive us
    numbers = range(arguments.rounds) if arguments.round is None else [arguments.round]
    outcomes: list[Outcome] = []
    recoveries: list[ticks.Recovery] = []
    begun = said = time.monotonic()
    out.print(f"soak with seed {arguments.seed}: {len(numbers)} rounds over up to {WORLDS} worlds")
    with tempfile.TemporaryDirectory(prefix="claims-soak-") as folder:
        arena = Arena(Path(folder))
        try:
            soak = Soak(arena)
            for number in numbers:
                outcome = soak.play(draw_round(arguments.seed, number))
                outcomes.append(outcome)
                if outcome.failures or arguments.round is not None:
                    _tell(outcome, arguments.seed)
                if time.monotonic() - said > _EVERY:
                    said = time.monotonic()
                    lost = sum(bool(outcome.failures) for outcome in outcomes)
                    out.print(f"  {len(outcomes)} rounds in {said - begun:.0f} s, {lost} not survived")
            if arguments.ticks:
                for recovery in ticks.play(arena, Path(folder), rounds=arguments.ticks, seed=arguments.seed):
                    recoveries.append(recovery)
                    _tell_ticks(recovery)
        except KeyboardInterrupt:
            out.print("stopped")
        finally:
            arena.close()
    _summarise(outcomes, time.monotonic() - begun)
    failed = [played.failures for played in outcomes] + [played.failures for played in recoveries]
    return 1 if any(failed) else 0


def _tell(outcome: Outcome, seed: int) -> None:
    verdict = "NOT SURVIVED" if outcome.failures else "survived"
    out.print(f"round {outcome.round.number} {verdict}, {describe(world(outcome.round.world))}")
    for fault, hit in outcome.faults:
        out.print(f"    {fault}{'' if hit else ' (did not hit)'}")
    for failure in outcome.failures:
        out.print(f"    {failure}")
    if outcome.failures:
        out.print(f"    again: make soak SEED={seed} ROUND={outcome.round.number}")


def _tell_ticks(recovery: ticks.Recovery) -> None:
    verdict = "NOT SURVIVED" if recovery.failures else "survived"
    out.print(
        f"through Dagster, killed at {recovery.point}: {verdict}, {recovery.ticks} ticks and {recovery.seconds:.0f} s "
        "from the death to the last dump loaded"
    )
    for failure in recovery.failures:
        out.print(f"    {failure}")


def _summarise(outcomes: Sequence[Outcome], seconds: float) -> None:
    if not outcomes:
        return
    by_kind: dict[str, list[tuple[bool, Outcome]]] = defaultdict(list)
    for outcome in outcomes:
        for fault, hit in outcome.faults:
            by_kind[fault.kind].append((hit, outcome))
    table = Table(box=SIMPLE_HEAD)
    table.add_column("fault", no_wrap=True)
    for title in ("struck", "hit", "rounds", "survived", "recovery, median s", "longest", "ticks"):
        table.add_column(title, justify="right")
    for kind, struck in sorted(by_kind.items()):
        rounds = {outcome.round.number: outcome for _, outcome in struck}.values()
        recoveries = [outcome.recovery for outcome in rounds]
        table.add_row(
            kind,
            str(len(struck)),
            str(sum(hit for hit, _ in struck)),
            str(len(rounds)),
            str(sum(not outcome.failures for outcome in rounds)),
            f"{statistics.median(recoveries):.2f}",
            f"{max(recoveries):.2f}",
            str(max(outcome.ticks for outcome in rounds)),
        )
    out.print(table)
    survived = sum(not outcome.failures for outcome in outcomes)
    hits = sum(hit for outcome in outcomes for hit in outcome.hits)
    each = f", {seconds / len(outcomes):.2f} s each"
    out.print(f"{len(outcomes)} rounds, {hits} faults that hit, {survived} rounds survived; {seconds:.0f} s{each}")


if __name__ == "__main__":
    sys.exit(main())
