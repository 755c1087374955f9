"""Where rounds are played: a Postgres and an S3 of the soak's own, a proxy before S3, and the server of players.

Belongs here: starting and ending the parts, databases and buckets, breaking and mending them. Does not belong here:
when that is done (`faults`), and what must be left behind (`content`).
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from claims_pipeline.feeds import all_feeds
from claims_pipeline.frames import make_key_ring
from claims_pipeline.landing.s3 import ensure_bucket
from claims_pipeline.local import ensure_up, reset, s3_client
from claims_pipeline.local.postgres import ensure_postgres, place_of, postgres_files
from claims_pipeline.local.process import pid_of, unprivileged_account
from claims_pipeline.vocabulary import Role
from claims_pipeline.warehouse.connection import connect
from claims_pipeline.warehouse.migrate import migrate
from claims_pipeline_tests.fix_proxy import Proxy
from claims_pipeline_tests.fix_services import as_role, open_roles, session_folder
from claims_pipeline_tests.soak.content import Content, bytes_missing, content, open_dumps
from claims_pipeline_tests.soak.player import Order, play
from claims_pipeline_tests.soak.worlds import Delivery

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_TINY = "tiny"
_TINY_BYTES = 96 << 20
_PATIENCE = 120.0
"""Seconds after which a player counts as hanging."""


class Arena:
    """The parts.

    Attributes:
        s3: a client of the S3, past the proxy.
        proxy: stands before the S3 of those players that are to meet a broken connection.
        keys: the settings of the keys: all stages make the same tokens.
        disk: a small disk for temporary files and databases; None where this user can make none.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._state = session_folder(folder / "services", os.getpid())
        services = ensure_up(self._state, durable=False)
        open_roles(services.database_url)
        self._endpoint = services.s3
        self.s3: S3Client = s3_client(services.s3)
        self.proxy = Proxy(*_host_and_port(services.s3.url))
        self.disk = Disk.mount(place_of(postgres_files(self._state)) / _TINY)
        if self.disk is not None:
            self._execute(f"create tablespace {_TINY} location '{self.disk.folder / 'space'}'")
        self.keys = {name: make_key_ring() for name in ("CLAIMS_TOKEN_KEYS", "CLAIMS_QUARANTINE_KEYS")}
        self._forkserver = multiprocessing.get_context("forkserver")
        self._forkserver.set_forkserver_preload(["claims_pipeline_tests.soak.warm"])
        first = self._forkserver.Process(target=_nothing)  # no player is to be timed that waits for the imports
        first.start()
        first.join()

    def close(self) -> None:
        """End everything and delete it."""
        for player in multiprocessing.active_children():
            player.kill()  # one that is suspended would not hear of anything else
        self.proxy.stop()
        reset(self._state)
        if self.disk is not None:
            self.disk.unmount()

    def url(self, database: str) -> str:
        """URL of a database of the soak's Postgres, which is started if it does not run."""
        return f"{ensure_postgres(self._state, durable=False).rpartition('/')[0]}/{database}"

    @contextmanager
    def stage(self, sender: str, *, plant: Callable[[], None] | None = None, tiny: bool = False) -> Iterator[Stage]:
        """An empty warehouse, inbox and archive; on the small disk if `tiny`."""
        name = f"w{secrets.token_hex(6)}"
        space = f" tablespace {_TINY}" if tiny and self.disk is not None else ""
        self._execute(f"create database {name} template {self._template(sender)}{space}")
        temporary = self._folder / name
        temporary.mkdir()
        for bucket in (f"{name}-inbox", f"{name}-archive"):
            ensure_bucket(self.s3, bucket)
        settings = {
            "CLAIMS_STATE_DIR": str(temporary / "state"),
            "CLAIMS_DATABASE_URL": as_role(self.url(name), Role.LOADER),
            "CLAIMS_OWNER_DATABASE_URL": self.url(name),
            "CLAIMS_S3_ENDPOINT_URL": self._endpoint.url,
            "CLAIMS_S3_REGION": self._endpoint.region,
            "CLAIMS_S3_ACCESS_KEY_ID": self._endpoint.access_key_id,
            "CLAIMS_S3_SECRET_ACCESS_KEY": self._endpoint.secret_access_key,
            "CLAIMS_INBOX_BUCKET": f"{name}-inbox",
            "CLAIMS_ARCHIVE_BUCKET": f"{name}-archive",
            "CLAIMS_SETTLE_SECONDS": "0",  # no round is to wait for uploads that are not going on
            "TMPDIR": str(temporary),
            **self.keys,
        }
        order = Order(sender, settings, temporary / "player.log", plant=plant)
        stage = Stage(self, name, order)
        try:
            yield stage
        finally:
            for player in stage.asleep:
                player.kill()
            self._execute(f"drop database {name} with (force)")
            _delete(temporary)

    def start(self, order: Order) -> BaseProcess:
        """A player at work."""
        process = self._forkserver.Process(target=play, args=[order], daemon=True)
        process.start()
        return process

    # ------------------------------------------------------------------------------------------ breaking Postgres

    def kill_postgres(self, number: signal.Signals) -> None:
        """SIGKILL: the postmaster is gone at once. SIGQUIT: an immediate stop. It stays down until `mend`."""
        pid = pid_of(postgres_files(self._state).alive)
        if pid is not None:
            os.kill(pid, number)

    def kill_backends(self, database: str) -> None:
        """SIGKILL those who serve a database, as the kernel does when memory runs out: all of Postgres restarts."""
        for (pid,) in self._execute("select pid from pg_stat_activity where datname = %s", database):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def end_sessions(self, database: str) -> None:
        """End the sessions of a database as an administrator does."""
        self._execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", database)

    def mend(self) -> None:
        """Everything runs, connects and has room again."""
        self.proxy.heal()
        if self.disk is not None:
            self.disk.free()
        give_up = time.monotonic() + _PATIENCE
        while True:
            try:
                self._execute("select 1")
            except psycopg.OperationalError:  # it is still reading its log
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.02)
            else:
                return

    # ------------------------------------------------------------------------------------------ databases

    def _execute(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url("claims"), autocommit=True) as connection:
            cursor = connection.execute(query.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    @functools.cache  # noqa: B019 - an arena lives as long as the process
    def _template(self, sender: str) -> str:
        """Name of a migrated database of one sender, to be copied."""
        name = f"m_{sender}"
        self._execute(f"create database {name}")
        with connect(self.url(name)) as connection:
            migrate(connection, [feed for feed in all_feeds() if feed.sender.name == sender])
        return name


@dataclass(frozen=True)
class Stage:
    """One database and its buckets, the player's order there, and players that are suspended until the world's end."""

    arena: Arena
    name: str
    order: Order
    asleep: list[BaseProcess] = field(default_factory=list)

    def deliver(self, delivery: Delivery) -> None:
        """Let the objects of a step arrive."""
        for key, body in delivery:
            self.arena.s3.put_object(Bucket=f"{self.name}-inbox", Key=key, Body=body)

    def start(
        self,
        *,
        failpoint: str | None = None,
        proxied: bool = False,
        file_bytes: int | None = None,
        threads: int = 1,
        temporary: Path | None = None,
    ) -> BaseProcess:
        """A player at work here, under such circumstances."""
        settings = dict(self.order.environment)
        if failpoint is not None:
            settings["CLAIMS_FAILPOINT"] = failpoint
        if proxied:
            settings["CLAIMS_S3_ENDPOINT_URL"] = self.arena.proxy.in_place_of(settings["CLAIMS_S3_ENDPOINT_URL"])
        if temporary is not None:
            settings["TMPDIR"] = str(temporary)
        order = replace(self.order, environment=settings, file_bytes=file_bytes, threads=threads)
        return self.arena.start(order)

    def database(self) -> AbstractContextManager[psycopg.Connection]:
        """A connection to the stage's database."""
        return connect(self.arena.url(self.name))

    def last_words(self) -> str:
        """What the last player said at its end, a line."""
        said = self.order.log.read_text(errors="replace").strip().splitlines()
        return said[-1] if said else "nothing"

    def is_quiet(self) -> bool:
        """Whether no dump has work left."""
        with self.database() as connection:
            return open_dumps(connection) == 0

    def content(self) -> tuple[Content, list[str]]:
        """What the rounds so far have left behind, and what is missing in the archive."""
        with self.database() as connection:
            return content(connection), bytes_missing(connection, self.arena.s3, f"{self.name}-archive")


def ended(process: BaseProcess) -> int:
    """Wait for a player's end; its exit code, negative for a signal.

    Raises:
        TimeoutError: it hangs; it is killed.
    """
    process.join(_PATIENCE)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise TimeoutError(f"a player hung for {_PATIENCE:.0f} s")
    return process.exitcode


@dataclass(frozen=True)
class Disk:
    """A small disk of its own (tmpfs), which can be filled to the last kilobytes."""

    folder: Path

    @classmethod
    def mount(cls, folder: Path) -> Disk | None:
        """A new one at this place; None where this user may not mount."""
        account = unprivileged_account()
        if account is None:
            return None
        folder.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={_TINY_BYTES},mode=755", "soak", str(folder)],
            check=False,
            capture_output=True,
        )
        if done.returncode != 0:
            return None
        (folder / "space").mkdir(mode=0o700)
        os.chown(folder / "space", account.uid, account.gid)
        (folder / "tmp").mkdir()
        return cls(folder)

    @property
    def temporary(self) -> Path:
        """A folder on it for temporary files."""
        return self.folder / "tmp"

    def fill(self, leave: int) -> None:
        """Fill it until so many bytes are free."""
        status = os.statvfs(self.folder)
        with (self.folder / "ballast").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(status.f_bavail * status.f_frsize - leave, 1))

    def free(self) -> None:
        """Take the filling out, and what killed players have left."""
        (self.folder / "ballast").unlink(missing_ok=True)
        for entry in self.temporary.iterdir():
            _delete(entry)

    def unmount(self) -> None:
        """Take it away."""
        subprocess.run(["umount", "-l", str(self.folder)], check=True)
        self.folder.rmdir()


def _nothing() -> None:
    pass


def _host_and_port(url: str) -> tuple[str, int]:
    host, _, port = url.rpartition("/")[2].partition(":")
    return host, int(port)


def _delete(path: Path) -> None:
    if path.is_dir():
        for entry in path.iterdir():
            _delete(entry)
        path.rmdir()
    else:
        path.unlink()
