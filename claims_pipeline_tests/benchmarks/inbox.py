"""How long a look into an inbox of a million keys takes, in what memory, and how many events a hearing takes in.

    python -m claims_pipeline_tests.benchmarks.inbox [--keys 1000000] [--events 2000]

Belongs here: the measurement. Does not belong here: limits that a test would assert (a machine may be slow).

The inbox is a server of formulas in a process of its own (fix_inbox.py), the ledger knows all its keys but the newest
days', Postgres is embedded, and each figure comes from a process of its own (memory: its largest resident set).
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import resource
import secrets
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from moto.server import ThreadedMotoServer
from pydantic import SecretStr

from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline.flow import Flow
from claims_pipeline.frames import make_key_ring
from claims_pipeline.local import ensure_up, reset
from claims_pipeline.services import Services
from claims_pipeline.settings import Settings
from claims_pipeline.warehouse.migrate import migrate
from claims_pipeline_tests.fix_inbox import DATASETS, FIRST, Inbox, Keys, inbox_of

A_DAY = 200
_SPAWN = multiprocessing.get_context("spawn")


def settings_of(url: str, folder: Path, **more: Any) -> Settings:
    """Settings for a database; the S3 client is passed beside them."""
    ring = SecretStr(make_key_ring())
    return Settings(
        state_dir=folder,
        database_url=SecretStr(url),
        s3_endpoint_url="aws",
        token_keys=ring,
        quarantine_keys=ring,
        **more,
    )


def fill(url: str, keys: int) -> None:
    """Enter the first so many keys of every day into the ledger, as the server would list them."""
    days = keys // A_DAY // len(DATASETS)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            """
            insert into ops.dump (sender, dataset, bucket, key, etag, size_bytes, last_modified, delivery_day, stamp,
                                  status, reason)
            select 'va_form526', s.dataset, 'claims-inbox',
                   format('526/%%s/dt=%%s/%%s_%%s.csv', s.dataset, s.day, s.dataset,
                          to_char(s.stamp, 'YYYYMMDD"T"HH24MISS"Z"')),
                   'd41d8cd98f00b204e9800998ecf8427e', 7, '2024-01-01 00:00Z', s.day, s.stamp at time zone 'UTC',
                   'skipped', 'known'
            from (select dataset, %(first)s::date + d as day,
                         (%(first)s::date + d)::timestamp + make_interval(secs => n * (86400 / %(a_day)s)) as stamp
                  from unnest(%(datasets)s::text[]) dataset, generate_series(0, %(days)s - 1) d,
                       generate_series(0, %(a_day)s - 1) n) s
            """,
            {"first": FIRST, "a_day": A_DAY, "days": days, "datasets": DATASETS},
        )
        connection.execute("vacuum analyze ops.dump")


def serve(keys: int, found: Any) -> None:
    """Serve an inbox until the process is ended."""
    with inbox_of(Keys(keys // A_DAY // len(DATASETS), A_DAY)) as inbox:
        found.put(inbox.url)
        time.sleep(86_400)


def whole(services: Services) -> str:
    """One look that lists everything."""
    found = Flow(services, run_id="bench").discover(SENDER)
    return f"listed {found.listed:,}, new {found.new:,}"


def by_ticks(services: Services) -> str:
    """A whole round, tick by tick."""
    from claims_pipeline.extent import Extent, Round

    at, longest, ticks = Round(), 0.0, 0
    while ticks == 0 or at.after is not None:
        begun = time.monotonic()
        plan = Extent.of_tick(services.s3, services.settings, SENDER, at=at, hearing=True, backlog=0)
        Flow(services, run_id="bench").discover(SENDER, plan)
        at, ticks, longest = plan.at, ticks + 1, max(longest, time.monotonic() - begun)
    return f"{ticks} ticks, the longest {longest:.1f} s"


def one_tick(services: Services) -> str:
    """The first tick only, as with a ledger that knows nothing."""
    from claims_pipeline.extent import Extent, Round

    plan = Extent.of_tick(services.s3, services.settings, SENDER, at=Round(), hearing=True, backlog=0)
    found = Flow(services, run_id="bench").discover(SENDER, plan)
    return f"listed {found.listed:,}, new {found.new:,}"


def measured(work: Callable[[Services], str], url: str, inbox: str, found: Any) -> None:
    """Do one piece of work, and say how long it took and how much memory the process had at most."""
    with tempfile.TemporaryDirectory() as folder:
        services = Services(settings_of(url, Path(folder)), lambda: Inbox((), inbox).client)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        begun, cpu = time.monotonic(), time.process_time()
        said = work(services)
        cpu, seconds = time.process_time() - cpu, time.monotonic() - begun
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        memory = f"{before >> 10} MiB before, {peak >> 10} MiB at most"
        found.put(f"{work.__name__:10} {seconds:7.1f} s, {cpu:.1f} s of CPU, {memory}: {said}")


def in_a_process(work: Callable[..., None], *arguments: object) -> str:
    """What a process of its own has to say."""
    found = _SPAWN.Queue()
    process = _SPAWN.Process(target=work, args=(*arguments, found))
    process.start()
    said: str = found.get()
    process.join()
    return said


def hearing(url: str, count: int, found: Any) -> None:
    """Events per second of a hearing with moto as S3 and SQS, both of which cost most of the time."""
    import boto3

    from claims_pipeline.hearing import hear

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    access = {"endpoint_url": f"http://{host}:{port}", "region_name": "us-east-1"}
    access |= {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    s3, sqs = boto3.client("s3", **access), boto3.client("sqs", **access)  # type: ignore[call-overload]
    bucket, queue = f"b-{secrets.token_hex(8)}", sqs.create_queue(QueueName="q")["QueueUrl"]
    s3.create_bucket(Bucket=bucket)
    arn = "arn:aws:sqs:us-east-1:123456789012:q"
    s3.put_bucket_notification_configuration(
        Bucket=bucket,
        NotificationConfiguration={"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]},
    )
    for key in Keys(count, 1)[:count]:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    with tempfile.TemporaryDirectory() as folder:
        more = {"inbox_bucket": bucket, "events_queue_url": queue, "s3_access_key_id": "test"}
        settings = settings_of(url, Path(folder), **more, s3_secret_access_key=SecretStr("test"))
        begun = time.monotonic()
        heard = hear(Services(settings, lambda: s3), most_messages=count, most_seconds=600)
        seconds = time.monotonic() - begun
    found.put(f"hearing    {seconds:7.1f} s, {count / seconds:.0f} events a second: {heard}")
    server.stop()


def main() -> None:
    """Measure, and write what was measured to standard output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=2_000)
    asked = parser.parse_args()
    state = Path(tempfile.mkdtemp(prefix="inbox-"))
    served = _SPAWN.Queue()
    server = _SPAWN.Process(target=serve, args=(asked.keys, served), daemon=True)
    try:
        local = ensure_up(state)
        with psycopg.connect(local.database_url, autocommit=True) as connection:
            migrate(connection, [])
        server.start()
        inbox = served.get()
        sys.stdout.write(f"{in_a_process(measured, one_tick, local.database_url, inbox)}, of nothing known\n")
        with psycopg.connect(local.database_url, autocommit=True) as connection:
            connection.execute("delete from ops.dump")
        fill(local.database_url, asked.keys)
        for work in (by_ticks, whole):
            sys.stdout.write(in_a_process(measured, work, local.database_url, inbox) + "\n")
            sys.stdout.flush()
        sys.stdout.write(in_a_process(hearing, local.database_url, asked.events) + "\n")
    finally:
        server.terminate()
        reset(state)


if __name__ == "__main__":
    main()
