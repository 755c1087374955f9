"""`make bench` and `make bench-full`: the floor, ours and other tools on the same files and server, in turn.

Belongs here: which plans there are, and the command line. Does not belong here: everything else of the benchmarks.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from claims_pipeline import local
from claims_pipeline.settings import PROJECT_ROOT
from claims_pipeline_tests.benchmarks import cases, report
from claims_pipeline_tests.benchmarks.contenders import tools
from claims_pipeline_tests.benchmarks.contenders.every import CONTENDERS
from claims_pipeline_tests.benchmarks.measure import say
from claims_pipeline_tests.benchmarks.runner import Plan, Results, run
from claims_pipeline_tests.benchmarks.site import Site, open_site


def small_plans(rows: int, rounds: int) -> list[Plan]:
    """Some minutes: the floor and ours."""
    chains = (cases.daily(rows), cases.delta(rows), cases.small())
    return [Plan(chain, {"floor": rounds, "library": rounds}) for chain in chains]


def full_plans(rows: int, rounds: int) -> list[Plan]:
    """Everything in less than 45 minutes: slow tools take part in fewer rounds, or with a tenth of the rows only."""
    ours = {"floor": rounds, "library": rounds, "dagster": rounds}
    fast = {"dlt": min(rounds, 2), "sling": min(rounds, 2)}
    few, slow = min(rounds, 3), dict.fromkeys(("floor", "library", "pandas", "meltano"), min(rounds, 2))
    return [
        Plan(cases.daily(rows), ours | fast),
        Plan(cases.delta(rows), ours | fast),
        Plan(cases.small(), dict.fromkeys(ours, few)),
        Plan(cases.lineitem(rows * 6), {"floor": few, "library": few, "dlt": 1}),
        Plan(cases.daily(rows // 10), slow),
        Plan(cases.delta(rows // 10), slow),
    ]


def main() -> None:
    """Run the benchmarks, write results as they come, and a table at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="every contender, TPC-H, and the figures of the docs")
    parser.add_argument("--rows", type=int, help="rows of a dump (default 200,000; with --full 1,000,000)")
    parser.add_argument("--rounds", type=int, help="how often each is measured (default 3; with --full 5)")
    parser.add_argument("--only", default="", help=f"contenders, comma-separated: {', '.join(CONTENDERS)}")
    parser.add_argument("--cases", default="", help="chains, comma-separated: daily, delta, small, lineitem")
    parser.add_argument("--folder", type=Path, default=PROJECT_ROOT / ".local" / "bench", help="where it works")
    parser.add_argument("--label", help="name of the results (default small or full)")
    parser.add_argument("--resume", action="store_true", help="go on with results of this label")
    parser.add_argument("--report", action="store_true", help="only write docs/performance.md from results")
    arguments = parser.parse_args()
    label = arguments.label or ("full" if arguments.full else "small")
    results = Results(arguments.folder / "results" / f"{label}.jsonl")
    if not arguments.report:
        default_rows, default_rounds = (1_000_000, 5) if arguments.full else (200_000, 3)
        make = full_plans if arguments.full else small_plans
        plans = make(arguments.rows or default_rows, arguments.rounds or default_rounds)
        plans = _chosen(plans, only=arguments.only, chains=arguments.cases)
        if not arguments.resume:
            results.begin()
        try:
            site = open_site(arguments.folder)
            _install(site, plans)
            run(site, plans, results)
        finally:
            local.down(arguments.folder / "state")
    say(report.as_text(results.all()))
    if arguments.full or arguments.report:
        report.write(results.all(), PROJECT_ROOT / "docs")


def _chosen(plans: list[Plan], *, only: str, chains: str) -> list[Plan]:
    names = tuple(name.strip() for name in only.split(",") if name.strip())
    if unknown := set(names) - set(CONTENDERS):
        raise SystemExit(f"no such contenders: {', '.join(sorted(unknown))}")
    wanted = {name.strip() for name in chains.split(",") if name.strip()}
    plans = [plan for plan in plans if not wanted or plan.chain.name in wanted]
    return [Plan(plan.chain, dict.fromkeys(names, max(plan.rounds.values())) or plan.rounds) for plan in plans]


def _install(site: Site, plans: list[Plan]) -> None:
    """Install the tools that the plans need; what cannot be had is told, and reported as missing."""
    names = {name for plan in plans for name in plan.rounds}
    needed = [tool for tool in tools.REQUIREMENTS if tool in names]
    if any(plan.chain.name == "lineitem" for plan in plans):
        needed.append("tpchgen")
    for tool in needed:
        say(f"installing {tool}, unless it is there")
        if reason := tools.install(site, tool):
            say(reason)


if __name__ == "__main__":
    main()
