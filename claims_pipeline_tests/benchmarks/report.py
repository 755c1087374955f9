"""What the results say: medians, spreads and ratios to the floor of the same round, as text, Markdown and a plot.

Belongs here: figures and their form. Does not belong here: measuring, and the words around the figures, which are in
docs/performance.md outside the markers.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from claims_pipeline_tests.benchmarks.contenders.every import CONTENDERS
from claims_pipeline_tests.benchmarks.plot import Bar, bars

Record = dict[str, Any]

BEGIN, END = "<!-- figures: begin (make bench-full writes what is between these lines) -->", "<!-- figures: end -->"
CASES = ("first", "identical", "unchanged", "changed", "delta")
FLOOR = "floor"
TOOLS = ("dlt", "sling", "meltano", "pandas")
GOALS = {"first": 0.9, "unchanged": 0.75, "changed": 0.85, "delta": 0.7}
"""Of issue 5: ours through the library, times the floor."""


@dataclass(frozen=True)
class Figure:
    """A case of a chain by one contender.

    Attributes:
        seconds: of every round.
        ratios: to the floor of the same round; empty where the floor has none.
        process: seconds of the whole process, median.
        cpu: CPU seconds by part, medians.
        own_mb: peak memory of the contender's processes, median.
        total_mb: of all processes together, median.
        stages: seconds by stage, medians.
    """

    chain: str
    rows: int
    case: str
    contender: str
    seconds: tuple[float, ...]
    ratios: tuple[float, ...]
    process: float
    cpu: dict[str, float]
    own_mb: float
    total_mb: float
    stages: dict[str, float]
    bytes: int


def figures(records: Sequence[Record]) -> list[Figure]:
    """Figures of what was measured, in order of chain, case and contender."""
    good = [record for record in records if "error" not in record]
    floor = {(r["chain"], r["rows"], r["case"], r["round"]): r["seconds"] for r in good if r["contender"] == FLOOR}
    groups: dict[tuple[str, int, str, str], list[Record]] = {}
    for record in good:
        key = (record["chain"], record["rows"], record["case"], record["contender"])
        groups.setdefault(key, []).append(record)
    order = {name: place for place, name in enumerate(CONTENDERS)}
    found = [
        Figure(
            *key,
            seconds=tuple(r["seconds"] for r in group),
            ratios=tuple(
                r["seconds"] / floor[place] for r in group if (place := (*key[:3], r["round"])) in floor
            ),
            process=_median(r["process_seconds"] for r in group),
            cpu={part: _median(r["cpu"].get(part, 0.0) for r in group) for part in ("own", "postgres", "s3")},
            own_mb=_median(r["peak_mb"].get("own", 0.0) for r in group),
            total_mb=_median(r["total_mb"] for r in group),
            stages={name: _median(r["stages"].get(name, 0.0) for r in group) for name in group[0]["stages"]},
            bytes=group[0]["bytes"],
        )
        for key, group in groups.items()
    ]  # fmt: skip
    chains = list(dict.fromkeys((figure.chain, figure.rows) for figure in found))
    found.sort(key=lambda f: (chains.index((f.chain, f.rows)), CASES.index(f.case), order[f.contender]))
    return found


def as_text(records: Sequence[Record]) -> str:
    """A table for a terminal."""
    lines = [
        f"{figure.chain:9} {figure.rows:>10,} {figure.case:10} {figure.contender:12}"
        f" {_spread(figure.seconds, 2):>22} s  x floor {_spread(figure.ratios, 2) or '-':>20}"
        f"  cpu {sum(figure.cpu.values()):7.2f} s  peak {figure.own_mb:5.0f} / {figure.total_mb:5.0f} MB"
        for figure in figures(records)
    ]
    return "\n".join([*lines, *(f"{_place(r)}: {r['error']}" for r in records if "error" in r)])


def as_markdown(records: Sequence[Record]) -> str:
    """The figures as Markdown: goals, a table for every chain, our stages, and who could not run."""
    found = figures(records)
    parts = ["![Seconds of a load as multiples of the floor](performance.svg)", _goals(found)]
    for chain, rows in dict.fromkeys((figure.chain, figure.rows) for figure in found):
        parts.append(_table(chain, rows, [f for f in found if (f.chain, f.rows) == (chain, rows)]))
    parts.append(_stages(found))
    if failed := list(dict.fromkeys(f"- {_place(r)}: `{r['error']}`" for r in records if "error" in r)):
        parts.append("\n".join(["### Could not run", "", *failed]))
    if days := sorted({record["at"][:10] for record in records if "at" in record}):
        parts.append(f"Measured on {' and '.join(days)}.")
    return "\n\n".join(part for part in parts if part)


def write(records: Sequence[Record], docs: Path) -> None:
    """Put the figures into docs/performance.md, between the markers, and draw docs/performance.svg.

    Raises:
        ValueError: the page lacks the markers.
    """
    page = docs / "performance.md"
    text = page.read_text()
    if BEGIN not in text or END not in text:
        raise ValueError(f"{page} lacks the lines between which figures are written")
    before, after = text[: text.index(BEGIN)], text[text.index(END) :]
    page.write_text(f"{before}{BEGIN}\n\n{as_markdown(records)}\n\n{after}")
    (docs / "performance.svg").write_text(_plot(figures(records)))


# ---------------------------------------------------------------------------------------------- parts


def _table(chain: str, rows: int, found: list[Figure]) -> str:
    most = max(figure.bytes for figure in found) / 1e6
    lines = [
        f"### {chain}: {rows:,} rows, {most:,.0f} MB" if chain != "small" else "### small: 10 rows",
        "",
        "| case | loaded by | seconds | x floor | rows/s | whole process, s | CPU s: own + Postgres + S3 "
        "| peak MB: own / all |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for figure in found:
        cpu = " + ".join(f"{figure.cpu[part]:.1f}" for part in ("own", "postgres", "s3"))
        lines.append(
            f"| {figure.case} | {CONTENDERS[figure.contender].title} | {_spread(figure.seconds, 2)} "
            f"| {_spread(figure.ratios, 2) or '-'} | {rows / statistics.median(figure.seconds):,.0f} "
            f"| {figure.process:.1f} | {cpu} | {figure.own_mb:.0f} / {figure.total_mb:.0f} |"
        )
    return "\n".join(lines)


def _goals(found: list[Figure]) -> str:
    """Goals of issue 5 beside what was measured, at the largest size that the floor and ours both have."""
    by_place = {(f.chain, f.rows, f.case, f.contender): f for f in found}
    lines = ["| goal | at | measured |", "|---|---|---:|"]

    def largest(case: str, *names: str) -> tuple[Figure, ...] | None:
        chain = "delta" if case == "delta" else "daily"
        sizes = sorted({f.rows for f in found if f.chain == chain}, reverse=True)
        for rows in sizes:
            group = tuple(by_place[place] for name in names if (place := (chain, rows, case, name)) in by_place)
            if len(group) == len(names):
                return group
        return None

    for case, goal in GOALS.items():
        if (pair := largest(case, FLOOR, "library")) and pair[1].ratios:
            ratio = statistics.median(pair[1].ratios)
            lines.append(f"| {case}: at most {goal} x the floor | {pair[0].rows:,} rows | {ratio:.2f} x |")
    if pair := largest("first", "library", "dagster"):
        (ours, dagster), bare = pair, by_place.get(("small", 10, "first", "dagster"))
        constant = statistics.median(bare.seconds) if bare else 0.0
        more = (statistics.median(dagster.seconds) - constant) / statistics.median(ours.seconds) - 1
        lines.append(
            f"| through Dagster: at most 10 % more than the library, plus a constant | {ours.rows:,} rows "
            f"| {more:+.0%} and {constant:.1f} s |"
        )
    tools = [pair for tool in TOOLS if (pair := largest("first", "library", tool))]
    for ours, tool in tools:
        times = statistics.median(tool.seconds) / statistics.median(ours.seconds)
        goal = 10 if tool.contender == "pandas" else 3
        what = f"{goal} x faster than {CONTENDERS[tool.contender].title}, first load"
        lines.append(f"| {what} | {ours.rows:,} rows | {times:.1f} x |")
    if pair := largest("first", "library"):
        lines.append(f"| peak memory of the run under 600 MB | {pair[0].rows:,} rows | {pair[0].own_mb:.0f} MB |")
    return "\n".join(lines) if len(lines) > 2 else ""


def _stages(found: list[Figure]) -> str:
    ours = [f for f in found if f.contender == "library" and f.chain == "daily" and f.case == "first"]
    if not ours:
        return ""
    largest = max(ours, key=lambda figure: figure.rows)
    lines = [f"| {name} | {seconds:.2f} |" for name, seconds in largest.stages.items()]
    head = f"### Where the seconds of our first load go ({largest.rows:,} rows)"
    note = "`audit:` is what the load's audit says of the parts; those that overlap add up to more than the steps."
    return "\n".join([head, "", note, "", "| stage | seconds |", "|---|---:|", *lines])


def _plot(found: list[Figure]) -> str:
    """Ratios to the floor by case, each contender at the largest size that it was measured at."""
    chosen: list[Figure] = []
    for case in CASES:
        among = [f for f in found if f.case == case and f.chain in ("daily", "delta") and f.ratios]
        by_name = {name: [f for f in among if f.contender == name] for name in CONTENDERS}
        chosen += [max(mine, key=lambda figure: figure.rows) for mine in by_name.values() if mine]
    return bars(
        "Seconds of a load as multiples of the floor (logarithmic; less is better)",
        [
            Bar(f.case, f"{CONTENDERS[f.contender].title.replace('`', '')} ({f.rows:,} rows)",
                statistics.median(f.ratios), min(f.ratios), max(f.ratios), f.contender in ("library", "dagster"))
            for f in chosen
        ],
    )  # fmt: skip


def _place(record: Record) -> str:
    return f"{record['chain']} {record['rows']:,} {record['case']} {record['contender']}"


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)


def _spread(values: Sequence[float], digits: int) -> str:
    if not values:
        return ""
    middle = f"{statistics.median(values):,.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):,.{digits}f}..{max(values):,.{digits}f})"
