"""Named points of a dump's way at which a test can stop the process. Off unless `CLAIMS_FAILPOINT` names one.

Belongs here: the names, and what happens on reaching one. Does not belong here: what a test concludes (the soak).

`CLAIMS_FAILPOINT=load.merged` kills the process (SIGKILL, as the kernel or Kubernetes would) when it first gets there,
`load.merged:3` on the third time; `load.merged:1:stop` suspends it (SIGSTOP), as a machine that swaps or a laptop that
is closed. `CLAIMS_FAILPOINT=@<file>` reads the same words from a file, which is deleted before the process dies: so a
system that is running can be armed, and only its first process to get there dies.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path

VARIABLE = "CLAIMS_FAILPOINT"

POINTS = (
    "discover.registered",
    "discover.readied",
    "archive.copied",
    "archive.noted",
    "validate.written",
    "validate.uploaded",
    "validate.settled",
    "load.begun",
    "load.copied",
    "load.merged",
    "load.quarantined",
    "load.audited",
    "load.settled",
    "load.committed",
    "replay.rewound",
    "replay.folded",
)
"""In the order of the way; the soak kills at every one. Besides: "erase.rewritten", "erase.committed" (erasure)."""

_SIGNALS = {"": signal.SIGKILL, "kill": signal.SIGKILL, "stop": signal.SIGSTOP}

_passed: Counter[str] = Counter()


def reach(point: str) -> None:
    """Say that the process is at this point of the way."""
    wanted = os.environ.get(VARIABLE)
    if wanted is not None:
        _reach(point, wanted)


def _reach(point: str, wanted: str) -> None:
    file = Path(wanted[1:]) if wanted.startswith("@") else None
    if file is not None:
        wanted = ""
        with suppress(FileNotFoundError):
            wanted = file.read_text()
    name, _, rest = wanted.strip().partition(":")
    if name != point:
        return
    _passed[point] += 1  # how often this process has passed it
    count, _, how = rest.partition(":")
    if _passed[point] != int(count or 1):
        return
    if file is not None:
        try:
            file.unlink()
        except FileNotFoundError:
            return  # another process was first
        _passed.clear()
    os.kill(os.getpid(), _SIGNALS[how])
