"""`claims-pipeline dev`: the Dagster UI, daemon and code location on this checkout, stopped together.

Belongs here: the environment and the process of `dagster dev`. Does not belong here: what it loads (definitions.py).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

from claims_pipeline.cli.output import err
from claims_pipeline.errors import SettingsError
from claims_pipeline.orchestration.instance import prepare_home
from claims_pipeline.settings import PROJECT_ROOT, get_settings


def dagster_environment() -> dict[str, str]:
    """The environment in which Dagster's commands see the settings' instance."""
    settings = get_settings()
    environment = {**os.environ, "DAGSTER_HOME": str(prepare_home(settings))}
    if settings.dagster_storage_url is not None:  # it may come from .env, which Dagster's storage does not read
        environment["CLAIMS_DAGSTER_STORAGE_URL"] = settings.dagster_storage_url.get_secret_value()
    return environment


def run_dev(*, host: str, port: int) -> int:
    """Run `dagster dev` until it is stopped.

    Returns:
        Its exit code.

    Raises:
        SettingsError: dagster is not installed beside this command.
    """
    program = shutil.which("dagster", path=str(Path(sys.executable).parent)) or shutil.which("dagster")
    if program is None:
        raise SettingsError("no `dagster` program beside this Python: install the project with `make install`")
    command = [program, "dev", "--host", host, "--port", str(port), "--workspace", str(PROJECT_ROOT / "workspace.yaml")]
    err.print(f"Dagster UI: http://{host}:{port}  (stop with Ctrl-C)", highlight=False)
    # A shell that starts us in the background has us ignore it, and children would inherit that: `dagster dev` ends its
    # own children by SIGINT, and would wait for them for ever.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(command, cwd=PROJECT_ROOT, env=dagster_environment())  # noqa: S603 - our own words

    def hand_on(number: int, _frame: FrameType | None) -> None:
        process.send_signal(signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, hand_on)
    return process.wait()
