"""Temporary folders of dead processes on this machine.

Belongs here: telling ours from other people's. Does not belong here: making them.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import shutil
import stat
import tempfile
from pathlib import Path

from claims_pipeline.upkeep.pruning import LEFTOVER_AGE, Scope, Tally

_TEMP_NAME = re.compile(r"claims-(?:[a-z]+-)?[a-z0-9_]{8}")  # as tempfile names what is made with such a prefix
_TEMP_CONTENTS = {".parquet", ".dump"}


def folders(scope: Scope, apply: bool, tally: Tally) -> None:
    """Those that nobody has written to for `LEFTOVER_AGE`."""
    for folder in sorted(Path(tempfile.gettempdir()).glob("claims-*")):
        try:
            found = _age_and_size(folder)
        except FileNotFoundError:  # its process has just ended well
            continue
        if found is not None and found[0] < scope.now - LEFTOVER_AGE:
            tally.add(at=found[0], size=found[1])
            if apply:
                shutil.rmtree(folder)


def _age_and_size(folder: Path) -> tuple[dt.datetime, int] | None:
    """When anything in a temporary folder of ours was last written, UTC, and its bytes.

    Returns:
        None where it is not ours by name, owner, mode and contents: other people's lie there as well.
    """
    itself = folder.lstat()
    if not (
        _TEMP_NAME.fullmatch(folder.name)
        and stat.S_ISDIR(itself.st_mode)
        and stat.S_IMODE(itself.st_mode) == 0o700
        and itself.st_uid == os.geteuid()
    ):
        return None
    files = {path: path.lstat() for path in folder.iterdir()}
    if not all(stat.S_ISREG(found.st_mode) and path.suffix in _TEMP_CONTENTS for path, found in files.items()):
        return None
    newest = max(found.st_mtime for found in (itself, *files.values()))
    return dt.datetime.fromtimestamp(newest, dt.UTC), sum(found.st_size for found in files.values())
