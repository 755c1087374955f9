"""How a server is started so that it outlives whoever started it, and how it is known again later.

Belongs here: processes, signals, ports, OS accounts. Does not belong here: anything that knows which server it is.

A server holds an exclusive `flock` on its alive file for as long as it lives: it inherits the open file, and the kernel
lets go of the lock when the last process of the server ends, by whatever death. The file's content is its process id.
So neither a reused process id nor a zombie nor a stale pid file can be taken for a running server.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from claims_pipeline.errors import ClaimsPipelineError

# The inner shell tells its process id on stdout (the alive file) and becomes the server; the outer one ends at once, so
# that the server is nobody's child: no zombie stays when it dies, and no caller waits for it.
_INNER = 'echo $$; exec "$@" >&2'
_OUTER = '/bin/sh -c "$0" sh "$@" &'

_POLL_SECONDS = 0.02
# What a server may see of the caller's environment: never the credentials that are in it.
_ENVIRONMENT_KEPT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR")


class LocalServiceError(ClaimsPipelineError):
    """An embedded service does not start or does not stop; the message names its log."""


@dataclass(frozen=True)
class Account:
    """An OS account that a server runs under instead of root."""

    name: str
    uid: int
    gid: int


def unprivileged_account() -> Account | None:
    """The account for servers that refuse to run as root: None unless we are root.

    Raises:
        LocalServiceError: we are root and the machine has no `nobody`.
    """
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError as error:
        raise LocalServiceError(
            "Postgres does not run as root, and this machine has no OS user 'nobody' to run it under: "
            "run as another user, or set CLAIMS_DATABASE_URL."
        ) from error
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def run_as(argv: Sequence[str], *, account: Account | None, cwd: Path, output: int = subprocess.DEVNULL) -> int:
    """Run a program to its end under `account` (None: our own); its exit code.

    Args:
        argv: program and arguments; no secret, since every user of the machine can list them.
        account: OS account, or None.
        cwd: working folder; must be reachable for the account.
        output: file descriptor that gets stdout and stderr.
    """
    return subprocess.run(  # noqa: S603 - programs of our own wheels, no shell
        argv,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env=_environment({}),
        cwd=cwd,
        umask=0o077,
        check=False,
        user=None if account is None else account.uid,
        group=None if account is None else account.gid,
        extra_groups=None if account is None else (),
    ).returncode


def spawn(
    argv: Sequence[str],
    *,
    alive_file: Path,
    log_file: Path,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    account: Account | None = None,
) -> None:
    """Start a server that lives on by itself: own session, nobody's child, none of our pipes.

    Args:
        argv: program and arguments; no secret, since every user of the machine can list them.
        alive_file: file that the server keeps locked while it lives (see the module's charter).
        log_file: gets its stdout and stderr, appended.
        cwd: working folder; must be reachable for the account.
        env: environment variables besides the few that are passed on.
        account: OS account to run it under, or None for our own.

    Raises:
        LocalServiceError: it could not be started at all. Whether it stays up is for the caller to find out.
    """
    alive = os.open(alive_file, os.O_RDWR | os.O_CREAT, 0o600)
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        fcntl.flock(alive, fcntl.LOCK_EX)
        os.ftruncate(alive, 0)
        finished = subprocess.run(  # noqa: S603 - programs of our own wheels; the shell text is constant
            ["/bin/sh", "-c", _OUTER, _INNER, *argv],
            stdin=subprocess.DEVNULL,
            stdout=alive,
            stderr=log,
            pass_fds=(alive,),
            env=_environment(env or {}),
            cwd=cwd,
            umask=0o077,
            start_new_session=True,
            check=False,
            user=None if account is None else account.uid,
            group=None if account is None else account.gid,
            extra_groups=None if account is None else (),
        )
    finally:
        os.close(alive)
        os.close(log)
    if finished.returncode != 0:
        raise LocalServiceError(f"{Path(argv[0]).name} could not be started: see {log_file}.")


def pid_of(alive_file: Path) -> int | None:
    """Process id of the server that keeps `alive_file` locked; None when it does not run."""
    try:
        text = alive_file.read_text()
    except FileNotFoundError:
        return None
    if not text.strip() or is_gone(alive_file):
        return None
    pid = int(text)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None  # killed a moment ago; a child of it still holds the lock
    except PermissionError:
        return pid
    return pid


def is_gone(alive_file: Path) -> bool:
    """Whether no process of the server is left."""
    try:
        descriptor = os.open(alive_file, os.O_RDONLY)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def stop(alive_file: Path, *, signals: Sequence[tuple[signal.Signals, float]]) -> bool:
    """End the server, politely first; return when its last process is gone.

    Args:
        alive_file: the server's alive file.
        signals: what to send, and how many seconds to wait after it before the next is sent.

    Returns:
        False when something of it still lives after all that.
    """
    for number, seconds in signals:
        pid = pid_of(alive_file)
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        if wait_until(lambda: is_gone(alive_file), seconds=seconds):
            return True
    return False


def wait_until(condition: Callable[[], bool], *, seconds: float) -> bool:
    """Ask `condition` again and again until it holds; False when it did not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def free_port(preferred: int | None) -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now: `preferred` if it can be had."""
    if preferred is not None and is_port_free(preferred):
        return preferred
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    """Whether anybody accepts connections on this port of 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def is_port_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket() as probe:
        # As servers do: without it, closed connections of our last server would block its port for a minute.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _ENVIRONMENT_KEPT if name in os.environ}
    return {"PATH": os.defpath, "LC_ALL": "C", **kept, **extra}
