"""Structured logs: one JSON line an event on standard error, with ids, counts and UTC time, if the setting asks for it.

Belongs here: how an event becomes a line. Does not belong here: who says what (the callers), metrics and messages
(alerts). Fields are names, ids and counts; of exceptions only class and place are written, since texts quote records.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import sys
from typing import Literal, TextIO

from claims_pipeline.errors import safe_text, whereabouts

Level = Literal["info", "warning", "error"]
Field = str | int | float | bool | None | dict[str, int]

_package = logging.getLogger("claims_pipeline")
_events = logging.getLogger("claims_pipeline.events")
# Without a handler of its own Python would write warnings as bare text: in text mode commands and Dagster tell already.
_events.addHandler(logging.NullHandler())


def set_up(log_format: Literal["text", "json"]) -> None:
    """Write what this package says as JSON lines, or no longer. Idempotent.

    Args:
        log_format: CLAIMS_LOG_FORMAT.
    """
    there = [handler for handler in _package.handlers if isinstance(handler, _JsonLines)]
    if log_format == "json" and not there:
        _package.addHandler(_JsonLines())
        _package.setLevel(logging.INFO)
    elif log_format == "text" and there:
        for handler in there:
            _package.removeHandler(handler)
        _package.setLevel(logging.NOTSET)


def is_on() -> bool:
    """Whether anybody hears events; figures that cost a query need not be asked for otherwise."""
    return _events.isEnabledFor(logging.INFO)


def event(name: str, *, level: Level = "info", **fields: Field) -> None:
    """Say that something happened.

    Args:
        name: such as "dump_loaded".
        level: info: as it should be; warning: for a person to look at; error: something failed.
        **fields: ids, names and counts; never a value of a record. None is left out.
    """
    said = {key: value for key, value in fields.items() if value is not None}
    text = " ".join([name, *(f"{key}={value}" for key, value in said.items())])
    _events.log(getattr(logging, level.upper()), "%s", text, extra={"event": name, "fields": said})


def as_json(record: logging.LogRecord) -> str:
    """A record as one JSON line: time (UTC), level, logger, event, and its fields or its text."""
    at = dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    name = getattr(record, "event", "message")
    line: dict[str, object] = {"time": at, "level": record.levelname.lower(), "logger": record.name, "event": name}
    line |= getattr(record, "fields", None) or {"message": record.getMessage()}
    if record.exc_info and record.exc_info[1] is not None:
        line |= {"error": safe_text(record.exc_info[1]), "at": whereabouts(record.exc_info[1])}
    return json.dumps(line, default=str)


class _JsonLines(logging.StreamHandler[TextIO]):
    """To standard error, whatever it is when a line is written: Dagster and tests exchange it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]  # an attribute there
        return sys.stderr

    def format(self, record: logging.LogRecord) -> str:
        return as_json(record)
