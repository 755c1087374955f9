"""From the arrival of a dump to its rows in the table, through `claims-pipeline dev`: sensors, queue, a process a run.

Belongs here: small dumps dropped at odd times, and when each is in its table. Does not belong here: the parts of that
time (startup.py), what follows from it for a cluster (simulate.py).

    python -m claims_pipeline_tests.benchmarks.to_table --dumps 8

Everything is as delivered: ticks every 15 s, uploads that settle for 5 s, a look into the queue every 5 s.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg

from claims_pipeline.landing.s3 import ensure_bucket
from claims_pipeline.local import ensure_up, reset, s3_client
from claims_pipeline.settings import PROJECT_ROOT, Settings
from claims_pipeline_tests.benchmarks.launcher import wait_for
from claims_pipeline_tests.benchmarks.measure import say
from claims_pipeline_tests.benchmarks.startup import FIRST, small_dump

_PROGRAM = str(Path(sys.executable).parent / "claims-pipeline")
_LOADED = "select key, extract(epoch from settled_at)::float8 from ops.dump where status = 'loaded'"


def measure(state: Path, dumps: int) -> list[float]:
    """Seconds of each dump from the end of its upload to the commit of its rows, in order of size.

    Args:
        state: folder of embedded parts of its own, which the caller resets.
        dumps: how many, of ten rows each, 12 to 28 s apart.

    Raises:
        RuntimeError: not all are loaded three minutes after the last.
    """
    services = ensure_up(state)
    s3, inbox = s3_client(services.s3), str(Settings.model_fields["inbox_bucket"].default)
    ensure_bucket(s3, inbox)
    environment = {**os.environ, "CLAIMS_STATE_DIR": str(state)}
    subprocess.run([_PROGRAM, "migrate"], env=environment, check=True, stdout=subprocess.DEVNULL)
    chance, dropped = random.Random(526), {}
    with _dev(state, environment), psycopg.connect(services.database_url, autocommit=True) as database:

        def loaded() -> dict[str, float]:
            return dict(database.execute(_LOADED).fetchall())

        for number in range(dumps + 1):
            key, body = small_dump(FIRST + timedelta(days=number), number)
            s3.put_object(Bucket=inbox, Key=key, Body=body)
            dropped[key] = time.time()
            if number == 0:  # the first waits until everything runs, and is left out
                wait_for(lambda: bool(loaded()), seconds=180, pause=1)
            time.sleep(chance.uniform(12, 28))
        wait_for(lambda: loaded().keys() >= dropped.keys(), seconds=180, pause=1)
        ended = loaded()
    return sorted(ended[key] - begun for key, begun in list(dropped.items())[1:])


@contextmanager
def _dev(state: Path, environment: dict[str, str]) -> Iterator[None]:
    """Dagster's webserver, daemon and code server, and their end."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    with (state / "dev.log").open("wb") as log:
        process = subprocess.Popen(
            [_PROGRAM, "dev", "--port", str(port)], cwd=PROJECT_ROOT, env=environment, stdout=log, stderr=log
        )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=90)


def main(words: Sequence[str] | None = None) -> None:
    """Measure in a folder of its own, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dumps", type=int, default=8, help="how many; each takes some 20 s")
    parser.add_argument("--json", action="store_true", help="the seconds of each, as JSON")
    chosen = parser.parse_args(words)
    with tempfile.TemporaryDirectory(prefix="claims-to-table-") as folder:
        try:
            seconds = measure(Path(folder), chosen.dumps)
        finally:
            reset(Path(folder))
    text = f"{len(seconds)} dumps: {seconds[0]:.1f} .. {seconds[-1]:.1f} s, median {statistics.median(seconds):.1f} s"
    say(json.dumps([round(one, 1) for one in seconds]) if chosen.json else text)


if __name__ == "__main__":
    main()
