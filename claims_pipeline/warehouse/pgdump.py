"""pg_dump and pg_restore as processes: a dump as a stream of bytes, and its way back.

Belongs here: their arguments, their environment, how they fail. Does not belong here: S3, manifests, fingerprints.

The URL's parts reach them through PG* variables: every user of a machine can list arguments. What they say is not
passed on but for harmless phrases, since Postgres' messages quote the data that they stumble on.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo

from claims_pipeline.errors import ClaimsPipelineError, SettingsError, Transient

COMPRESSION = "gzip:1"
"""Of 700 MB in 1.9 million rows: level 1 took 8 s and 306 MiB, level 6 21 s and 285 MiB (2026-11-22, two cores). zstd
would be better, but the embedded pg_dump is built without it."""

_HARMLESS = re.compile(
    r"permission denied for \w+ \w+|role \"\w+\" does not exist|No space left on device|could not connect to server"
    r"|password authentication failed|server closed the connection unexpectedly|terminating connection"
    r"|server version mismatch|connection to server .{0,80} failed: [\w ]+|snapshot \S+ does not exist"
    r"|relation \"[\w.]+\" already exists|permission denied to [\w ]+|unsupported version \([\d.]+\) in file header"
)
_PASSING = re.compile(
    r"could not connect to server|connection to server|server closed the connection|terminating connection"
    r"|No space left on device"
)
_NOT_FOR_CHILDREN = ("CLAIMS_", "AWS_", "DAGSTER_")


def program_version(program: Path) -> tuple[int, str]:
    """Major version of a client program, and what it says of itself.

    Raises:
        SettingsError: it does not run.
    """
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)  # noqa: S603 - found by us
        text = done.stdout.strip()
        return int(text.rpartition(") ")[2].split(".")[0]), text
    except (OSError, subprocess.CalledProcessError, ValueError):
        raise SettingsError(f"{program} does not run: set CLAIMS_PG_BIN to the folder of pg_dump") from None


def check_version(connection: psycopg.Connection, program: Path) -> str:
    """What the program says of itself, if it is new enough for the server.

    Raises:
        SettingsError: it is older than the server, and would refuse it.
    """
    major, text = program_version(program)
    server = connection.info.server_version // 10_000
    if major < server:
        raise SettingsError(
            f"{program} is of Postgres {major} and the server of {server}: install the server's client programs, "
            "and set CLAIMS_PG_BIN to their folder"
        )
    return text


class DumpStream:
    """Standard output of a running pg_dump, which tells a dump that ended from one that broke off."""

    def __init__(self, process: subprocess.Popen[bytes], said: IO[bytes]) -> None:
        self._process = process
        self._said = said

    def read(self, amount: int | None = None, /) -> bytes:
        """The next bytes; b"" at the end of a whole dump.

        Raises:
            Transient, ClaimsPipelineError: pg_dump failed; whoever reads never takes its beginning for a dump.
        """
        assert self._process.stdout is not None  # noqa: S101 - it was started with a pipe
        chunk = self._process.stdout.read(-1 if amount is None else amount)
        if (not chunk and amount != 0) or amount is None:
            _check(self._process.wait(), self._said, "pg_dump")
        return chunk


@contextmanager
def dump_stream(program: Path, url: str, *, snapshot: str) -> Iterator[DumpStream]:
    """A dump of a whole database in the custom format, compressed, as it is made.

    The custom format and one process: the directory format with two made the same dump in 5.8 s instead of 7.4, but is
    a folder of files that must lie on a disk before they can be sent.

    Args:
        program: pg_dump.
        url: of the database.
        snapshot: as another session has exported it, which must stay open.

    Raises:
        SettingsError: the program cannot be started.
        Transient, ClaimsPipelineError: from reads; the process is ended with the block in any case.
    """
    argv: list[str | Path] = [
        program,
        "--format=custom",
        f"--compress={COMPRESSION}",
        f"--snapshot={snapshot}",
        "--no-password",
    ]
    with tempfile.TemporaryFile() as said, _running(argv, url, stdout=subprocess.PIPE, stderr=said) as process:
        yield DumpStream(process, said)


def restore(program: Path, url: str, dump: Path, *, jobs: int, privileges: bool = True) -> None:
    """Restore a dump into an empty database; everything belongs to who restores it.

    Args:
        program: pg_restore.
        url: of the database, which exists.
        dump: in the custom format.
        jobs: processes: with two, 8.3 s instead of 11.6 for the dump above.
        privileges: restore grants, too, which fails where a role is missing.

    Raises:
        SettingsError: the program cannot be started, or the URL names no database.
        Transient, ClaimsPipelineError: it failed; the database then holds a part, and must be dropped.
    """
    name = conninfo_to_dict(url).get("dbname")
    if not name:
        raise SettingsError("the URL to restore into names no database: ...@host:5432/name")
    argv: list[str | Path] = [
        program,
        f"--dbname={name}",
        f"--jobs={jobs}",
        "--no-owner",
        "--exit-on-error",
        "--no-password",
        *([] if privileges else ["--no-privileges"]),
        dump,
    ]
    with (
        tempfile.TemporaryFile() as said,
        _running(argv, url, stdout=subprocess.DEVNULL, stderr=said) as process,
    ):
        _check(process.wait(), said, "pg_restore")


def environment(url: str) -> dict[str, str]:
    """The environment of a client program: the URL's parts as PG* variables, none of our secrets.

    Raises:
        SettingsError: the URL has a parameter that libpq takes from no variable.
    """
    variables = {option.keyword.decode(): option.envvar.decode() for option in Conninfo.get_defaults() if option.envvar}
    env = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_FOR_CHILDREN)}
    for keyword, value in conninfo_to_dict(url).items():
        if keyword not in variables:
            raise SettingsError(
                f"pg_dump cannot be given the parameter {keyword!r} of the database's URL: leave it out"
            )
        env[variables[keyword]] = str(value)
    return env | {"LC_ALL": "C"}  # the phrases that we know are English


@contextmanager
def _running(
    argv: Sequence[str | Path], url: str, *, stdout: int, stderr: IO[bytes]
) -> Iterator[subprocess.Popen[bytes]]:
    try:
        process = subprocess.Popen(  # noqa: S603 - a program of the settings, no shell
            argv, env=environment(url), stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, start_new_session=True
        )
    except OSError:
        raise SettingsError(f"{argv[0]} does not run: set CLAIMS_PG_BIN to the folder of pg_dump") from None
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def _check(code: int, said: IO[bytes], name: str) -> None:
    if code == 0:
        return
    said.seek(0)
    text = said.read(1 << 16).decode(errors="replace")
    phrases = list(dict.fromkeys(match.group() for match in _HARMLESS.finditer(text)))
    why = "; ".join(phrases[:3]) or "what it said may quote data and is not shown"
    kind = Transient if _PASSING.search(text) else ClaimsPipelineError
    raise kind(f"{name} failed (exit code {code}): {why}")
