"""Ours through the library: a dump in the S3 inbox becomes rows of the table, by the steps of `Flow`.

Belongs here: what `catch-up` does for one dump, with the time of each step. Does not belong here: Dagster.
`python -m` this, with the feed's name and the status that the dump must end with, is the measured process.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import perf_counter

from claims_pipeline.feeds import Feed, feed_named
from claims_pipeline.flow import Flow
from claims_pipeline.services import Services
from claims_pipeline.settings import get_settings
from claims_pipeline.warehouse import reports
from claims_pipeline_tests.benchmarks import feeds
from claims_pipeline_tests.benchmarks.cases import Chain, Ending, Step
from claims_pipeline_tests.benchmarks.contenders import Command, Contender
from claims_pipeline_tests.benchmarks.measure import say
from claims_pipeline_tests.benchmarks.site import Site


class Library(Contender):
    """`Flow`, in a process of its own for each dump."""

    name = "library"
    title = "claims_pipeline, as a library"
    chains = frozenset({"daily", "delta", "lineitem", "small"})
    module = __name__

    def prepare(self, site: Site, chain: Chain) -> None:
        """Migrate an empty database, empty the buckets."""
        site.empty_pipeline(self.name)

    def ending(self, chain: Chain) -> Ending:
        """Deltas come as Parquet."""
        return "parquet" if chain.name == "delta" else "csv"

    def make_ready(self, site: Site, chain: Chain, step: Step, file: Path) -> None:
        """Put the file into the inbox."""
        site.deliver(feed_of(chain), step.number, file)

    def command(self, site: Site, chain: Chain, step: Step, file: Path) -> Command:
        """This module, as a program."""
        status = "skipped" if step.case == "identical" else "loaded"
        words = (sys.executable, "-m", self.module, feed_of(chain).name, status)
        return Command(words, site.settings(self.name))

    def table(self, chain: Chain) -> str:
        """The feed's table."""
        return f"bench.{feed_of(chain).dataset}"


def feed_of(chain: Chain) -> Feed:
    """The feed that a chain's files belong to when we load them."""
    return feeds.MEMBERS_PARQUET if chain.name == "delta" else chain.feed


def main(feed_name: str, status: str) -> None:
    """Find and load the one open dump of a feed; say in JSON what took how long.

    Raises:
        SystemExit: it did not end with that status.
    """
    begun = perf_counter()
    feed = feed_named(feed_name)
    flow = Flow(Services(get_settings()), run_id="bench")
    flow.prepare([feed])
    (dump,) = [dump for dump in flow.discover(feed.sender).open if dump.dataset == feed.dataset]
    stages = {"discover": perf_counter() - begun}
    for step in (flow.archive, flow.validate, flow.load):
        at = perf_counter()
        if dump.is_open:
            dump = step(dump, feed)
        stages[step.__name__] = perf_counter() - at
    seconds = perf_counter() - begun
    if dump.status != status:
        raise SystemExit(f"the dump ended as {dump.status}, not {status}: {dump.reason}")
    with flow.services.database() as connection:
        for audit in reports.loads_of(connection, dump.dump_id):
            stages |= {f"audit: {name}": spent for name, spent in audit["seconds"].items()}
    say(json.dumps({"seconds": seconds, "stages": {name: round(spent, 3) for name, spent in stages.items()}}))


if __name__ == "__main__":
    main(*sys.argv[1:])
