"""Which runs of this machine are dead: Dagster's default launcher never notices a killed process (stack.md).

Belongs here: a lock per run that the kernel releases when the run's process dies, however it dies, and the look at it.
Does not belong here: what follows from a death. On Kubernetes the run launcher watches its pods itself; there the
sensor does not see the locks of other pods, and concludes nothing.
"""

import fcntl
from pathlib import Path
from typing import IO

import dagster as dg

_held: dict[str, IO[bytes]] = {}


def hold(run_id: str, folder: Path) -> None:
    """Lock the run's file until this process ends. Idempotent."""
    if run_id in _held:
        return
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / run_id).open("wb")
    fcntl.flock(file, fcntl.LOCK_EX)
    _held[run_id] = file


def report_dead_runs(instance: dg.DagsterInstance, folder: Path) -> list[str]:
    """Mark runs as failed whose process is gone, so that the run-failure sensor tells and the ledger asks again.

    Returns:
        Ids of the runs found dead.
    """
    dead = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name in _held or _is_locked(path):
            continue
        run = instance.get_run_by_id(path.name)
        if run is not None and not run.is_finished:
            instance.report_run_failed(run, "the process of the run is gone: it was killed, or the machine restarted")
            dead.append(run.run_id)
        path.unlink(missing_ok=True)
    return dead


def _is_locked(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:  # another sensor was first
        return True
    return False
