"""`python -m claims_pipeline_tests.benchmarks.simulate`: what 1 to 10,000 feeds ask of a cluster, by simulation.

Belongs here: the command line, the table, the plot. Does not belong here: the model (simulation.py), the figures that
go in (capacity.py), the bill (bill.py), how far to trust them (validation.py).

    ... simulate                                     the table of docs/scale.md, seconds
    ... simulate --feeds 500 --rows 1e6 --pods 50    other feeds, another cluster
    ... simulate --feeds 300 --rows 29e6 --spread 0 --window-hours 0 --pods 10,30    300 of 10 GB, due at the same hour
    ... simulate --feeds 1000 --pods auto --goal-minutes 10    the fewest pods that keep a goal
    ... simulate --feeds 10000 --locations 1,50      the feeds spread over code locations
    ... simulate --check                             the model beside what was measured
    ... simulate --json                              a JSON line for each number of feeds
    ... simulate --plot docs/scale.svg               draw what the table says

Every input is an option, with its default in the help: measured figures, assumptions on the cluster, prices. Nothing is
started and nothing is asked of a network: what comes out is arithmetic on these inputs. The same seed gives the same
figures.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from claims_pipeline_tests.benchmarks import validation
from claims_pipeline_tests.benchmarks.bill import Bill, bill, event_bytes, year_bytes
from claims_pipeline_tests.benchmarks.capacity import GB, KINDS, Cluster, Deliveries, Measured, Prices
from claims_pipeline_tests.benchmarks.measure import say
from claims_pipeline_tests.benchmarks.plot import Bar, bars
from claims_pipeline_tests.benchmarks.simulation import DAY, Outcome, simulate

FEEDS = "1,10,100,1000,10000"
MOST_PODS = 4_096
LARGEST_SERVER = 64 * 2**40
"""Bytes that RDS for PostgreSQL holds at most."""

_PODS = (
    f"runs at once, comma-separated; or auto: the fewest that keep the goal, {MOST_PODS:,} where none do. "
    f"Default {Cluster.pods}"
)
_TYPES = {"int": int, "float": float, "str": str}
_GROUPS = {"deliveries": Deliveries, "the cluster": Cluster, "measured figures": Measured, "prices, US dollars": Prices}


@dataclass(frozen=True)
class Case:
    """One line: inputs, and what came out."""

    deliveries: Deliveries
    cluster: Cluster
    outcome: Outcome
    bill: Bill
    event_bytes: float
    year_bytes: float

    @property
    def connections(self) -> int:
        """To the warehouse at once: one for each run, and those that are reserved."""
        return self.outcome.peak_runs + self.cluster.reserved_connections

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            "deliveries": dataclasses.asdict(self.deliveries),
            "cluster": dataclasses.asdict(self.cluster),
            "outcome": dataclasses.asdict(self.outcome),
            "connections": self.connections,
            "event_bytes": self.event_bytes,
            "year_bytes": self.year_bytes,
            "dollars_a_month": self.bill.as_dict(),
        }


def case_of(deliveries: Deliveries, cluster: Cluster, measured: Measured, prices: Prices) -> Case:
    """Simulate, and make out the bill."""
    outcome = simulate(deliveries, cluster, measured)
    owed = bill(outcome, deliveries, cluster, measured, prices)
    kept = year_bytes(outcome, deliveries, measured)
    return Case(deliveries, cluster, outcome, owed, event_bytes(deliveries, measured), kept)


def fewest_pods(deliveries: Deliveries, cluster: Cluster, measured: Measured, *, seconds: float) -> int | None:
    """The fewest runs at once with which 95 of 100 dumps are in their table in time.

    Returns:
        None where no number of pods keeps the goal: something else is the limit.
    """

    def keeps(pods: int) -> bool:
        return simulate(deliveries, replace(cluster, pods=pods), measured).p95 <= seconds

    enough = 1
    while not keeps(enough):
        if enough >= MOST_PODS:
            return None
        enough *= 2
    too_few = enough // 2
    while enough - too_few > 1:
        middle = (enough + too_few) // 2
        if keeps(middle):
            enough = middle
        else:
            too_few = middle
    return enough


# ---------------------------------------------------------------------------------------------- telling


def table(cases: Sequence[Case]) -> str:
    """As Markdown."""
    lines = [
        "| feeds | locations | rows a day | runs a day | tick every | run start | to table: p50 | p95 | longest "
        "| pods: most | used | connections | busiest hour: CPU | WAL | WAL a day | event log | $ a month "
        "| $ per million rows |",
        "|---:" * 18 + "|",
    ]
    for case in cases:
        out, days = case.outcome, case.deliveries.days
        cells = [
            f"{case.deliveries.feeds:,}",
            f"{case.cluster.locations:,}",
            f"{out.rows / days:,.0f}",
            f"{out.runs / days:,.0f}",
            span(out.tick_interval),
            span(out.start_seconds),
            span(out.p50),
            span(out.p95),
            span(out.longest),
            f"{case.cluster.pods:,}",
            f"{out.peak_runs:,}",
            f"{case.connections:,}",
            f"{out.postgres_busiest_hour:.1%}",
            f"{out.wal_busiest_hour:.1%}",
            f"{out.wal_bytes / days / GB:,.1f} GB",
            f"{case.event_bytes / GB:,.1f} GB",
            f"{case.bill.month:,.0f}",
            f"{case.bill.per_million_rows:,.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    if behind := [case for case in cases if case.outcome.longest > DAY]:
        lines += [
            "",
            f"Takes more than a day for the dumps of a day, and falls behind from day to day: {_named(behind)}.",
        ]
    if large := [case for case in cases if case.year_bytes > LARGEST_SERVER]:
        lines += ["", f"A year of it is more than RDS holds on one server, 64 TiB: {_named(large)}."]
    return "\n".join(lines)


def _named(cases: Sequence[Case]) -> str:
    return "; ".join(
        f"{case.deliveries.feeds:,} feeds (locations: {case.cluster.locations:,}, pods: {case.cluster.pods:,})"
        for case in cases
    )


def span(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6_000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.1f} h" if seconds < 2 * DAY else f"{seconds / DAY:.1f} days"


def plot(cases: Sequence[Case], goal: float) -> str:
    """Time from arrival to table as multiples of the goal (seconds): a bar is p95, its line p50 to the longest."""
    shown = [
        Bar(
            group=f"{case.deliveries.feeds:,} {'feed' if case.deliveries.feeds == 1 else 'feeds'}",
            label=f"{case.cluster.pods} pods, {case.cluster.locations} code location(s)",
            value=case.outcome.p95 / goal,
            least=case.outcome.p50 / goal,
            most=case.outcome.longest / goal,
            ours=case.cluster.locations > 1,
        )
        for case in cases
    ]
    return bars(f"Arrival to table, 95 of 100 dumps, as multiples of {span(goal)}", shown, floor="the goal")


# ---------------------------------------------------------------------------------------------- command line


def parser() -> argparse.ArgumentParser:
    """Every input as an option, explained by the docstring of its class."""
    made = argparse.ArgumentParser(
        prog="simulate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--feeds", type=counts, default=FEEDS, help=f"how many, comma-separated; default {FEEDS}")
    made.add_argument("--pods", type=pods_of, default=str(Cluster.pods), help=_PODS)
    made.add_argument("--locations", type=counts, default="1", help="code locations, comma-separated; default 1")
    made.add_argument("--goal-minutes", type=float, default=15, help="from arrival to table, for 95 of 100; default 15")
    made.add_argument("--check", action="store_true", help="the model's arithmetic beside what was measured")
    made.add_argument("--json", action="store_true", help="a JSON line for each case")
    made.add_argument("--plot", type=Path, metavar="SVG", help="draw the cases into this file")
    for title, group in _GROUPS.items():
        options = made.add_argument_group(title)
        meanings = meanings_of(group)
        for field in dataclasses.fields(group):
            if field.name not in {"feeds", "pods", "locations"}:
                options.add_argument(
                    f"--{field.name.replace('_', '-')}",
                    type=_TYPES[str(field.type)],
                    default=field.default,
                    choices=sorted(KINDS) if field.name == "kind" else None,
                    help=f"{meanings[field.name]} Default {field.default}".replace("%", "%%"),
                )
    return made


def counts(text: str) -> tuple[int, ...]:
    """Whole numbers from 1, comma-separated.

    Raises:
        ValueError: other words; argparse tells of them.
    """
    found = tuple(int(word) for word in text.split(","))
    if min(found) < 1:
        raise ValueError("numbers begin at 1")
    return found


def pods_of(text: str) -> tuple[int | None, ...]:
    """Numbers of pods; None for as few as keep the goal."""
    return tuple(None if word == "auto" else counts(word)[0] for word in text.split(","))


def meanings_of(group: type) -> Mapping[str, str]:
    """What the docstring of a class says of each of its attributes."""
    attributes = (group.__doc__ or "").partition("Attributes:\n")[2]
    found = re.findall(r"^ {8}(\w+): (.*(?:\n {12}.*)*)", attributes, re.MULTILINE)
    return {name: re.sub(r"\s+", " ", text) for name, text in found}


def cases_of(chosen: argparse.Namespace) -> list[Case]:
    """The cases that the options ask for, in their order."""
    deliveries, cluster, measured, prices = (_filled(group, chosen) for group in _GROUPS.values())
    cases = []
    for feeds in chosen.feeds:
        arriving = replace(deliveries, feeds=feeds)
        # A sender is of one location: there are never more, and the same number is not shown twice.
        for locations in dict.fromkeys(min(most, arriving.senders) for most in chosen.locations):
            there = replace(cluster, locations=locations)
            for pods in chosen.pods:
                most = pods or fewest_pods(arriving, there, measured, seconds=chosen.goal_minutes * 60) or MOST_PODS
                cases.append(case_of(arriving, replace(there, pods=most), measured, prices))
    return cases


def _filled(group: Any, chosen: argparse.Namespace) -> Any:
    names = {field.name for field in dataclasses.fields(group)} - {"feeds", "pods", "locations"}
    return group(**{name: getattr(chosen, name) for name in names})


def main(words: Sequence[str] | None = None) -> None:
    """Simulate, and print."""
    chosen = parser().parse_args(words)
    if chosen.check:
        say(validation.table(validation.beside(_filled(Measured, chosen))))
        return
    cases = cases_of(chosen)
    if chosen.plot:
        chosen.plot.write_text(plot(cases, chosen.goal_minutes * 60))
    say("\n".join(json.dumps(case.as_dict()) for case in cases) if chosen.json else table(cases))


if __name__ == "__main__":
    main()
