"""One run of the library in a process of its own, for benchmarks; its last line says in JSON what each step took.

Belongs here: calling the public steps of `Flow` and `catch_up`, and reading the audit. Does not belong here: what is
delivered, what is concluded (growth.py, instance.py). The environment names the database, S3 and feeds (site.py).

    python -m claims_pipeline_tests.benchmarks.one_run bench/members            every open dump, one after another
    python -m claims_pipeline_tests.benchmarks.one_run bench/members --key K    the one with this key in the inbox
    python -m claims_pipeline_tests.benchmarks.one_run bench/members --catch-up as `claims-pipeline catch-up` does
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Sequence
from typing import Any

from claims_pipeline.catching_up import catch_up
from claims_pipeline.feeds import Feed, feed_named
from claims_pipeline.flow import Flow
from claims_pipeline.services import Services
from claims_pipeline.settings import get_settings
from claims_pipeline.warehouse import reports
from claims_pipeline.warehouse.ledger import Dump

STEPS = ("archive", "validate", "load")


def main(words: Sequence[str] | None = None) -> None:
    """Load what is open of a feed, and say what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("feed")
    parser.add_argument("--key")
    parser.add_argument("--catch-up", action="store_true")
    arguments = parser.parse_args(words)
    feed = feed_named(arguments.feed)
    flow = Flow(Services(get_settings()), run_id="bench")
    begun = time.perf_counter()
    said = _catch_up(flow, feed) if arguments.catch_up else _step_by_step(flow, feed, arguments.key)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    scale = 1 << 20 if sys.platform == "darwin" else 1 << 10
    said |= {
        "seconds": round(time.perf_counter() - begun, 3),
        "cpu": round(usage.ru_utime + usage.ru_stime, 3),
        "max_rss_mb": round(usage.ru_maxrss / scale, 1),
    }
    sys.stdout.write(json.dumps(said) + "\n")


def _step_by_step(flow: Flow, feed: Feed, key: str | None) -> dict[str, Any]:
    flow.prepare([feed])
    begun = time.perf_counter()
    found = flow.discover(feed.sender)
    discovered = time.perf_counter() - begun
    mine = [dump for dump in found.open if dump.dataset == feed.dataset and key in (None, dump.key)]
    if not mine:
        raise SystemExit("nothing to load was found")
    return {"discover": round(discovered, 3), "dumps": [_one(flow, feed, dump) for dump in mine]}


def _one(flow: Flow, feed: Feed, dump: Dump) -> dict[str, Any]:
    seconds: dict[str, float] = {}
    for step in (flow.archive, flow.validate, flow.load):
        begun = time.perf_counter()
        dump = step(dump, feed)
        seconds[step.__name__] = round(time.perf_counter() - begun, 4)
    if dump.status != "loaded":
        raise SystemExit(f"dump {dump.dump_id} was not loaded: {dump.status}")
    with flow.services.database() as connection:
        audit = reports.loads_of(connection, dump.dump_id)[0]
    stages = {f"validate.{name}": spent for name, spent in (dump.validation or {})["seconds"].items()}
    stages |= {f"load.{name}": spent for name, spent in audit["seconds"].items()}
    rows = {name.removeprefix("rows_"): count for name, count in audit.items() if name.startswith("rows_") and count}
    return {"seconds": seconds, "stages": stages, "rows": rows}


def _catch_up(flow: Flow, feed: Feed) -> dict[str, Any]:
    began: list[float] = []
    done = catch_up(flow, feed.sender, each=lambda _: began.append(time.perf_counter()))
    ended = time.perf_counter()
    if open_ones := [dump.dump_id for dump in done if dump.status != "loaded"]:
        raise SystemExit(f"{len(open_ones)} of {len(done)} dumps were not loaded")
    spent = [round(after - before, 4) for before, after in zip(began, [*began[1:], ended], strict=True)]
    return {"per_dump": spent}


if __name__ == "__main__":
    main()
