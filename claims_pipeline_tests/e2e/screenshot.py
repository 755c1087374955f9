"""Takes the README's picture of the graph: `python -m claims_pipeline_tests.e2e.screenshot docs/lineage.png`.

Belongs here: a demo instance with a few clean days, and its picture. Does not belong here: checking anything.
"""

from __future__ import annotations

import datetime as dt
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline_tests.e2e.browser import chromium_path, lineage_url, new_page
from claims_pipeline_tests.fix_dagster import UPLOADS, dagster_dev_in

_DAYS = 5


def take(target: Path) -> None:
    """Start `claims-pipeline dev`, let dumps come, and take the picture once their runs have ended.

    Raises:
        SystemExit: there is no Chromium on PATH.
    """
    program = chromium_path()
    if program is None:
        raise SystemExit("no Chromium on PATH")
    today = dt.datetime.now(dt.UTC).date()
    with tempfile.TemporaryDirectory(prefix="claims-") as folder, dagster_dev_in(Path(folder)) as dev:
        manifest = dev.drop(first=today - dt.timedelta(days=_DAYS - 1), days=_DAYS, rows=100, dirt=0.0)
        dev.wait_for(lambda: dev.settled() == len(manifest.dumps))
        with sync_playwright() as playwright, new_page(playwright, program) as page:
            page.goto(lineage_url(dev.url, SENDER.name))
            page.get_by_text(UPLOADS, exact=True).nth(2).wait_for(timeout=60_000)
            page.get_by_text("Passed").nth(14).wait_for(timeout=60_000)  # three layers of five datasets
            target.parent.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=target)


if __name__ == "__main__":
    take(Path(sys.argv[1]))
