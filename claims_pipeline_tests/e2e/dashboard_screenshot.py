"""Takes the README's picture: `python -m claims_pipeline_tests.e2e.dashboard_screenshot docs/dashboard.png`.

Belongs here: invented figures of a year, and a picture of them. Does not belong here: checking anything.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from claims_pipeline.local import ensure_up, reset
from claims_pipeline_tests.e2e.browser import chromium_path
from claims_pipeline_tests.e2e.dashboards import dashboard_of
from claims_pipeline_tests.fix_bi import filled
from claims_pipeline_tests.fix_services import open_roles


def take(target: Path) -> None:
    """Fill a database, open the operations page, and take its picture.

    Raises:
        SystemExit: there is no Chromium on PATH.
    """
    program = chromium_path()
    if program is None:
        raise SystemExit("no Chromium on PATH")
    with tempfile.TemporaryDirectory(prefix="claims-") as name:
        folder = Path(name)
        state = folder / "state"
        services = ensure_up(state, durable=False)
        try:
            open_roles(services.database_url)
            with (
                filled(services) as bi,
                dashboard_of(bi.reader_url, folder) as url,
                sync_playwright() as playwright,
            ):
                browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
                page = browser.new_page(viewport={"width": 1440, "height": 1180})
                page.goto(url)
                page.locator("[data-testid=stVegaLiteChart]").nth(2).wait_for(timeout=120_000)
                page.get_by_test_id("stStatusWidget").wait_for(state="detached", timeout=120_000)
                page.wait_for_timeout(2_000)  # charts are drawn a moment after their place is there
                page.screenshot(path=target)
                browser.close()
        finally:
            reset(state)


if __name__ == "__main__":
    take(Path(sys.argv[1]))
