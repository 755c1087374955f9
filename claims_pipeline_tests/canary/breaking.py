"""A round: canaries are delivered, and everything that can break is broken, through Dagster and through the command.

Belongs here: what is broken, in an order in which each can happen. Does not belong here: where it is searched for.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import re
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from psycopg import sql

from claims_pipeline.feeds import Feed, all_feeds, feed_named, feeds_of
from claims_pipeline.flow import Flow
from claims_pipeline.frames import make_key_ring
from claims_pipeline.vocabulary import DumpVerdict
from claims_pipeline.warehouse import ledger
from claims_pipeline.warehouse.ddl import table_of
from claims_pipeline_tests.canary.dumps import dumps_of, key_of, later, unreadable
from claims_pipeline_tests.canary.places import activity, open_files, process
from claims_pipeline_tests.canary.scene import Scene
from claims_pipeline_tests.canary.values import HIDDEN, KEPT
from claims_pipeline_tests.fix_listeners import INVALID_AUTH, SERVER_ERROR, SlackAnswer, rate_limited
from claims_pipeline_tests.fix_proxy import Proxy

SUBMISSIONS, UPLOADS = feed_named("va_form526/form526_submissions"), feed_named("va_form526/form526_uploads")
PATIENTS = feed_named("indici/patients")
WRONG = (SUBMISSIONS, UPLOADS, PATIENTS)
"""Feeds of which also unreadable dumps come: one of each format, and the one with the fewest columns."""

FEW = 3
"""Sound rows of a feed in the round of `make test`."""

_FAULTS = {
    "an error at the commit that quotes the row": (
        "create function {fault}() returns trigger language plpgsql as $$ begin"
        " raise exception 'no place for %', to_jsonb(new) using errcode = '23514', detail = to_jsonb(new)::text,"
        " hint = to_jsonb(new)::text; end $$",
        "create constraint trigger fault after insert or update on {table} deferrable initially deferred"
        " for each row execute function {fault}()",
    ),
    "a serialization failure that quotes the row": (
        "create function {fault}() returns trigger language plpgsql as $$ begin"
        " raise exception 'could not serialize %', to_jsonb(new) using errcode = '40001'; end $$",
        "create trigger fault before insert on {table} for each row execute function {fault}()",
    ),
    "a check constraint": ("alter table {table} add constraint fault check (length({column}::text) < 0) not valid",),
    "a unique constraint at the commit": (
        "alter table {table} add column fault text",
        f"alter table {{table}} alter column fault set default '{KEPT.text}00000'",
        "alter table {table} add constraint fault unique (fault) deferrable initially deferred",
    ),
}
"""What the database is made to refuse: by name, statements on the table of a feed and one of its kept columns. New rows
are written by COPY, so that errors have its CONTEXT too."""


def round_of_everything(scene: Scene, proxy: Callable[[str], Proxy], *, rows: int = FEW) -> None:
    """Play the whole round.

    Args:
        scene: empty.
        proxy: makes a proxy to the server of a URL.
        rows: sound rows of each feed.
    """
    for feed in all_feeds():
        scene.deliver(*dumps_of(feed, scene.planted, rows=rows))
    for feed in WRONG:
        scene.deliver(*unreadable(feed, scene.planted))
    _deliver_strangers(scene)
    _runs(scene, whole=rows > FEW)
    _commands(scene)
    _person(scene)
    _refusals_of_the_database(scene)
    _defects(scene)
    _broken_connections(scene, proxy)
    _deaf_listeners(scene)
    _stopped_and_killed(scene)


# ---------------------------------------------------------------------------------------------- what is broken


def _deliver_strangers(scene: Scene) -> None:
    """A dump that no contract knows, and a checksum file that holds a record."""
    text = scene.planted.text(UPLOADS, "?", "of a file that is no dump", HIDDEN)
    scene.put("526/people/export.csv", f"name\n{text}\n".encode())
    scene.put(f"{key_of(UPLOADS, hour=2)}.sha256", text.encode())


def _runs(scene: Scene, *, whole: bool) -> None:
    """One sender through Dagster, of the other as much as CPU is to be spent, while Slack answers with errors."""
    scene.slack.will_answer(SERVER_ERROR, INVALID_AUTH, SlackAnswer(status=200, text="<html>sign in</html>"))
    scene.run(feeds_of(UPLOADS.sender.name))
    scene.run(feeds_of(PATIENTS.sender.name) if whole else [PATIENTS])
    scene.call("catch-up")


def _commands(scene: Scene) -> None:
    """Every command that touches records, on dumps that are held, refused, loaded."""
    files = scene.folder / "samples"
    files.mkdir()
    with scene.database() as connection:
        held = [dump for dump in ledger.select(connection, "true") if dump.verdict is DumpVerdict.HELD]
        refused = ledger.select(connection, "status = 'refused' and verdict is distinct from 'held'")
    for dump in held:
        scene.call("approve", str(dump.dump_id), "--reason", "a test")
    scene.call("catch-up")
    for dump in (*held, *refused):
        scene.call("explain", str(dump.dump_id), *(() if dump.dump_id % 2 else ("--json",)))
    for dump in held:
        scene.call("quarantine", "show", str(dump.dump_id), "--sealed-only", "--limit", "500")
    for number, dump in enumerate(refused):
        scene.call("retry", str(dump.dump_id))
        scene.call("feeds", "diff", str(dump.dump_id))
        sample = files / f"{number}.{'parquet' if dump.key.endswith('parquet') else 'csv'}"
        scene.s3.download_file(scene.inbox, dump.key, str(sample))
        scene.call("feeds", "draft", str(sample))
    scene.call("catch-up", "--json")
    one = key_of(UPLOADS, hour=3).rpartition("/")[2]
    for words in (
        ("status",),
        ("status", "--json"),
        ("quarantine", "list", "--limit", "500"),
        ("quarantine", "list", "--json", "--limit", "500"),
        ("quarantine", "show", one),  # without a reason
        ("quarantine", "show", one, "--reason", "a test"),  # no terminal
        ("quarantine", "show", one, "--json"),
        ("quarantine", "replay", "--dry-run", "--feed", PATIENTS.name),
        ("quarantine", "replay", "--feed", UPLOADS.name),
        ("undo", one, "--reason", "a test"),
        ("redo", one, "--reason", "a test"),
        ("prune", "--dry-run"),
        ("backup", "now"),
        ("migrate",),
    ):
        scene.call(*words)
    for sample in files.iterdir():
        sample.unlink()


def _person(scene: Scene) -> None:
    """A person is looked for by an identifier, erased, and all tokens are renewed under a new key."""
    (sound,) = (dump for dump in scene.delivered if dump.feed is SUBMISSIONS and dump.kind == "sound")
    identifier = next(csv.DictReader(io.StringIO(sound.body.decode())))["icn"]
    sender, reason = ("--sender", SUBMISSIONS.sender.name), ("--reason", "a test")
    assert scene.call("token", *sender, "--family", "icn", *reason, answer=f"{identifier}\n") == 0
    tokens = re.findall(r"\bv1_[\w-]{24}", scene.said[-1][1])
    scene.configure(token_keys=f"{os.environ['CLAIMS_TOKEN_KEYS']},{make_key_ring().replace('v1', 'v2')}")
    for words in (
        ("erase", *sender, "--token", tokens[0], *reason, "--dry-run"),
        ("erase", *sender, "--token", tokens[0], *reason),
        ("keys", "status"),
        ("keys", "retoken", *sender),
        ("audit", "verify"),
        ("reports", "refresh"),
        ("reports", "list"),
    ):
        assert scene.call(*words) == 0, words[0]


def _refusals_of_the_database(scene: Scene) -> None:
    for hour, (name, statements) in enumerate(_FAULTS.items(), 12):
        for feed, column in ((UPLOADS, "attachment_id"), (PATIENTS, "gender")):
            scene.deliver(later(feed, scene.planted, hour=hour))
            with _fault(scene, feed, column, statements):
                if hour == 12:
                    scene.run([feed])
                assert scene.call("catch-up", "--sender", feed.sender.name) == 3, f"{name}: nothing was refused"
    scene.call("catch-up")


@contextlib.contextmanager
def _fault(scene: Scene, feed: Feed, column: str, statements: tuple[str, ...]) -> Iterator[None]:
    """A database that refuses rows of a feed, until it is put right."""
    names = {"table": table_of(feed), "column": sql.Identifier(column), "fault": sql.Identifier("public", "fault")}
    with scene.database() as connection:
        for statement in statements:
            connection.execute(sql.SQL(statement).format(**names))
    yield
    with scene.database() as connection:
        for undo in (
            "drop function if exists {fault} cascade",
            "alter table {table} drop constraint if exists fault",
            "alter table {table} drop column if exists fault",
        ):
            connection.execute(sql.SQL(undo).format(**names))


def _defects(scene: Scene) -> None:
    """A bug in our own code, whose error and cause quote records, as those of pandas, Arrow and Postgres do."""
    scene.deliver(later(UPLOADS, scene.planted, hour=18))

    def broken(*_: Any) -> Any:
        value = scene.planted.text(UPLOADS, "file_name", "in an error", HIDDEN)
        raise ValueError(f"invalid value {value} in row 7") from KeyError(value, f"{KEPT.text}00000")

    for method in ("archive", "validate", "load"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Flow, method, broken)
            scene.call("catch-up")
            if method == "load":
                scene.run([UPLOADS])
    scene.call("catch-up")


def _broken_connections(scene: Scene, proxy: Callable[[str], Proxy]) -> None:
    """S3 and Postgres break off in the middle of things."""
    through = {
        "s3_endpoint_url": (scene.services.s3.url, proxy(scene.services.s3.url)),
        "database_url": (scene.database_url, proxy(scene.database_url)),
    }
    for hour, (setting, (url, broken)) in enumerate(through.items(), 19):
        scene.deliver(later(PATIENTS, scene.planted, hour=hour))
        scene.configure(**{setting: broken.in_place_of(url)})
        for count in (20_000, 60_000):
            broken.cut_after(count)
            scene.call("catch-up", "--sender", PATIENTS.sender.name)
        scene.configure(**{setting: url})
        scene.call("catch-up")


def _deaf_listeners(scene: Scene) -> None:
    """Slack asks to wait, then is gone; so is Datadog's agent."""
    scene.deliver(later(UPLOADS, scene.planted, hour=21))
    scene.slack.will_answer(rate_limited("0"))
    scene.run([UPLOADS])
    scene.deliver(later(UPLOADS, scene.planted, hour=22))
    scene.configure(slack_base_url="http://127.0.0.1:9/api/", datadog_statsd_port=9)
    scene.call("catch-up")
    scene.configure(slack_base_url=scene.slack.base_url, datadog_statsd_port=scene.statsd.port)


def _stopped_and_killed(scene: Scene) -> None:
    """A process is looked at in the middle of a load, aborted there, and another one killed."""
    for feed in (PATIENTS, SUBMISSIONS):
        scene.deliver(later(feed, scene.planted, hour=23))
    with scene.process("catch-up", failpoint="load.merged:1:stop") as stopped:
        _, status = os.waitpid(stopped.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), "the process did not come to the point where it is to be stopped"
        scene.seen += [("process", name, content) for name, content in process(stopped.pid)]
        scene.seen += [("temporary", name, content) for name, content in open_files(stopped.pid)]
        scene.seen += [
            ("temporary", str(path), path.read_bytes()) for path in scene.temporary.rglob("*") if path.is_file()
        ]
        with scene.database() as connection:
            scene.seen.append(("activity", "in the middle of a load", activity(connection)))
        os.kill(stopped.pid, signal.SIGABRT)
        os.kill(stopped.pid, signal.SIGCONT)
        assert stopped.wait(timeout=120) == -signal.SIGABRT
    with scene.process("catch-up", failpoint="load.copied") as killed:
        assert killed.wait(timeout=120) == -signal.SIGKILL
    scene.call("catch-up")
