"""Fixtures: a code location with a database, buckets and a Dagster instance of the test's own, and `dagster dev`.

Belongs here: settings that point to the embedded services, and short ways to drop dumps, look and run. Does not belong
here: what is expected of a run.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import psycopg
import pytest
from psycopg import sql

from claims_pipeline.definitions import build_definitions
from claims_pipeline.feeds import Feed, all_feeds, feed_named, feeds_of
from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline.frames import make_key_ring
from claims_pipeline.landing.s3 import ensure_bucket
from claims_pipeline.local import LocalServices, ensure_up, reset, s3_client
from claims_pipeline.local.fake_sender import Manifest, Plan, generate, s3_sink
from claims_pipeline.orchestration.keys import feed_keys
from claims_pipeline.orchestration.resources import InboxS3, PipelineResource
from claims_pipeline.orchestration.sensors import look
from claims_pipeline.settings import PROJECT_ROOT, Settings, get_settings
from claims_pipeline.vocabulary import DumpStatus, Role
from claims_pipeline.warehouse import ledger, reports
from claims_pipeline.warehouse.connection import connect
from claims_pipeline.warehouse.ledger import Dump
from claims_pipeline_tests.fix_services import as_role
from claims_pipeline_tests.fix_warehouse import new_database, template_of

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

DAY = dt.date(2026, 5, 4)
"""First delivery day of most tests: long over, so that no test depends on today."""

SUBMISSIONS, CONTENTIONS, JOBS, UPLOADS, REMEDIATIONS = (feed.dataset for feed in feeds_of(SENDER.name))

Configure = Callable[..., None]

_NO_CONSOLE = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@functools.cache
def whole_job(*, s3_attempts: int | None = None) -> dg.JobDefinition:
    """The job over all assets of the code location, as the sensors' runs take it.

    Args:
        s3_attempts: how often boto3 itself tries a call; None leaves that to the code location.
    """
    if s3_attempts is None:
        return build_definitions().resolve_implicit_global_asset_job_def()
    s3 = InboxS3(max_attempts=s3_attempts)
    location = build_definitions({"s3": s3, "pipeline": PipelineResource(s3=s3)})
    return location.resolve_implicit_global_asset_job_def()


@dataclass(frozen=True)
class CodeLocation:
    """A code location at work: real inbox, archive and database, and an instance for its runs."""

    instance: dg.DagsterInstance
    s3: S3Client
    inbox: str
    database_url: str = field(repr=False)

    @property
    def pipeline(self) -> PipelineResource:
        """The resource of steps, sensors and schedules."""
        return PipelineResource(s3=InboxS3())

    # ------------------------------------------------------------------------------------------ the sender

    def drop(self, *datasets: str, first: dt.date = DAY, days: int = 1, rows: int = 20, dirt: float = 0.0) -> Manifest:
        """Let the fake sender deliver; all five datasets where none is named."""
        plan = Plan(first=first, days=days, rows=rows, seed=526, dirt=dirt)
        return generate(plan, s3_sink(self.s3, self.inbox), datasets=datasets or None)

    def put(self, name: str, body: bytes) -> str:
        """Deliver one object of this name, below the sender's prefix; returns its key."""
        key = f"{SENDER.prefix}{name}"
        self.s3.put_object(Bucket=self.inbox, Key=key, Body=body)
        return key

    def take_back(self, key: str) -> None:
        """Delete an object from the inbox."""
        self.s3.delete_object(Bucket=self.inbox, Key=key)

    # ------------------------------------------------------------------------------------------ Dagster

    def look(self) -> list[dg.RunRequest]:
        """What the arrivals sensor asks for now."""
        return look(self.instance, self.pipeline, SENDER)[0]

    def run(
        self, request: dg.RunRequest, *, run_id: str | None = None, s3_attempts: int | None = None
    ) -> dg.ExecuteInProcessResult:
        """Carry out a run request."""
        return self._execute(request.asset_selection or (), request.tags, run_id=run_id, s3_attempts=s3_attempts)

    def deliver(self) -> list[dg.ExecuteInProcessResult]:
        """One look, and every run that it asks for."""
        return [self.run(request) for request in self.look()]

    def by_hand(self, *datasets: str, first: dt.date = DAY, last: dt.date | None = None) -> dg.ExecuteInProcessResult:
        """Materialize days as a person does in the UI."""
        keys = [key for dataset in datasets for key in feed_keys(feed_of(dataset))]
        if last is None:
            return self._execute(keys, {"dagster/partition": first.isoformat()}, partition=first)
        return self._execute(
            keys,
            {
                "dagster/asset_partition_range_start": first.isoformat(),
                "dagster/asset_partition_range_end": last.isoformat(),
            },
        )

    def run_that_is(self, status: dg.DagsterRunStatus, request: dg.RunRequest) -> dg.DagsterRun:
        """Enter a run of this request into the instance without carrying it out."""
        keys = frozenset(request.asset_selection or ())
        job = whole_job().get_subset(asset_selection=keys)
        return self.instance.create_run_for_job(job, tags=request.tags, status=status, asset_selection=keys)

    def checks(self, result: dg.ExecuteInProcessResult) -> dict[tuple[str, str], bool]:
        """(asset, check) -> passed, of every check that a run has emitted."""
        evaluations = result.get_asset_check_evaluations()
        return {(e.asset_key.to_user_string(), e.check_name): e.passed for e in evaluations}

    def _execute(
        self,
        keys: Collection[dg.AssetKey],
        tags: Mapping[str, str] | None,
        *,
        partition: dt.date | None = None,
        run_id: str | None = None,
        s3_attempts: int | None = None,
    ) -> dg.ExecuteInProcessResult:
        return whole_job(s3_attempts=s3_attempts).execute_in_process(
            instance=self.instance,
            asset_selection=list(keys),
            tags=tags,
            partition_key=partition.isoformat() if partition else None,
            run_id=run_id,
            raise_on_error=False,
            run_config=_NO_CONSOLE,
        )

    # ------------------------------------------------------------------------------------------ the database

    def database(self) -> AbstractContextManager[psycopg.Connection]:
        """A connection to the warehouse."""
        return connect(self.database_url)

    def dumps(self) -> list[Dump]:
        """The whole ledger of the sender, oldest stamp first."""
        with self.database() as connection:
            return ledger.select(connection, "sender = %s", [SENDER.name])

    def statuses(self) -> dict[DumpStatus, int]:
        """How many dumps are how far."""
        found = [dump.status for dump in self.dumps()]
        return {status: found.count(status) for status in set(found)}

    def rows(self, dataset: str) -> int:
        """Rows of a dataset's table."""
        with self.database() as connection:
            return reports.table_rows(connection, feed_of(dataset))

    def live(self) -> dict[str, int]:
        """Rows of every table that has any."""
        found = {feed.dataset: self.rows(feed.dataset) for feed in feeds_of(SENDER.name)}
        return {dataset: rows for dataset, rows in found.items() if rows}

    def content(self, dataset: str) -> list[tuple[object, ...]]:
        """Key and row hash of every row of a table."""
        feed = feed_of(dataset)
        names = sql.SQL(", ").join(sql.Identifier(name) for name in (*feed.key, "_row_hash", "_load_id"))
        query = sql.SQL("select {} from {} order by {}").format(names, sql.Identifier(SENDER.name, dataset), names)
        with self.database() as connection:
            return connection.execute(query).fetchall()

    def loads(self) -> int:
        """Loads in the audit."""
        with self.database() as connection:
            row = connection.execute("select count(*) from ops.load").fetchone()
        assert row is not None
        return int(row[0])


def feed_of(dataset: str) -> Feed:
    """The VA's feed of a dataset."""
    return feed_named(f"{SENDER.name}/{dataset}")


def upload_lines(count: int = 3, *, file_name: str = "scan.pdf") -> list[str]:
    """Lines of an uploads dump that keep the contract, header first."""
    header = "submission_id,confirmation_code,attachment_id,file_name"
    return [header, *(f"{1_000_001 + n},00000000-0000-4000-8000-{n:012},L015,{file_name}" for n in range(count))]


def upload_name(day: dt.date = DAY, *, hour: int = 5) -> str:
    """The name of an uploads dump of a day, below the sender's prefix."""
    return f"{UPLOADS}/dt={day}/{UPLOADS}_{day:%Y%m%d}T{hour:02}0000Z.csv"


def as_csv(lines: Sequence[str]) -> bytes:
    """Lines as a file."""
    return ("\n".join(lines) + "\n").encode()


# ---------------------------------------------------------------------------------------------- fixtures


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Configure]:
    """Sets CLAIMS_* variables by the names of the settings; none of the machine's own take part, no `.env` either."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("CLAIMS_", "DAGSTER_", "AWS_"))]:
        monkeypatch.delenv(name)

    def configured(**settings: object) -> None:
        for name, value in settings.items():
            monkeypatch.setenv(f"CLAIMS_{name.upper()}", str(value))
        get_settings.cache_clear()

    configured(state_dir=tmp_path / "state", settle_seconds=0)
    yield configured
    get_settings.cache_clear()


@pytest.fixture(scope="session")
def migrated(services: LocalServices) -> str:
    """Name of a database with the tables of all feeds, to be copied."""
    return template_of(services, all_feeds())


@pytest.fixture
def warehouse_url(services: LocalServices, migrated: str) -> Iterator[str]:
    """URL of an empty warehouse of the test's own."""
    with new_database(services, template=migrated) as url:
        yield url


@pytest.fixture
def pointed(
    configure: Configure, fresh_alerts: None, services: LocalServices, s3: S3Client, bucket: str, warehouse_url: str
) -> str:
    """Settings that point to the embedded services as to real ones: migrated database, empty buckets. Its URL."""
    archive = f"a-{secrets.token_hex(8)}"
    ensure_bucket(s3, archive)
    configure(
        database_url=as_role(warehouse_url, Role.LOADER),
        owner_database_url=warehouse_url,
        s3_endpoint_url=services.s3.url,
        s3_region=services.s3.region,
        s3_access_key_id=services.s3.access_key_id,
        s3_secret_access_key=services.s3.secret_access_key,
        inbox_bucket=bucket,
        archive_bucket=archive,
        token_keys=make_key_ring(),
        quarantine_keys=make_key_ring(),
    )
    return warehouse_url


@pytest.fixture
def location(pointed: str, s3: S3Client, bucket: str) -> Iterator[CodeLocation]:
    """A code location whose instance lives in memory."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield CodeLocation(instance, s3, bucket, pointed)


@pytest.fixture(scope="session")
def empty_instance(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an instance on disk without runs, to be copied: that is faster than making its tables anew."""
    folder = tmp_path_factory.mktemp("instance")
    with dg.DagsterInstance.local_temp(str(folder)) as instance:
        instance.get_runs()
        instance.all_asset_keys()
        instance.all_instigator_state()
    return folder


@pytest.fixture
def kept_location(
    pointed: str, s3: S3Client, bucket: str, empty_instance: Path, tmp_path: Path
) -> Iterator[CodeLocation]:
    """A code location whose instance lies on disk, in `tmp_path / "instance"`, as another process can see it."""
    folder = tmp_path / "instance"
    shutil.copytree(empty_instance, folder)
    with dg.DagsterInstance.local_temp(str(folder)) as instance:
        yield CodeLocation(instance, s3, bucket, pointed)


# ---------------------------------------------------------------------------------------------- dagster dev


_LOADED = """
{ workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError {
  __typename ... on PythonError { message } } } } } }
"""


@dataclass(frozen=True)
class DagsterDev:
    """`claims-pipeline dev` in a process of its own, with a state folder of its own.

    Attributes:
        url: root of the UI.
        s3: client of its S3.
        inbox: name of its inbox.
        database_url: URL of its warehouse.
        log: what it says.
        process: the command; its children are in its process group.
    """

    url: str
    s3: S3Client
    inbox: str
    database_url: str = field(repr=False)
    log: Path
    process: subprocess.Popen[bytes]

    def drop(self, *datasets: str, first: dt.date = DAY, days: int = 1, rows: int = 20, dirt: float = 0.02) -> Manifest:
        """Let the fake sender deliver; all five datasets where none is named."""
        plan = Plan(first=first, days=days, rows=rows, seed=526, dirt=dirt)
        return generate(plan, s3_sink(self.s3, self.inbox), datasets=datasets or None)

    def settled(self) -> int:
        """Dumps that no work is left to do on."""
        with connect(self.database_url) as connection:
            if connection.execute("select to_regclass('ops.dump')").fetchone() == (None,):
                return 0
            row = connection.execute("select count(*) from ops.dump where settled_at is not null").fetchone()
        assert row is not None
        return int(row[0])

    def rows(self, dataset: str) -> int:
        """Rows of a dataset's table."""
        with connect(self.database_url) as connection:
            return reports.table_rows(connection, feed_of(dataset))

    def wait_for(self, what: Callable[[], bool], *, seconds: float = 150) -> None:
        """Wait until something is so.

        Raises:
            AssertionError: it is not so after that time, or the command has ended; with the end of its log.
        """
        give_up = time.monotonic() + seconds
        while not what():
            if time.monotonic() > give_up or self.process.poll() is not None:
                end = "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])
                raise AssertionError(f"waited in vain; the log ends with:\n{end}")
            time.sleep(0.25)

    def graphql(self, query: str) -> dict[str, object]:
        """The answer to a query of the UI's own API."""
        request = urllib.request.Request(
            f"{self.url}/graphql", json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            found: dict[str, object] = json.load(answer)["data"]
        return found

    def is_ready(self) -> bool:
        """Whether the UI answers and has loaded the code location.

        Raises:
            AssertionError: the code location cannot be loaded, and why.
        """
        try:
            answer = str(self.graphql(_LOADED))
        except OSError:
            return False
        assert "PythonError" not in answer, answer
        return "'RepositoryLocation'" in answer

    def stop(self) -> int:
        """End it as a terminal or a supervisor does, and wait for its children too; its exit code.

        Code servers end by themselves once nobody asks them any more: seconds, 45 at the most.
        """
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=90)
        give_up = time.monotonic() + 60
        while self.left_over() and time.monotonic() < give_up:
            time.sleep(0.25)
        return code

    def left_over(self) -> list[str]:
        """Processes of its group that live; names only."""
        listed = subprocess.run(["ps", "-A", "-o", "pgid=,stat=,comm="], capture_output=True, text=True, check=True)
        lines = [line.split(None, 2) for line in listed.stdout.splitlines()]
        return [name for group, state, name in lines if int(group) == self.process.pid and not state.startswith("Z")]


@pytest.fixture(scope="module")
def dagster_dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterDev]:
    """`claims-pipeline dev` with embedded parts of its own."""
    if (PROJECT_ROOT / ".env").exists():
        pytest.skip("the checkout's .env would point `dagster dev` to other services than the test's own")
    with dagster_dev_in(tmp_path_factory.mktemp("dev")) as dev:
        yield dev


@contextmanager
def dagster_dev_in(state: Path, environment: Mapping[str, str] | None = None) -> Iterator[DagsterDev]:
    """`claims-pipeline dev` with this state folder, ready: the UI answers, sensors and schedules run.

    Args:
        state: the state folder.
        environment: settings besides, as CLAIMS_* variables.
    """
    dev = None
    try:
        dev = _started(state, ensure_up(state, durable=False), environment or {})
        dev.wait_for(dev.is_ready)
        yield dev
    finally:
        try:
            if dev is not None:
                _end(dev)
        finally:
            reset(state)


def _started(state: Path, parts: LocalServices, settings: Mapping[str, str]) -> DagsterDev:
    foreign = ("CLAIMS_", "DAGSTER_", "AWS_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    log = state / "dev.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [Path(sys.executable).parent / "claims-pipeline", "dev", "--port", str(port)],
            env={**environment, **settings, "CLAIMS_STATE_DIR": str(state)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    s3, inbox = s3_client(parts.s3), str(Settings.model_fields["inbox_bucket"].default)
    ensure_bucket(s3, inbox)
    return DagsterDev(f"http://127.0.0.1:{port}", s3, inbox, parts.database_url, log, process)


def _end(dev: DagsterDev) -> None:
    try:
        dev.stop()
    finally:
        if dev.left_over():
            os.killpg(dev.process.pid, signal.SIGKILL)
