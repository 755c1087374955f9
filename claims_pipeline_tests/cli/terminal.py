"""The command as a terminal sees it: exit code, standard output, standard error.

Belongs here: calling it. Does not belong here: what is expected of a command.
"""

from __future__ import annotations

import json
from typing import Any

from typer.testing import CliRunner, Result

from claims_pipeline.cli import app


def call(*arguments: str, answer: str | None = None) -> Result:
    """`claims-pipeline` with these arguments; `answer` is typed in."""
    return CliRunner().invoke(app, arguments, input=answer)


def call_json(*arguments: str) -> Any:
    """What a command prints with `--json`, whatever its exit code."""
    return json.loads(call(*arguments, "--json").stdout)
