"""`claims-pipeline dashboard` as a process of its own, for tests and for the README's picture.

Belongs here: starting and ending it. Does not belong here: what is expected of its pages.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from claims_pipeline.local.process import free_port

_SECONDS = 120


@contextmanager
def dashboard_of(reader_url: str, folder: Path) -> Iterator[str]:
    """URL of a dashboard that reads as the URL says; it ends with the block.

    Args:
        reader_url: of bi_reader.
        folder: where it runs, and whose `dashboard.log` gets what it says.

    Raises:
        TimeoutError: it does not come up.
    """
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("CLAIMS_", "DAGSTER_"))}
    port = free_port(None)
    url = f"http://127.0.0.1:{port}"
    with (folder / "dashboard.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "claims_pipeline.cli", "dashboard", "--port", str(port)],
            env=ours | {"CLAIMS_BI_DATABASE_URL": reader_url},
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait_for(f"{url}/_stcore/health", process)
            yield url
        finally:
            process.terminate()
            process.wait(60)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    raise TimeoutError(f"the dashboard is not up; exit code {process.poll()}")
