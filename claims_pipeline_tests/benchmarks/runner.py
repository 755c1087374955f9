"""Runs plans: every contender in turn, round after round, each load measured, verified and written down at once.

Belongs here: the order of things, and what is recorded of a load. Does not belong here: how one loads (contenders),
what the figures say (report.py).
"""

from __future__ import annotations

import datetime as dt
import json
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg

from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline_tests.benchmarks import measure
from claims_pipeline_tests.benchmarks.cases import Chain, Held, Step
from claims_pipeline_tests.benchmarks.contenders import Contender
from claims_pipeline_tests.benchmarks.contenders.every import CONTENDERS
from claims_pipeline_tests.benchmarks.contenders.tools import program
from claims_pipeline_tests.benchmarks.measure import FailedError, say
from claims_pipeline_tests.benchmarks.site import Site

Record = dict[str, Any]
"""A line of results: chain, rows, contender, round; then case and figures, or an error."""

LONGEST_LOAD = 900.0
"""Seconds after which a load is given up."""


@dataclass(frozen=True)
class Plan:
    """A chain, and by contender how many rounds it takes part in; the first contender is what others are compared to.

    Round n of everybody is measured before round n + 1 of anybody.
    """

    chain: Chain
    rounds: Mapping[str, int]


class Results:
    """The results of one run of the benchmarks, in a file of JSON lines."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self) -> None:
        """Forget what is there."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("")

    def add(self, record: Record) -> None:
        """Write one line, at once."""
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")

    def all(self) -> list[Record]:
        """Every line; none where there is no file."""
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_text().splitlines()]


def run(site: Site, plans: Sequence[Plan], results: Results) -> None:
    """Run what of the plans is not in the results yet. A contender that fails is left out of its chain from then on."""
    for plan in plans:
        able = [CONTENDERS[name] for name in plan.rounds if plan.chain.name in CONTENDERS[name].chains]
        for round_number in range(1, max(plan.rounds.values()) + 1):
            for contender in [one for one in able if round_number <= plan.rounds[one.name]]:
                past = [r for r in results.all() if _same(r, plan.chain, contender)]
                if any("error" in r for r in past) or _is_done(past, plan.chain, round_number):
                    continue
                label = f"{plan.chain.name} {plan.chain.rows:,} round {round_number} {contender.name:12}"
                for record in run_chain(site, plan.chain, contender):
                    whole = {"chain": plan.chain.name, "rows": plan.chain.rows, "contender": contender.name}
                    results.add({**whole, "round": round_number, **record})
                    say(f"{label} {_told(record)}")


def _same(record: Record, chain: Chain, contender: Contender) -> bool:
    return (record["chain"], record["rows"], record["contender"]) == (chain.name, chain.rows, contender.name)


def _is_done(past: Iterable[Record], chain: Chain, round_number: int) -> bool:
    done = {record["case"] for record in past if record["round"] == round_number}
    return done == {step.case for step in chain.steps if step.measured}


def _told(record: Record) -> str:
    if "error" in record:
        return f"{record['case']}: {record['error']}"
    return f"{record['case']:10} {record['seconds']:8.2f} s  cpu {sum(record['cpu'].values()):7.2f} s"


def run_chain(site: Site, chain: Chain, contender: Contender) -> list[Record]:
    """Let one contender load a chain, once.

    Returns:
        A record for every measured step; or a single one with the error, since later steps build on earlier ones.
    """
    case = chain.steps[0].case
    if reason := contender.missing(site):
        return [{"case": case, "error": reason}]
    try:
        contender.prepare(site, chain)
        records: list[Record] = []
        for step in chain.steps:
            case = step.case
            record = _run_step(site, chain, step, contender)
            if step.measured:
                records.append(record)
    except (FailedError, ClaimsPipelineError, OSError, psycopg.Error, subprocess.SubprocessError) as error:
        records = [{"case": case, "error": " ".join(str(error).split())[:500] or type(error).__name__}]
    # With it goes what autovacuum would do about it while the next contender is measured.
    site.drop_database(contender.name)
    return records


def _run_step(site: Site, chain: Chain, step: Step, contender: Contender) -> Record:
    file = chain.file(step, site.files, contender.ending(chain), program(site, "tpchgen", "tpchgen-cli"))
    contender.make_ready(site, chain, step, file)
    site.settle_down()
    command = contender.command(site, chain, step, file)
    measured = measure.run(
        command.words,
        env=command.env,
        beside=measure.servers(site.state),
        seconds=LONGEST_LOAD,
        cwd=site.folder,
    )
    _verify(site, chain, step, contender)
    usage = asdict(measured.usage)
    process = usage.pop("seconds")
    seconds = measured.said.get("seconds", process)
    return {
        "case": step.case,
        "seconds": round(float(str(seconds)), 3),
        "process_seconds": process,
        **usage,
        "stages": measured.said.get("stages", {}),
        "bytes": file.stat().st_size,
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }


def _verify(site: Site, chain: Chain, step: Step, contender: Contender) -> None:
    """Compare the table with what must be in it.

    Raises:
        FailedError: it holds something else.
    """
    first, second = chain.summed
    query = f"select count(*), sum({first}::bigint), sum({second}::bigint) from {contender.table(chain)}"
    with psycopg.connect(site.url(contender.name)) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    held, expected = Held(*(int(value or 0) for value in row)), chain.expected(step, site.files)
    if held != expected:
        raise FailedError(f"the table holds {held}, not {expected}")
