"""Fixtures: the embedded Postgres and S3, once per test session, for all xdist workers together.

Belongs here: `services`, and what a test gets of its own in them. Does not belong here: contents.

They go when the test session's first process is gone, by whatever death: a watcher waits for that (`python -m` this).
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from claims_pipeline.landing.s3 import ensure_bucket
from claims_pipeline.local import LocalServices, ensure_up, reset, s3_client
from claims_pipeline.local.postgres import ensure_postgres
from claims_pipeline.vocabulary import Role
from claims_pipeline.warehouse import roles
from claims_pipeline.warehouse.connection import connect

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_WATCH_SECONDS = 0.25
_MEMORY, _ROOM_BYTES = Path("/dev/shm"), 4 << 30


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> LocalServices:
    """Both embedded services, empty at the start of the session. Postgres does not wait for the disk."""
    folder, session_pid = tmp_path_factory.getbasetemp(), os.getpid()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder, session_pid = folder.parent, os.getppid()
    state_dir = session_folder(folder / "services", session_pid)
    ensure_postgres(state_dir, durable=False, settings={"max_wal_size": "256MB"})
    found = ensure_up(state_dir, durable=False)
    open_roles(found.database_url)
    return found


def open_roles(superuser_url: str) -> None:
    """Let the warehouse's roles of a server log in with the superuser's password: see `as_role`."""
    with connect(superuser_url) as connection:
        roles.ensure_roles(connection)
        roles.ensure_passwords(connection, dict.fromkeys(Role, connection.info.password))


def as_role(superuser_url: str, role: Role) -> str:
    """URL of the same database for a role: what runs, and readers, connect with."""
    return roles.login_url(superuser_url, role, str(conninfo_to_dict(superuser_url)["password"]))


@pytest.fixture
def database_url(services: LocalServices) -> Iterator[str]:
    """URL of an empty database of the test's own, user a superuser. Roles are shared by all databases of a session."""
    name = f"t_{secrets.token_hex(8)}"
    with psycopg.connect(services.database_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    yield f"{services.database_url.rpartition('/')[0]}/{name}"
    with psycopg.connect(services.database_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture(scope="session")
def s3(services: LocalServices) -> S3Client:
    """A boto3 client of the embedded S3."""
    return s3_client(services.s3)


@pytest.fixture
def bucket(s3: S3Client) -> str:
    """Name of an empty bucket of the test's own."""
    name = f"t-{secrets.token_hex(8)}"
    ensure_bucket(s3, name)
    return name


def session_folder(link: Path, session_pid: int) -> Path:
    """A state folder behind a link, in memory where there is room, that goes with a process.

    A database has 570 files, and each test has a database: to make them took ext4 0.1-0.3 s of CPU, tmpfs 0.01.
    """
    found = Path(tempfile.mkdtemp(prefix="claims-tests-", dir=_MEMORY if _has_room(_MEMORY) else link.parent))
    found.chmod(0o711)  # started by root, Postgres runs as another user
    try:
        link.symlink_to(found)
    except FileExistsError:  # another worker of the session was first
        found.rmdir()
    else:
        _watch(link, session_pid)
    return link.resolve()


def _has_room(memory: Path) -> bool:
    """Whether a session may lie there: containers have 64 MB, and may forbid to run programs that lie there."""
    if not os.access(memory, os.W_OK | os.X_OK) or os.statvfs(memory).f_flag & os.ST_NOEXEC:
        return False
    return shutil.disk_usage(memory).free >= _ROOM_BYTES


def _watch(link: Path, session_pid: int) -> None:
    subprocess.Popen(
        [sys.executable, "-m", __name__, str(session_pid), str(link)],
        cwd=Path(__file__).parent.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _wait_and_reset(session_pid: int, link: Path) -> None:
    state_dir = link.resolve()
    while _lives(session_pid):
        time.sleep(_WATCH_SECONDS)
    reset(state_dir)
    shutil.rmtree(state_dir)
    link.unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    _wait_and_reset(int(sys.argv[1]), Path(sys.argv[2]))
