"""A scene: a whole pipeline of the test's own whose every output is caught, and the ways to set it to work.

Belongs here: settings, a Dagster instance on disk, listeners in place of Slack and Datadog, a folder for temporary
files, capture of logs and output; runs, commands and processes. Does not belong here: what is broken (`breaking`), and
reading what is left (`places`).
"""

from __future__ import annotations

import io
import logging
import os
import secrets
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import psycopg
import pytest
import tenacity
from _pytest.logging import LogCaptureHandler
from typer.testing import CliRunner

from claims_pipeline import catching_up
from claims_pipeline.alerts.once import say_once
from claims_pipeline.cli import app
from claims_pipeline.feeds import Feed
from claims_pipeline.frames import make_key_ring
from claims_pipeline.landing.s3 import ensure_bucket
from claims_pipeline.local import LocalServices
from claims_pipeline.orchestration.keys import feed_keys
from claims_pipeline.settings import PROJECT_ROOT, get_settings
from claims_pipeline.telemetry import lineage, traces
from claims_pipeline.warehouse.connection import connect
from claims_pipeline_tests.canary.dumps import DAY, Dump
from claims_pipeline_tests.canary.values import Planted
from claims_pipeline_tests.fix_dagster import whole_job
from claims_pipeline_tests.fix_listeners import SlackListener, StatsdListener
from claims_pipeline_tests.telemetry.receiver import Receiver

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_FOREIGN = ("CLAIMS_", "DAGSTER_", "AWS_", "OTEL_", "OPENLINEAGE_")
_PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")


_USUAL = {*vars(logging.makeLogRecord({})), "message"}
"""What every record has; anything else was added to it, as structured logs do."""


class Memory(logging.Handler):
    """Every record of every logger at every level, its arguments and traceback included."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.text = io.StringIO()

    @contextmanager
    def deaf(self) -> Iterator[None]:
        """Hear nothing for a while."""
        self.setLevel(logging.CRITICAL + 1)
        yield
        self.setLevel(logging.NOTSET)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record as any handler could write it: as text, and its parts as a structured log would."""
        said = [
            record.getMessage(),
            repr(record.args),
            repr({k: v for k, v in vars(record).items() if k not in _USUAL}),
        ]
        if record.exc_info and record.exc_info[1] is not None:
            said += traceback.format_exception(record.exc_info[1])
        self.text.write("\n".join(said) + "\n")


@dataclass
class Scene:
    """A pipeline of the test's own; see the module.

    Attributes:
        folder: everything that lies on disk is below it.
        server_log: what the database server says.
        planted: the register of canaries.
        said: what commands and processes printed, by what it was.
        delivered: the dumps that were put into the inbox.
        seen: contents of places that are gone when the round is over, such as a suspended process.
    """

    services: LocalServices
    s3: S3Client
    inbox: str
    archive: str
    database_url: str = field(repr=False)
    folder: Path
    server_log: Path
    instance: dg.DagsterInstance
    slack: SlackListener
    statsd: StatsdListener
    collector: Receiver
    memory: Memory
    patch: pytest.MonkeyPatch
    planted: Planted = field(default_factory=Planted, repr=False)
    said: list[tuple[str, str]] = field(default_factory=list, repr=False)
    delivered: list[Dump] = field(default_factory=list, repr=False)
    seen: list[tuple[str, str, bytes]] = field(default_factory=list, repr=False)

    @property
    def temporary(self) -> Path:
        """The folder for temporary files."""
        return self.folder / "tmp"

    def configure(self, **settings: object) -> None:
        """Set CLAIMS_* variables by the names of the settings."""
        for name, value in settings.items():
            self.patch.setenv(f"CLAIMS_{name.upper()}", str(value))
        get_settings.cache_clear()

    def deliver(self, *dumps: Dump) -> None:
        """Put dumps into the inbox."""
        for dump in dumps:
            self.put(dump.key, dump.body)
        self.delivered += dumps

    def put(self, key: str, body: bytes) -> None:
        """Put an object into the inbox, as the sender does: what its client says in logs is not ours."""
        with self.memory.deaf():
            self.s3.put_object(Bucket=self.inbox, Key=key, Body=body)

    def database(self) -> psycopg.Connection:
        """A connection as superuser for the test's own statements, which the server does not log."""
        return psycopg.connect(self.database_url, autocommit=True, options="-c log_statement=none")

    def run(self, feeds: Sequence[Feed]) -> bool:
        """Materialize the day of these feeds, all of one sender, as a person does in the UI; whether it went well."""
        keys = [key for feed in feeds for key in feed_keys(feed)]
        with self._output(f"run of {feeds[0].sender.name}"):
            result = whole_job().execute_in_process(
                instance=self.instance,
                asset_selection=keys,
                tags={"dagster/partition": DAY},
                partition_key=DAY,
                raise_on_error=False,
            )
        return result.success

    def call(self, *arguments: str, answer: str | None = None) -> int:
        """`claims-pipeline` with these arguments, in this process; its exit code. `answer` is typed in."""
        with self._output(f"claims-pipeline {arguments[0]}, file descriptors"):
            result = CliRunner().invoke(app, arguments, input=answer)
        crash = "".join(traceback.format_exception(result.exception)) if result.exception else ""
        self.said.append((f"claims-pipeline {arguments[0]}", result.output + crash))
        return result.exit_code

    @contextmanager
    def process(self, *arguments: str, failpoint: str = "") -> Iterator[subprocess.Popen[bytes]]:
        """`claims-pipeline` as a process that says all it can: development mode, tracebacks on fatal signals."""
        path = self.folder / "output" / f"process {len(self.said)}"
        path.parent.mkdir(exist_ok=True)
        with path.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-X", "dev", "-X", "faulthandler", "-m", "claims_pipeline.cli", *arguments],
                cwd=PROJECT_ROOT,
                env={**os.environ, "CLAIMS_FAILPOINT": failpoint, "PYTHONTRACEBACKLIMIT": "1000"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            try:
                yield process
            finally:
                process.kill()
                process.wait()
        self.said.append((f"process of claims-pipeline {arguments[0]}", path.read_text(errors="replace")))

    @contextmanager
    def _output(self, what: str) -> Iterator[None]:
        """Catch what is written to the file descriptors of standard output and error, by whomever."""
        with tempfile.TemporaryFile(dir=self.folder) as file, warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            sys.stdout.flush()
            sys.stderr.flush()
            kept = [os.dup(number) for number in (1, 2)]
            try:
                for number in (1, 2):
                    os.dup2(file.fileno(), number)
                yield
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                for number, copy in zip((1, 2), kept, strict=True):
                    os.dup2(copy, number)
                    os.close(copy)
                file.seek(0)
                said = file.read().decode(errors="replace")
                self.said.append((what, said + "\n".join(str(w.message) for w in warned)))


@contextmanager
def scene(services: LocalServices, s3: S3Client, migrated: str, folder: Path, server_log: Path) -> Iterator[Scene]:
    """A scene with an empty warehouse and empty buckets; everything is put back at the end.

    Args:
        services: of the test session.
        s3: a client of theirs.
        migrated: name of a migrated database, to be copied.
        folder: empty.
        server_log: what the database server says.
    """
    name = secrets.token_hex(8)
    with ExitStack() as stack:
        stack.enter_context(_cleared())
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        stack.callback(get_settings.cache_clear)
        for variable in [*os.environ]:
            if variable.startswith(_FOREIGN) or variable in _PROXIES:
                patch.delenv(variable)
        for part in ("tmp", "state", "instance"):
            (folder / part).mkdir()
        patch.chdir(folder)
        patch.setenv("TMPDIR", str(folder / "tmp"))
        patch.setattr(tempfile, "tempdir", str(folder / "tmp"))
        patch.setattr(catching_up._patiently, "wait", tenacity.wait_none())  # as often, and at once
        inbox, archive = f"i-{name}", f"a-{name}"
        for bucket in (inbox, archive):
            ensure_bucket(s3, bucket)
        slack, statsd, collector = SlackListener(), StatsdListener(), Receiver()
        for stop in (slack.stop, statsd.stop, collector.stop, lineage.reset, traces.stop):
            stack.callback(stop)
        traces.stop()
        lineage.reset()
        for variable in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OPENLINEAGE_URL"):
            patch.setenv(variable, collector.url)
        made = Scene(
            services=services,
            s3=s3,
            inbox=inbox,
            archive=archive,
            database_url=stack.enter_context(_database(services, migrated, f"c_{name}")),
            folder=folder,
            server_log=server_log,
            instance=stack.enter_context(dg.DagsterInstance.local_temp(str(folder / "instance"))),
            slack=slack,
            statsd=statsd,
            collector=collector,
            memory=stack.enter_context(_remembered()),
            patch=patch,
        )
        made.configure(
            state_dir=folder / "state",
            settle_seconds=0,
            database_url=made.database_url,
            s3_endpoint_url=services.s3.url,
            s3_region=services.s3.region,
            s3_access_key_id=services.s3.access_key_id,
            s3_secret_access_key=services.s3.secret_access_key,
            inbox_bucket=inbox,
            archive_bucket=archive,
            token_keys=make_key_ring(),
            quarantine_keys=make_key_ring(),
            slack_token="xoxb-test",
            slack_base_url=slack.base_url,
            datadog_statsd_host="127.0.0.1",
            datadog_statsd_port=statsd.port,
            actor="a test",
        )
        yield made


@contextmanager
def _cleared() -> Iterator[None]:
    say_once.cache_clear()
    yield
    say_once.cache_clear()


@contextmanager
def _database(services: LocalServices, migrated: str, name: str) -> Iterator[str]:
    """A copy of the migrated database, whose sessions have all that they run noted in the server's log."""
    with connect(services.database_url) as connection:
        connection.execute(f"create database {name} template {migrated}".encode())
        connection.execute(f"alter database {name} set log_statement = 'all'".encode())
    yield f"{services.database_url.rpartition('/')[0]}/{name}"
    with connect(services.database_url) as connection:
        connection.execute(f"drop database {name} with (force)".encode())


@contextmanager
def _remembered() -> Iterator[Memory]:
    """Catch what all loggers say, those too that keep it to themselves."""
    memory, root = Memory(), logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, LogCaptureHandler)]:
        root.removeHandler(handler)  # pytest's: they would keep each of 170,000 records twice more
    aloof = [one for one in root.manager.loggerDict.values() if isinstance(one, logging.Logger) and not one.propagate]
    levels = [(one, one.level) for one in (root, *aloof)]
    for one, _ in levels:
        one.addHandler(memory)
        one.setLevel(logging.DEBUG)
    yield memory
    for one, level in levels:
        one.removeHandler(memory)
        one.setLevel(level)
