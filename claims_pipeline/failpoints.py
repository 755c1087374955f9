"""Named points of a dump's way at which a test can kill the process. Off unless `CLAIMS_FAILPOINT` names one.

Belongs here: the names, and what happens on reaching one. Does not belong here: what a test concludes (the soak).

`CLAIMS_FAILPOINT=load.merged` kills the process (SIGKILL, as the kernel or Kubernetes would) when it first gets there,
`load.merged:3` on the third time.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "CLAIMS_FAILPOINT"

POINTS = (
    "discover.registered",
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
"""In the order of the way; the soak kills at every one."""

_passed = 0


def reach(point: str) -> None:
    """Say that the process is at this point of the way."""
    wanted = os.environ.get(VARIABLE)
    if wanted is not None and wanted.partition(":")[0] == point:
        _die(int(wanted.partition(":")[2] or 1))


def _die(at: int) -> None:
    global _passed  # noqa: PLW0603 - how often this process has passed the one point
    _passed += 1
    if _passed >= at:
        os.kill(os.getpid(), signal.SIGKILL)
