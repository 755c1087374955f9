"""How long a look into an inbox of a million keys takes, in what memory, and how many events a hearing takes in.

    python -m claims_pipeline_tests.benchmarks.inbox [--keys 1000000] [--events 2000] [--only events]

Belongs here: the measurement. Does not belong here: limits that a test would assert (a machine may be slow).

The inbox is a server of formulas in a process of its own (fix_inbox.py), the ledger knows all its keys but the newest
days', Postgres is embedded, and each figure comes from a process of its own (memory: its largest resident set).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg
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
        settle_seconds=0.01,
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


def in_portions(services: Services) -> str:
    """All of an inbox of which nothing is known, as `catch-up` goes through it, each portion looked at twice.

    Nothing is loaded: that a portion was is noted in the ledger.
    """
    from claims_pipeline.catching_up import NEW_IN_A_PORTION
    from claims_pipeline.extent import Extent, Round

    bucket = services.settings.inbox_bucket
    at, portions, new = Round(), 0, 0
    while portions == 0 or at.after is not None:
        plan = Extent.portion(services.s3, bucket, SENDER, at=at, most_new=NEW_IN_A_PORTION)
        found = Flow(services, run_id="bench").discover_twice(SENDER, plan)
        at, portions, new = plan.at, portions + 1, new + found.new
        with services.database() as connection:
            connection.execute("update ops.dump set status = 'loaded' where status = 'arrived'")
    return f"{portions} portions, new {new:,}"


def measured(work: Callable[[Services], str], url: str, inbox: str, queue: str | None, found: Any) -> None:
    """Do one piece of work, and say how long it took and how much memory the process had at most."""
    with tempfile.TemporaryDirectory() as folder:
        login = {"s3_access_key_id": "test", "s3_secret_access_key": SecretStr("test")}
        settings = settings_of(url, Path(folder), **login, events_queue_url=queue)
        client = Inbox((), inbox).client
        services = Services(settings, lambda: client)
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


def hearing(services: Services) -> str:
    """All that is in the queue, of objects whose keys lie together, as those of a day do."""
    from claims_pipeline.hearing import hear

    heard = hear(services, most_messages=1_000_000, most_seconds=600)
    return str(heard)


def serve_queue(keys: int, count: int, found: Any) -> None:
    """Serve a queue of events of the inbox's first keys, each received once: SQS's JSON protocol, and nothing kept."""
    told = iter(Keys(keys // A_DAY // len(DATASETS), A_DAY)[:count])

    def body(key: str) -> str:
        written = {"key": key, "eTag": "d41d8cd98f00b204e9800998ecf8427e", "size": 7}
        s3 = {"bucket": {"name": "claims-inbox"}, "object": written}
        return json.dumps({"Records": [{"eventName": "ObjectCreated:Put", "s3": s3}]})

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet: the second would wait for the first's acknowledgement

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            answer: dict[str, Any] = {"Successful": [], "Failed": []}
            if self.headers["X-Amz-Target"].endswith("ReceiveMessage"):
                answer = {"Messages": [{"ReceiptHandle": key, "Body": body(key)} for key in islice(told, 10)]}
            text = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-amz-json-1.0")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.put(f"http://127.0.0.1:{server.server_address[1]}/123456789012/events")
    server.serve_forever()


def say(line: str) -> None:
    """Write a line to standard output at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def forget(url: str) -> None:
    """Empty the ledger."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("delete from ops.dump")
        connection.execute("vacuum analyze ops.dump")


def main() -> None:
    """Measure, and write what was measured to standard output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=2_000)
    parser.add_argument("--only", choices=["listings", "portions", "events"], help="this alone; without it, all")
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
        url = local.database_url
        if asked.only in (None, "events"):
            told = _SPAWN.Queue()
            queue = _SPAWN.Process(target=serve_queue, args=(asked.keys, asked.events, told), daemon=True)
            queue.start()
            say(in_a_process(measured, hearing, url, inbox, told.get()))
            queue.terminate()
            forget(url)
        if asked.only in (None, "portions"):
            say(in_a_process(measured, in_portions, url, inbox, None))
            forget(url)
        if asked.only in (None, "listings"):
            say(f"{in_a_process(measured, one_tick, url, inbox, None)}, of nothing known")
            forget(url)
            fill(url, asked.keys)
            for work in (by_ticks, whole):
                say(in_a_process(measured, work, url, inbox, None))
    finally:
        server.terminate()
        reset(state)


if __name__ == "__main__":
    main()
