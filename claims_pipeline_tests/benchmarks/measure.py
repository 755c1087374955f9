"""Runs one contender in a process of its own and measures it, the Postgres server and the S3 endpoint, told apart.

Belongs here: seconds, CPU seconds and peak memory of process trees. Does not belong here: what is run.

CPU seconds are exact: what a process and its children that have ended took is in its parent's account. Memory is
sampled: the proportional set size (PSS, shared pages counted once) where the kernel tells it, else the anonymous
resident pages. Both are read from /proc; on a system without it, only the contender's own CPU time is known.
"""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

from claims_pipeline import local

PROC = Path("/proc")
_SAMPLE_SECONDS = 0.1
_TICKS = os.sysconf("SC_CLK_TCK")


class FailedError(Exception):
    """A measured process ended with an error, or not in time; the message tells the end of what it said."""


@dataclass(frozen=True)
class Usage:
    """What one run took. Parts are "own", "postgres", "s3".

    Attributes:
        seconds: from start to end of the process, its start-up included.
        cpu: CPU seconds, user and system, by part.
        peak_mb: peak of the sampled memory in MB (2**20 bytes), by part.
        total_mb: peak of their sum at one moment.
    """

    seconds: float
    cpu: dict[str, float]
    peak_mb: dict[str, float]
    total_mb: float


@dataclass(frozen=True)
class Measured:
    """A run's usage and what it said.

    Attributes:
        usage: what it took.
        said: the JSON object in its last line of standard output; empty where that is none.
    """

    usage: Usage
    said: dict[str, object]


def servers(state_dir: Path) -> dict[str, int]:
    """Process ids of the embedded servers of a state folder that run, by part."""
    return {status.name: status.pid for status in local.status(state_dir) if status.pid is not None}


def run(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    beside: Mapping[str, int] | None = None,
    seconds: float = 3_600,
    cwd: Path | None = None,
) -> Measured:
    """Run a command to its end and measure it.

    Args:
        command: program and arguments; no secret.
        env: environment variables besides those of this process.
        beside: process ids of servers that work for it, by part (see `servers`); they and their children are measured.
        seconds: it is killed after that time.
        cwd: its working folder.

    Raises:
        FailedError: it failed or was killed.
    """
    roots = dict(beside or {})
    before = {part: cpu_seconds(root) for part, root in roots.items()}
    own_before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = perf_counter()
    with subprocess.Popen(
        command,
        env={**os.environ, **(env or {})},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        sampler = _Sampler({"own": process.pid, **roots})
        sampler.start()
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            for pid in tree(process.pid):
                _kill(pid)
            output, _ = process.communicate()
            raise FailedError(f"not done after {seconds:.0f} s") from None
        finally:
            took = perf_counter() - begun
            sampler.stop()
    if process.returncode != 0:
        raise FailedError(f"exit code {process.returncode}: {_reason(output)}")
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = {"own": own.ru_utime + own.ru_stime - own_before.ru_utime - own_before.ru_stime}
    cpu |= {part: cpu_seconds(root) - before[part] for part, root in roots.items()}
    rounded = {part: round(value, 3) for part, value in cpu.items()}
    usage = Usage(round(took, 3), rounded, sampler.peaks, sampler.total)
    return Measured(usage, _last_object(output))


def cpu_seconds(root: int) -> float:
    """CPU seconds of a process, its living descendants and all that have ended; 0 where there is no /proc."""
    ticks = 0
    for pid in tree(root):
        try:
            # Behind the name in brackets, which may hold blanks: state is field 3, utime to cstime are 14 to 17.
            fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        ticks += sum(int(value) for value in fields[11:15])
    return ticks / _TICKS


def tree(root: int) -> list[int]:
    """A process and its descendants; the process alone where there is no /proc."""
    children: dict[int, list[int]] = {}
    for folder in PROC.glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(int(fields[1]), []).append(int(folder.name))
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found


def memory_mb(pids: Sequence[int]) -> float:
    """Memory of processes now, in MB; those that have ended count nothing."""
    return sum(_kilobytes(pid) for pid in pids) / 1024


def _kilobytes(pid: int) -> int:
    for name, label in (("smaps_rollup", "Pss:"), ("status", "RssAnon:")):
        try:
            for line in (PROC / str(pid) / name).read_text().splitlines():
                if line.startswith(label):
                    return int(line.split()[1])
        except OSError:  # ended, or another user's: the kernel tells of that only what is in `status`
            continue
    return 0


@dataclass
class _Sampler:
    """Samples the memory of process trees in a thread of its own, until it is stopped."""

    roots: Mapping[str, int]
    peaks: dict[str, float] = field(default_factory=dict)
    total: float = 0.0
    _done: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        if not PROC.is_dir():
            return
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._done.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(_SAMPLE_SECONDS):
            now = {part: memory_mb(tree(root)) for part, root in self.roots.items()}
            for part, value in now.items():
                self.peaks[part] = round(max(value, self.peaks.get(part, 0.0)), 1)
            self.total = round(max(self.total, sum(now.values())), 1)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        return


def _reason(output: str) -> str:
    """The first line that looks like an exception, else the last lines; without the password of a URL."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    named = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Failure)\b", line)][:1]
    return re.sub(r"://[^@/\s]*@", "://", " | ".join(named or lines[-3:])[-600:])


def _last_object(output: str) -> dict[str, object]:
    for line in reversed(output.splitlines()):
        if line.startswith("{"):
            try:
                said = json.loads(line)
            except ValueError:
                return {}
            return said if isinstance(said, dict) else {}
    return {}


def say(text: str) -> None:
    """Write a line to standard output at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
