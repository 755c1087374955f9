"""The project's errors: each says what was wrong, where, and what to do, and never carries a value of a record.

Belongs here: error types that more than one room raises or catches. `BadDump` is permanent (never retried);
`Transient` may be retried. Everything else is a bug, and its text is not shown (see `safe_text`).
"""

from __future__ import annotations

import traceback
from pathlib import Path


class ClaimsPipelineError(Exception):
    """Base of errors whose text was written by us and is fit to be logged and sent."""


class SettingsError(ClaimsPipelineError):
    """A setting is missing or contradicts another."""


class BadDump(ClaimsPipelineError):  # noqa: N818 - named for what the reader meets, like psycopg's and botocore's
    """The dump itself is wrong; trying again cannot help.

    Attributes:
        rule: rule id, such as "contract.missing_column".
    """

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


class Transient(ClaimsPipelineError):  # noqa: N818 - what it is matters more than that it is an error
    """The network, S3 or Postgres failed in a way that trying again may cure."""


def safe_text(error: BaseException) -> str:
    """The error in words that cannot hold a value of a record.

    Our own errors speak for themselves; of all others only the class is told, since messages of Postgres, pandas and
    Arrow quote the data that they stumble on (feeds.md, trap 16).
    """
    if isinstance(error, ClaimsPipelineError):
        return str(error)
    kind = type(error)
    sqlstate = getattr(error, "sqlstate", None)
    suffix = f" (SQLSTATE {sqlstate})" if isinstance(sqlstate, str) else ""
    return f"{kind.__module__}.{kind.__qualname__}{suffix}"


def whereabouts(error: BaseException) -> str:
    """Where in this package an error arose: "file:line in function", innermost last; no text of the error."""
    here = Path(__file__).parent
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).is_relative_to(here)]
    return " > ".join(f"{Path(f.filename).relative_to(here)}:{f.lineno} in {f.name}" for f in frames[-4:]) or "?"
