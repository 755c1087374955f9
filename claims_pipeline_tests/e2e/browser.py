"""A Chromium of the system, and the pages of the Dagster UI that people look at first.

Belongs here: opening them. Does not belong here: what is expected of them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, Playwright

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def chromium_path() -> str | None:
    """The system's Chromium; None where there is none."""
    return next((path for name in _PROGRAMS if (path := shutil.which(name))), None)


@contextmanager
def new_page(playwright: Playwright, program: str) -> Iterator[Page]:
    """A page of a fresh browser, large enough for the graph of a sender: what is outside of it is not drawn.

    Its pictures are 1600 by 1000 pixels.
    """
    browser = playwright.chromium.launch(executable_path=program, args=_ARGUMENTS)
    try:
        yield browser.new_page(viewport={"width": 2000, "height": 1250}, device_scale_factor=0.8)
    finally:
        browser.close()


def lineage_url(ui: str, group: str) -> str:
    """The page of a group's graph."""
    return f"{ui}/locations/claims_pipeline/asset-groups/{group}/lineage"
