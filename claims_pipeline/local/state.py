"""The state folder: where the embedded services keep what they are, so that every process of a checkout finds them.

Belongs here: paths, the small record of each service, locks. Does not belong here: starting or stopping anything.

    <state folder>/
      services/<name>.json    port, secret, and the process id last seen ready (mode 0600)
      services/<name>.alive   locked by the running server (see `process`)
      services/<name>.lock    held by whoever starts, stops or deletes the service; never deleted itself
      log/<name>.log          what the server says
      postgres/, s3/          the data
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from claims_pipeline.errors import SettingsError
from claims_pipeline.local.process import LocalServiceError, pid_of

# A first start on a busy machine takes seconds, crash recovery of a big database minutes.
_LOCK_SECONDS = 600.0
_LOG_BYTES_KEPT = 10 << 20


@dataclass(frozen=True)
class Record:
    """What is remembered of one service.

    Attributes:
        secret: password of the database's user, or secret key of S3.
        port: TCP port on 127.0.0.1; None before the first start.
        ready_pid: process id that was seen ready for use; None from before a start until it has succeeded.
        outside: folder of the data where it could not lie in the state folder.
    """

    secret: str = field(repr=False)
    port: int | None = None
    ready_pid: int | None = None
    outside: str | None = None


@dataclass(frozen=True)
class ServiceFiles:
    """The files of one service in one state folder."""

    state_dir: Path
    name: str

    @property
    def alive(self) -> Path:
        """The file that the running server keeps locked."""
        return self._services / f"{self.name}.alive"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.state_dir / "log" / f"{self.name}.log"

    @property
    def data(self) -> Path:
        """The service's own folder in the state folder."""
        return self.state_dir / self.name

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only process that starts, stops or deletes this service. Makes the folders that are missing.

        Raises:
            SettingsError: the state folder belongs to another OS user, or cannot be made.
            LocalServiceError: another process has kept the lock for very long.
        """
        try:
            for folder in (self._services, self.log.parent):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except PermissionError as error:
            raise self._not_ours() from error
        if self._services.stat().st_uid != os.geteuid():
            raise self._not_ours()
        lock = FileLock(self._services / f"{self.name}.lock", timeout=_LOCK_SECONDS)
        try:
            lock.acquire()
        except Timeout as error:
            raise LocalServiceError(
                f"Another process has been starting or stopping {self.name} for {_LOCK_SECONDS:.0f} s: {lock.lock_file}"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def read(self) -> Record | None:
        """The record, or None before the first start.

        Raises:
            SettingsError: the state folder belongs to another OS user.
        """
        try:
            return Record(**json.loads(self._record.read_text()))
        except FileNotFoundError:
            return None
        except PermissionError as error:
            raise self._not_ours() from error

    def read_or_new(self) -> Record:
        """The record, or one with a fresh secret."""
        return self.read() or Record(secret=secrets.token_urlsafe(24))

    def write(self, record: Record) -> None:
        """Replace the record in one step, readable for our OS user only."""
        partial = self._record.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(asdict(record), file)
            file.flush()
            os.fsync(descriptor)
        partial.replace(self._record)

    def forget(self) -> None:
        """Delete everything but the data and the lock. Call it under the lock, when the server is gone."""
        for path in (self._record, self.alive, self.log, _older(self.log)):
            path.unlink(missing_ok=True)

    def running(self) -> Record | None:
        """The record of the server that runs and was seen ready; None when there is none. Spawns nothing."""
        record = self.read()
        if record is None or record.ready_pid is None or pid_of(self.alive) != record.ready_pid:
            return None
        return record

    def turn_log(self) -> None:
        """Set a log aside that has grown big; one older log is kept."""
        if self.log.exists() and self.log.stat().st_size > _LOG_BYTES_KEPT:
            self.log.replace(_older(self.log))

    @property
    def _services(self) -> Path:
        return self.state_dir / "services"

    @property
    def _record(self) -> Path:
        return self._services / f"{self.name}.json"

    def _not_ours(self) -> SettingsError:
        return SettingsError(
            f"The state folder {self.state_dir} cannot be used by OS user {os.geteuid()}: "
            "run as the user who made it, or set CLAIMS_STATE_DIR to another folder."
        )


def is_state_folder(state_dir: Path) -> bool:
    """Whether an embedded service was ever started in this folder."""
    return (state_dir / "services").is_dir()


def bytes_on_disk(folder: Path) -> int:
    """Disk space of all files below a folder; files that vanish meanwhile count nothing."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_blocks * 512  # noqa: PTH118 - walks many files
            except FileNotFoundError:
                continue
    return total


def _older(log: Path) -> Path:
    return log.with_suffix(".log.1")
