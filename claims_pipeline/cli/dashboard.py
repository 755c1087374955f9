"""`claims-pipeline dashboard`: starts Streamlit on the pages of claims_pipeline/dashboard, as bi_reader only.

Belongs here: the process's options and environment. Does not belong here: what it shows.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from claims_pipeline.cli.common import make_services
from claims_pipeline.cli.output import err, errors_in_one_line
from claims_pipeline.errors import SettingsError

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_PRIMARY = "#2a78b5"

_OPTIONS = {
    "server.headless": "true",  # no browser is opened, no e-mail address is asked for
    "server.fileWatcherType": "none",
    "server.runOnSave": "false",
    "server.showEmailPrompt": "false",
    "server.enableStaticServing": "false",
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "none",  # a traceback belongs into the log, not onto the page
    "client.showErrorLinks": "false",
    "client.disableDataExport": "true",  # its CSV would run formulas; ours (dashboard/spreadsheet.py) does not
    "logger.hideWelcomeMessage": "true",
    "theme.paddingTop": "3rem",
    "theme.light.primaryColor": _PRIMARY,
    "theme.dark.primaryColor": "#5aa2d8",
}

_OURS = ("CLAIMS_", "DAGSTER_", "AWS_", "STREAMLIT_")


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(dashboard)


def dashboard(
    port: Annotated[int, typer.Option(help="Port of the pages.", min=1, max=65535)] = 8501,
    host: Annotated[str, typer.Option(help="Address to listen on. The pages ask for no password.")] = "127.0.0.1",
) -> None:
    """Show the dashboard: operations, claims, practice data. Reads schema `bi` as bi_reader, and can read nothing else.

    The process gets CLAIMS_BI_DATABASE_URL and no other setting or credential. On another address than this machine's
    own put a proxy before it that knows who may look: the pages ask for no password.
    """
    with errors_in_one_line():
        url = make_services().bi_database_url
        raise typer.Exit(_run(command(host=host, port=port), environment(url), f"http://{host}:{port}"))


def command(*, host: str, port: int) -> list[str]:
    """Program and arguments that serve the pages.

    Raises:
        SettingsError: Streamlit is not installed.
    """
    if importlib.util.find_spec("streamlit") is None:
        raise SettingsError("the dashboard needs Streamlit: install claims_pipeline with its extra 'dashboard'")
    options = [*_OPTIONS.items(), ("server.address", host), ("server.port", str(port))]
    if host in _LOOPBACK:
        # A page of the web whose name was made to point at this machine is turned away (DNS rebinding).
        options += [("server.allowedHosts", name) for name in _LOOPBACK]
    script = Path(__file__).parent.parent / "dashboard" / "main.py"
    arguments = [f"--{name}={value}" for name, value in options]
    return [sys.executable, "-m", "claims_pipeline.dashboard", "run", str(script), *arguments]


def environment(url: str) -> dict[str, str]:
    """The process's environment: the reader's URL, and none of our other settings or credentials."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return {**kept, "CLAIMS_BI_DATABASE_URL": url}


def _run(arguments: list[str], variables: dict[str, str], address: str) -> int:
    err.print(f"Dashboard: {address}  (stop with Ctrl-C)", highlight=False)
    process = subprocess.Popen(arguments, env=variables)  # noqa: S603 - our own words

    def hand_on(_number: int, _frame: FrameType | None) -> None:
        process.terminate()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, hand_on)
    code = process.wait()
    return 0 if code == -signal.SIGTERM else code
