"""Pages of the repository that are written from the code: `make docs` writes them, `test_docs` compares."""

from __future__ import annotations

import json

from claims_pipeline import settings
from claims_pipeline.alerts import metrics_table
from claims_pipeline.dictionary import dictionary as dictionary_of
from claims_pipeline.dictionary import pages as dictionary_pages
from claims_pipeline.feeds import all_feeds, all_reports
from claims_pipeline.monitors import Target, dashboard, monitors
from claims_pipeline.settings import PROJECT_ROOT

_METRICS = """# Metrics

Sent by DogStatsD when `CLAIMS_DATADOG_STATSD_HOST` is set, with the tag `env`: at the end of each run, where the
meaning says no other time. Failures are sent as events too. Written by `make docs` from
`claims_pipeline.alerts.METRICS`.

"""


def pages() -> dict[str, str]:
    """Text of every generated page, by its path from the root."""
    dictionary = dictionary_pages(dictionary_of(all_feeds(), all_reports()))
    return {
        ".env.example": settings.example(),
        "docs/metrics.md": _METRICS + metrics_table(),
        "deploy/datadog/monitors.json": _json(monitors(_SHOWN)),
        "deploy/datadog/dashboard.json": _json(dashboard()),
        **{f"docs/dictionary/{name}": text for name, text in dictionary.items()},
    }


_SHOWN = Target(env="prod", runbooks=settings.Settings.model_fields["runbooks_url"].default)
"""Whose monitors the repository shows; `claims-pipeline monitors apply` fills in the env of the settings."""


def _json(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"


if __name__ == "__main__":
    for path, text in pages().items():
        (PROJECT_ROOT / path).write_text(text)
