"""Secrets of the embedded mode that are made once and kept in the state folder: keys of tokens and quarantine.

Belongs here: keeping a text in a file that only its owner can read. Does not belong here: what keys look like.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock


def kept_secret(state_dir: Path, name: str, make: Callable[[], str]) -> str:
    """The secret of that name, made on first use; several processes at once get the same one."""
    folder = state_dir / "keys"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / name
    with FileLock(f"{path}.lock"):
        if not path.exists():
            partial = path.with_suffix(".partial")
            partial.unlink(missing_ok=True)
            with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(make())
            partial.rename(path)
        return path.read_text()
