"""`make demo` as a newcomer runs it: a process of its own, default settings, nothing there before."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from claims_pipeline.local import reset


def test_the_demo_ends_well_and_only_then(tmp_path: Path) -> None:
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("CLAIMS_", "DAGSTER_"))}
    state = tmp_path / "state"
    command = [sys.executable, "-m", "claims_pipeline.cli", "demo", "--days", "1", "--rows", "20"]
    try:
        done = subprocess.run(
            command,
            env=ours | {"CLAIMS_STATE_DIR": str(state)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        reset(state)
    assert done.returncode == 0, done.stderr
    assert "runs asked for: 1" in done.stdout
