"""Ours through Dagster: what the arrivals sensor would ask for, run by Dagster with an instance on disk.

Belongs here: one look of the sensor and the run that it asks for, in one process, as the demo does. Does not belong
here: starting webserver and daemon, or the time until a tick comes (startup.py).
`python -m` this, with the feed's name and the status that the dump must end with, is the measured process.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from time import perf_counter

import dagster as dg

from claims_pipeline.definitions import build_definitions
from claims_pipeline.feeds import feed_named
from claims_pipeline.orchestration.instance import prepare_home
from claims_pipeline.orchestration.resources import InboxS3, PipelineResource
from claims_pipeline.orchestration.sensors import look
from claims_pipeline.services import Services
from claims_pipeline.settings import get_settings
from claims_pipeline.warehouse import ledger
from claims_pipeline_tests.benchmarks.cases import Chain
from claims_pipeline_tests.benchmarks.contenders.library import Library
from claims_pipeline_tests.benchmarks.measure import say
from claims_pipeline_tests.benchmarks.site import Site

_QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}


class ThroughDagster(Library):
    """The same dumps, by Dagster runs."""

    name = "dagster"
    title = "claims_pipeline, through Dagster"
    module = __name__

    def prepare(self, site: Site, chain: Chain) -> None:
        """Besides: no runs of earlier rounds."""
        super().prepare(site, chain)
        for name in ("dagster", "dagster_home", "run_locks"):
            shutil.rmtree(site.state / name, ignore_errors=True)


def main(feed_name: str, status: str) -> None:
    """Look once, run what is asked for; say in JSON what took how long.

    Raises:
        SystemExit: a run failed, or the feed's newest dump did not end with that status.
    """
    feed = feed_named(feed_name)
    os.environ["DAGSTER_HOME"] = str(prepare_home(get_settings()))
    job = build_definitions().resolve_implicit_global_asset_job_def()
    begun = perf_counter()
    pipeline = PipelineResource(s3=InboxS3())
    with dg.DagsterInstance.get() as instance:
        opened = perf_counter()
        requests, _, _ = look(instance, pipeline, feed.sender)
        looked = perf_counter()
        for request in requests:
            result = job.execute_in_process(
                instance=instance,
                asset_selection=list(request.asset_selection or ()),
                tags=request.tags,
                raise_on_error=False,
                run_config=_QUIET,
            )
            if not result.success:
                raise SystemExit("the run failed")
    ended = perf_counter()
    with Services(get_settings()).database() as connection:
        dump = ledger.select(connection, "sender = %s and dataset = %s", [feed.sender.name, feed.dataset])[-1]
    if dump.status != status:
        raise SystemExit(f"the dump ended as {dump.status}, not {status}: {dump.reason}")
    stages = {"instance": opened - begun, "look": looked - opened, "run": ended - looked}
    say(json.dumps({"seconds": ended - begun, "stages": {name: round(spent, 3) for name, spent in stages.items()}}))


if __name__ == "__main__":
    main(*sys.argv[1:])
